"""Inputs of the network: the meaning of the symbols of a forest, and embeddings passed in place of tokens."""
