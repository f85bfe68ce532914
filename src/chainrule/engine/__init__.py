"""Forest × model → log Pr of every node.

Read in this order: `engine` (question and answer), `paths` (the ways through the network), `attention` (visibility and the
carried path), `readout` (the fused log-softmax head), `job` (windows, and where each token's factor lies), `probe`.
"""
