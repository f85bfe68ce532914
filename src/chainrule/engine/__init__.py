"""Forest × model → log Pr of every node.

Suggested reading order: `question` and `engine` (a question and its answer), `execution` (the strategies for running a
network), `attention` (visible keys and the cached path), `head` (the readout), `plan` (windows, and the node of each token's
factor), `predictors`, `selfcheck`.
"""
