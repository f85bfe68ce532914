"""Attention over a forest: the layout of a chunk, the keys and values carried, and three ways to attend."""
