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
from pathlib import Path
from statistics import median

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from texts import fortunes

import chainrule

HERE = Path(__file__).resolve().parent
LN2 = np.log(2)


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
    """The largest difference of each peer to its convention, in bits, over all words that both split in the same way."""
    from chainrule.models.packaged import folder

    command = [python, HERE / "workers" / "word_programs.py", folder("smollm2-135m")]
    answer = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=False)
    if answer.returncode:
        sys.exit(f"the peers failed: {answer.stderr[-2000:]}")
    peers = json.loads(answer.stdout)
    ours = {
        "uncorrected": lm.words(texts, correction="none"),
        "corrected": lm.words(texts),
        "without a start symbol": lm.words(texts, correction="none", start="given"),
    }
    for name, (convention, surprisals) in peers.items():
        words = ours[convention]
        compare(name, convention, words, surprisals)


def compare(name: str, convention: str, words: chainrule.Words, surprisals: list[list[float]]) -> None:
    differences, unequal, compared = [], 0, 0
    first, last = [], []
    for s, theirs in enumerate(surprisals):
        own = slice(words.offsets[s], words.offsets[s + 1])
        if len(theirs) != own.stop - own.start:
            unequal += 1
            continue
        difference = np.abs(words.surprisal_bits[own] - np.array(theirs))
        first.append(difference[0])
        last.append(difference[-1])
        differences += difference[1:-1].tolist()
        compared += len(difference)
    print(
        f"{name:<40} beside {convention:<24} {compared} words of {len(surprisals) - unequal} texts: largest difference "
        f"{np.nanmax(differences):.2g} bits; first words {np.nanmedian(first):.2g} (median), {np.nanmax(first):.2g}; "
        f"last words {np.nanmax(last):.2g}; {unequal} texts split in another way"
    )


if __name__ == "__main__":
    main()
