"""Evaluation: the model of lm-evaluation-harness, with the harness's own conventions"""
