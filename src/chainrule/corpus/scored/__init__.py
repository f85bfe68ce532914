"""Scored corpora: conditions, quantiles, selections and summaries of the rows of an output folder"""
