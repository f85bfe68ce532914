"""make demo: the probability of real text under a real model, factor by factor."""

from __future__ import annotations

import csv
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
CHAINRULE = [sys.executable, "-m", "chainrule.cli.main"]
TEXTS = 60


def show(*arguments: str) -> None:
    """Print a command line and run it."""
    print(f"\n$ chainrule {shlex.join(arguments)}", flush=True)
    subprocess.run([*CHAINRULE, *arguments], check=True)


def main() -> None:
    show("explain", "The umbrella kept the rain off.")
    show("next", "The capital of France is", "--top", "5")
    show("rank", "It is raining, so I need", " an umbrella", " a telescope", " umbrella an", " the rain")
    show("generate", "The capital of France is", "--max-tokens", "8", "--explain")
    show("generate", "The capital of France is", "--method", "best", "--max-tokens", "6", "--explain")
    explain_in_an_order()
    show("verify")
    lines = (HERE / "benchmarks" / "data" / "fortunes-500.jsonl").read_text(encoding="utf-8").splitlines()[:TEXTS]
    with tempfile.TemporaryDirectory() as folder:
        texts, scores = Path(folder) / "fortunes.jsonl", Path(folder) / "scores.csv"
        texts.write_text("\n".join(lines) + "\n", encoding="utf-8")
        show("score", "--file", str(texts), "--output", str(scores))
        summarise(scores)
    print("\nNext: README.md, or  .venv/bin/chainrule --help")


def explain_in_an_order() -> None:
    """A table of two letters; its text is predicted from both ends and then in the middle."""
    import chainrule

    rows = {"": [0.6, 0.4], "A": [0.7, 0.3], "B": [0.2, 0.8]}
    lm = chainrule.LanguageModel(chainrule.TableModel(["A", "B"], rows, probabilities=True, back_off=True))
    print(f"\nA table, Pr of A and B after nothing, A and B: {rows}. explain('ABBAB', order=(0, 4, 2, 1, 3)):\n")
    print(lm.explain("ABBAB", order=(0, 4, 2, 1, 3)), flush=True)


def summarise(scores: Path) -> None:
    with scores.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    best = min(rows, key=lambda row: float(row["perplexity"]))
    perplexity = float(best["perplexity"])
    print(f"\n{len(rows)} fortunes scored. The most expected one, with perplexity {perplexity:.1f}:\n{best['text']}")


if __name__ == "__main__":
    main()
