"""Trials on load: the fastest way through a network that gives its own numbers, and whether bits are stable."""
