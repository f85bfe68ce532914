"""Decoding: distributions of the next token while a text grows, along one path or in a tree."""
