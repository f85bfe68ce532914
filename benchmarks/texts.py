"""The texts of the workloads, cut so that a piece has the same tokens alone as within its source text."""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer

DATA = Path(__file__).resolve().parent / "data"


def fortunes() -> list[str]:
    """500 short texts."""
    lines = (DATA / "fortunes-500.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


def book() -> str:
    """The first chapters of a novel, a little more than 100,000 tokens."""
    return (DATA / "book.txt").read_text(encoding="utf-8")


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False).ids


class Source:
    """A text and its tokens."""

    def __init__(self, tokenizer: Tokenizer, text: str) -> None:
        encoded = tokenizer.encode(text, add_special_tokens=False)
        self.tokenizer, self.text, self.ids = tokenizer, text, encoded.ids
        self.starts = [start for start, _ in encoded.offsets] + [len(text)]

    def piece(self, first: int, length: int) -> str | None:
        """Tokens [first, first + length) as text, if that text alone has the same tokens."""
        text = self.text[self.starts[first] : self.starts[first + length]]
        return text if ids(self.tokenizer, text) == self.ids[first : first + length] else None

    def pieces(self, lengths: Iterable[int], first: int = 0) -> list[str]:
        """Pieces of the given lengths in tokens that do not overlap, in the order of the text from token ``first`` on."""
        pieces = []
        for length in lengths:
            while first + length <= len(self.ids) and (text := self.piece(first, length)) is None:
                first += 1
            if first + length > len(self.ids):
                raise ValueError(f"the text is too short: it has {len(pieces)} pieces, but no further piece of {length} tokens")
            pieces.append(text)
            first += length
        return pieces


def distinct(sequences: Iterable[tuple[list[int], list[int]]]) -> dict[str, int]:
    """The rows needed to score the second part of each sequence after the first, with all sequences after a start symbol.

    ``distinct_contexts``: the number of distinct contexts, which are rows of the network. ``read_contexts``: the number of
    contexts whose next token is scored, which are rows of the head.
    """
    children: dict[tuple[int, int], int] = {}
    above: set[int] = set()
    read: set[int] = set()
    for context, scored in sequences:
        node = 0
        for position, token in enumerate((*context, *scored)):
            above.add(node)
            if position >= len(context):
                read.add(node)
            node = children.setdefault((node, token), len(children) + 1)
    return {"distinct_contexts": len(above), "read_contexts": len(read)}
