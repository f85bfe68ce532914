"""Distributions of next tokens while texts grow."""
