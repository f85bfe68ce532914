"""Trials on load: the fastest strategy that agrees with a model's own forward, and whether results are row-invariant."""
