"""Forests for tests: random ones for Hypothesis, and fixed ones that it would rarely draw."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from chainrule.forest import Forest

CHUNKS = (1, 2, 3, 7, 16, 512)  # rows of a chunk


def build(sequences: list[list[int]]) -> Forest:
    return Forest.build([np.array(s, np.int64) for s in sequences])


@st.composite
def branching(draw: st.DrawFn, symbols: int = 3, longest: int = 12, most: int = 14) -> list[list[int]]:
    """Sequences that continue prefixes of one another, with many branches and shared prefixes."""
    sequences: list[list[int]] = []
    for _ in range(draw(st.integers(1, most))):
        old = draw(st.sampled_from(sequences)) if sequences else []
        stem = old[: draw(st.integers(0, len(old)))]
        sequences.append(stem + draw(st.lists(st.integers(0, symbols - 1), min_size=1, max_size=longest)))
    return sequences


def fixed() -> dict[str, list[list[int]]]:
    """Fixed forests: a single path, a comb, a bush, a full tree, separate documents, and candidates after a long context."""
    random = np.random.default_rng(1)
    long = random.integers(0, 9, 300).tolist()
    return {
        "path": [long],
        "comb": [[*long[:i], 10 + i] for i in range(0, 60)],
        "bush": [[0, i, j] for i in range(20) for j in range(20)],
        "tree": [[a, b, c, d] for a in range(3) for b in range(3) for c in range(3) for d in range(3)],
        "documents": [[i, *random.integers(0, 9, 5 + i)] for i in range(40)],
        "candidates": [[*long, *random.integers(0, 9, random.integers(1, 9))] for _ in range(50)],
    }
