"""The predictors: one for each kind of model (causal, any-order, masked, two-stream), and sums over all texts."""
