"""Factors off hidden states: log-sum-exp, entropy, ranks and alternatives."""
