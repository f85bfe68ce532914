"""How a window of documents is cut into parts: by their texts in sorted order, so that texts with one beginning meet.

The cuts depend on the texts and the size of a part alone, and not on workers or on what is done already.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from chainrule.text.beginnings import shared

SMALLEST, LARGEST = 1 << 14, 1 << 21  # characters of a part
_NEAR = 256  # documents before and after an even cut among which the best cut is looked for


def cut(texts: Sequence[str], size: int) -> list[list[int]]:
    """The documents of each part, as their indices in ascending order. size: about the characters of a part."""
    order = sorted(range(len(texts)), key=texts.__getitem__)
    count = -(-max(1, sum(map(len, texts))) // size)
    ends = _even([len(texts[i]) for i in order], count)
    reach = max(1, min(_NEAR, len(texts) // (8 * count)))
    bounds = sorted({0, len(order), *(_best(texts, order, end, reach) for end in ends)})
    return [sorted(order[first:stop]) for first, stop in pairwise(bounds)]


def _even(lengths: Sequence[int], count: int) -> list[int]:
    """The indices at which the characters are cut into `count` even pieces."""
    total, done, ends = sum(lengths), 0, list[int]()
    for index, length in enumerate(lengths):
        if len(ends) < count - 1 and done >= total * (len(ends) + 1) / count:
            ends.append(index)
        done += length
    return ends


def _best(texts: Sequence[str], order: Sequence[int], end: int, reach: int) -> int:
    """The cut near `end` at which the two texts share the shortest beginning; the nearest of several."""
    near = range(max(1, end - reach), min(len(order) - 1, end + reach) + 1)
    return min(near, key=lambda at: (shared(texts[order[at - 1]], texts[order[at]]), abs(at - end)), default=end)
