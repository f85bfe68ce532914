"""Attention over a forest: the layout of a chunk, cached keys and values, and three implementations of attention."""
