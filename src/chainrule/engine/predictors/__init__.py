"""What predicts with each kind of model: left to right, in any order, or at a mask."""
