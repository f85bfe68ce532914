"""Dated files of `chainrule verify` on the small real model: its report, and the report of a text coded with the model.

make proof, or python benchmarks/proof.py [--tokens 1000]. docs/verify.md shows the newest.
"""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path

import machine
from texts import fortunes

import chainrule
from chainrule.files.row_text import json_text
from chainrule.verify.code import prove
from chainrule.verify.report import Report

HERE = Path(__file__).resolve().parent


def keep(name: str, report: Report, command: str) -> None:
    target = HERE / "results" / f"{name}-{datetime.date.today()}.json"
    run = {"command": command, "date": str(datetime.date.today()), **report.to_dict(), "machine": machine.describe()}
    target.write_text(json_text(run, indent=1) + "\n", encoding="utf-8")
    print(f"{report}\nwritten to {target.relative_to(HERE.parent)}\n", flush=True)


def opening(lm: chainrule.LanguageModel, tokens: int) -> str:
    """The first fortunes, one a line, that have at least so many tokens together."""
    text = ""
    for fortune in fortunes():
        text += fortune + "\n"
        if len(lm.tokenizer.encode(text)) >= tokens:
            return text
    raise SystemExit(f"the fortunes have fewer than {tokens} tokens")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=1000, help="the least number of tokens of the coded text")
    tokens = parser.parse_args().tokens
    lm = chainrule.load()
    keep("verify", lm.verify(), "chainrule verify")
    _, report = prove(lm, opening(lm, tokens), lambda what, done, all: done % 100 or print(what, done, "of", all, flush=True))
    keep("code", report, "chainrule verify --code FILE, FILE being the first fortunes")


if __name__ == "__main__":
    main()
