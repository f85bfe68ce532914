"""Words beside other programs: their numbers, and the time that the correction takes.

    python benchmarks/words.py                                  # the time of `words` as a multiple of `score_batch`, in turn
    python benchmarks/words.py --peers PYTHON                   # … and the numbers of minicons and wordsprobability

PYTHON: of an environment with torch, transformers, minicons==0.3.39 and wordsprobability==0.17. Both run on the converted
checkpoint of the small model. Times are seconds of the processor with one thread, so that other programs disturb them less.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from texts import fortunes

import chainrule
from chainrule.text.word_starts import WordStarts

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", type=Path, help="the Python of the environment of the peers")
    arguments = parser.parse_args()
    lm = chainrule.load()
    texts = [" ".join(text.split()) for text in fortunes()[: arguments.texts]]  # the peers split words at single spaces
    report_times(lm, texts, arguments.rounds)
    if arguments.peers is not None:
        report_peers(lm, texts, arguments.peers)


def report_times(lm: chainrule.LanguageModel, texts: list[str], rounds: int) -> None:
    calls = {
        "score_batch": lambda: lm.score_batch(texts),
        "words": lambda: lm.words(texts),
        "words, correction none": lambda: lm.words(texts, correction="none"),
    }
    for call in calls.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            begin = time.process_time()
            call()
            seconds[name].append(time.process_time() - begin)
    for name, own in seconds.items():
        ratios = [a / b for a, b in zip(own, seconds["score_batch"], strict=True)]
        print(f"{name:<24} {median(own):8.2f} s  {median(ratios):.3f} [{min(ratios):.3f} to {max(ratios):.3f}] of score_batch")


def report_peers(lm: chainrule.LanguageModel, texts: list[str], python: Path) -> None:
    """The largest difference between the numbers of each program and ours, by our rule and by its own, in bits."""
    from chainrule.models.packaged import folder

    command = [python, "-P", HERE / "workers" / "word_programs.py", folder("smollm2-135m")]
    answer = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=False)
    if answer.returncode:
        sys.exit(f"the programs failed: {answer.stderr[-2000:]}")
    print(f"\n{'program':<38} {'ours':<32} {'first words':>12} {'other words':>12}   largest differences in bits")
    for name, (convention, surprisals) in json.loads(answer.stdout).items():
        if convention == "corrected":
            compare(name, "corrected", lm.words(texts), surprisals)
            with rule_of(name, lm):
                compare(name, "corrected, by the program's rule", lm.words(texts), surprisals)
        else:
            start = "given" if convention == "without a start symbol" else None
            compare(name, convention, lm.words(texts, correction="none", start=start), surprisals)


@contextmanager
def rule_of(name: str, lm: chainrule.LanguageModel) -> Iterator[None]:
    """The sets of another program in place of ours: tokens that begin with Ġ, and for wordsprobability the end symbol.

    minicons does not correct the first word at its beginning, as if any token began one. wordsprobability counts the end
    symbol twice there, which a set cannot.
    """
    vocabulary = lm.tokenizer.hf.get_vocab()
    marked = {id for token, id in vocabulary.items() if token[0] == "Ġ"}
    space = marked if "minicons" in name else marked | {lm.tokenizer.eos_id}
    first = set(vocabulary.values()) if "minicons" in name else set(vocabulary.values()) - marked
    own, WordStarts.ids = WordStarts.ids, lambda self, which: np.array(sorted(first if which == "first" else space))
    try:
        yield
    finally:
        WordStarts.ids = own


def compare(name: str, ours: str, words: chainrule.Words, surprisals: list[list[float]]) -> None:
    """Print the largest differences, over the texts whose first token is scored by both and that both split alike."""
    first, others = [0.0], [0.0]
    for s, theirs in enumerate(surprisals):
        own = words.surprisal_bits[words.offsets[s] : words.offsets[s + 1]]
        if len(theirs) != len(own):
            raise ValueError(f"{name} splits {words.scores.requests[s].text!r} in another way")
        difference = np.abs(own - np.array(theirs))
        first.append(difference[0])
        others += difference[1:].tolist()
    at_first = "no number" if np.isnan(first).any() else f"{max(first):.2g}"
    print(f"{name:<38} {ours:<32} {at_first:>12} {max(others):12.2g}   {len(words)} words")


if __name__ == "__main__":
    main()
