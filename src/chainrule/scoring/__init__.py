"""Scoring: requests are passed to a predictor, and its numbers become results."""
