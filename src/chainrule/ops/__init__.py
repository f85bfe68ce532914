"""Operations below the models: kernels, products and layers that are row-invariant, and isolation from process state."""
