"""Prefix sharing across a whole file: 5,000 rows whose contexts of eight tokens are shared by rows far apart.

python benchmarks/far_contexts.py [--rows 5000] [--contexts 500] [--rounds 3]

The rows of one context are `contexts` apart, so a shard of 1,000 rows has few of them. The command line scores the rows in
shards and in sections, in alternation, and counts the contexts that the network computes. The second file has texts that
share nothing, for which sections must cost nothing.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

import chainrule
from chainrule import LanguageModel
from chainrule.cli import sections
from chainrule.cli.inputs import Source
from chainrule.cli.scoring import score_stream
from chainrule.cli.sink import Sink
from chainrule.files.columns import Columns

WORDS = [
    "time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school", "state",
    "family", "student", "group", "country", "problem", "hand", "part", "place", "case", "week", "company", "system",
    "program", "question", "work", "government", "number", "night", "point", "home", "water", "room", "mother", "area",
    "money", "story", "fact", "month", "lot", "right", "study", "book", "eye", "job", "word", "business", "issue",
    "side", "kind", "head", "house", "service", "friend",
]  # fmt: skip


def main() -> None:
    """Time both ways on both files."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--contexts", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    lm, draw = chainrule.load(), random.Random(1)
    contexts = [f"The {' '.join(draw.choices(WORDS, k=7))}" for _ in range(arguments.contexts)]
    shared = [(contexts[i % len(contexts)], f"{draw.choice(WORDS)} {draw.choice(WORDS)}") for i in range(arguments.rows)]
    alone = [("", f"{' '.join(draw.choices(WORDS, k=6))}") for _ in range(arguments.rows // 4)]
    print("file                 way       processor seconds               contexts computed")
    for name, rows in (("contexts far apart", shared), ("nothing shared", alone)):
        taken: dict[str, list[float]] = {"shards": [], "sections": []}
        for _ in range(arguments.rounds):
            for way in taken:
                seconds, computed = run(lm, rows, sections.GAIN if way == "sections" else 2.0)
                taken[way].append(seconds)
                print(f"{name:20} {way:9} {seconds:8.2f} {'':22} {computed:,}", flush=True)
        medians = {way: statistics.median(seconds) for way, seconds in taken.items()}
        print(f"{name:20} sections / shards: {medians['sections'] / medians['shards']:.3f}")


def run(lm: LanguageModel, rows: list[tuple[str, str]], gain: float) -> tuple[float, int]:
    """The processor seconds of one run, which other processes disturb least, and the contexts that the network computes."""
    score_batch, counts, before = LanguageModel.score_batch, [], sections.GAIN

    def counted(self: LanguageModel, texts: list[str], **options: object):
        scores = score_batch(self, texts, **options)
        counts.append(scores.rows)
        return scores

    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder, "in.csv")
        given.write_text("before,text\n" + "".join(f"{context},{text}\n" for context, text in rows), encoding="utf-8")
        sections.GAIN, LanguageModel.score_batch = gain, counted  # pyrefly: ignore[bad-assignment]
        begin = time.process_time()
        try:
            with Sink(str(Path(folder, "out.csv"))) as sink:
                score_stream(lambda: lm, Source([], [str(given)], Columns(context="before")), sink, None, {"top": 0})
        finally:
            sections.GAIN, LanguageModel.score_batch = before, score_batch
        return time.process_time() - begin, sum(counts)


if __name__ == "__main__":
    main()
