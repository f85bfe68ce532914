"""Corpora: every document of many files scored once, whatever stops a run, by several processes or machines.

Read in this order: `run` (the whole), `sources` and `documents` (what is read), `plan` (how documents are cut into parts),
`worker` (a part is scored), `processes` (workers on this machine), `output` (parts and the manifest in the output folder).
"""
