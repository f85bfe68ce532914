"""Corpora: every document of many files scored once, also if a run is stopped, by several processes or machines.

Read in this order: `run` (the whole), `sources` and `documents` (what is read), `plan` (how documents are cut into parts),
`workers` (which score them), `output` (parts and the manifest in the output folder), `scored` (selections and summaries).
"""
