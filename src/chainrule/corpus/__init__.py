"""Scores of corpora."""
