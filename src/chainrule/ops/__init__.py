"""What runs below the models: kernels, products and layers whose rows keep their bits, and the state they run in."""
