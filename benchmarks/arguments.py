"""Pass values of all kinds to every entry of the library, and count the failures.

    .venv/bin/python benchmarks/arguments.py --tries 6000

Values of many types, alone and in containers of many types, are passed to every entry of a small table model, with a fixed
seed. An error that is not chainrule's own, or that has several lines, is a failure. Exit code 1: there are failures.
"""

from __future__ import annotations

import argparse
import array
import datetime
import decimal
import fractions
import math
import random
import warnings
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow
import torch
from tally import report_outcomes

from chainrule import LanguageModel, TableModel
from chainrule.errors import ChainruleError, short

ATOMS: list[Any] = ["AB", "A", "", "\ud800", "A____B", "auto", "random:2", "random:x", "x" * 500, 0, 1, -1, 2, 7, 10**30]
ATOMS += [-(10**30), 0.5, 1.0, -0.0, 5e-324, 1e308, math.nan, math.inf, -math.inf, None, True, False, b"AB", 1j, ...]
ATOMS += [bytearray(b"\0\1"), pandas.NA, pandas.NaT, Path("A"), decimal.Decimal("0.5"), fractions.Fraction(1, 2), object()]
ATOMS += [datetime.date(2020, 1, 1), memoryview(b"\0\1"), array.array("q", [0, 1]), range(2), slice(2), len, int]
ATOMS += [np.str_("AB"), np.int8(1), np.float32(0.5), np.array(1), np.array("AB"), np.zeros((0,), int), np.zeros((2, 2))]
ATOMS += [np.datetime64("2020"), np.ma.array([0, 1], mask=[0, 1]), np.array([b"AB"]), pyarrow.scalar("AB")]
ATOMS += [torch.tensor(1), torch.ones(2), torch.zeros(2, 3, dtype=torch.bfloat16)]
CONTAINERS: list[Callable[[list[Any]], Any]] = [
    list,
    tuple,
    deque,
    iter,
    lambda items: (item for item in items),
    set,
    lambda items: dict.fromkeys(items, 1),
    lambda items: dict(enumerate(items)).values(),
    lambda items: np.array(items, object),
    np.array,
    torch.tensor,
    lambda items: pandas.Series(items, index=list(range(len(items)))[::-1]),
    lambda items: pandas.Series(items, dtype=object),
    pandas.Index,
    lambda items: pandas.DataFrame({"A": items}),
    polars.Series,
    lambda items: polars.DataFrame({"A": items}),
    pyarrow.array,
    lambda items: pyarrow.chunked_array([items]),
    lambda items: pyarrow.table({"A": items}),
    lambda items: bytes(map(int, items)),
]


def entries(lm: LanguageModel) -> dict[str, Callable[[Any], Any]]:
    """A call for every argument of the library."""
    sampling = {"method": "sample", "max_tokens": 3, "seed": 1}
    return {
        "score": lm.score,
        "score, context": lambda v: lm.score("AB", context=v),
        "score, embeddings": lambda v: lm.score([0, 1], embeddings=v),
        "score_batch": lm.score_batch,
        "score_batch, item": lambda v: lm.score_batch(["A", v]),
        "score_batch, context": lambda v: lm.score_batch(["A", "B"], context=v),
        "rank, context": lambda v: lm.rank(v, ["A", "B"]),
        "rank, candidates": lambda v: lm.rank("A", v),
        "conditional": lm.conditional,
        "conditional, logprob": lambda v: lm.conditional().logprob(v),
        "conditional, top": lambda v: lm.conditional().top(v),
        "pseudo_log_likelihood": lm.pseudo_log_likelihood,
        "pseudo_log_likelihoods": lm.pseudo_log_likelihoods,
        "explain": lm.explain,
        "generate, context": lambda v: lm.generate(v, max_tokens=2),
        "generate, among": lambda v: lm.generate(among=v),
        "generate, stop": lambda v: lm.generate(stop=v, max_tokens=3),
        "infill": lm.infill,
        "infill, lengths": lambda v: lm.infill("A____B", v),
        "embed": lm.embed,
        **{f"score, {name}": lambda v, name=name: lm.score("ABBA", **{name: v}) for name in SCORING},
        **{f"generate, {name}": lambda v, name=name: lm.generate(**sampling | {name: v}) for name in GENERATION},
    }


SCORING = ("start", "end", "order", "seed", "top", "window", "stride", "rows", "special", "context_special")
GENERATION = ("method", "max_tokens", "n", "temperature", "top_k", "top_p", "min_p", "seed", "top", "order", "start", "end")


def value(draw: random.Random, depth: int = 2) -> Any:
    """A random value, or a container of random values."""
    if not depth or draw.random() < 0.4:
        return draw.choice(ATOMS)
    one = value(draw, depth - 1)
    items = [one if draw.random() < 0.6 else value(draw, depth - 1) for _ in range(draw.choice((0, 1, 2, 2, 3, 4)))]
    try:
        return draw.choice(CONTAINERS)(items)
    except KeyboardInterrupt:
        raise
    except BaseException:  # the container does not take these items; some libraries raise a Rust panic
        return items


def trial(tries: int) -> tuple[dict[str, dict[str, int]], list[str]]:
    """For every entry the numbers of tries, of accepted values and of failures; and the failures."""
    lm = LanguageModel(TableModel(["A", "B"], {"": [1, 2], "A": [0, 3], "B": [4, 0]}, back_off=True))
    calls, draw = entries(lm), random.Random(0)
    counts, failures = {name: {"tries": 0, "taken": 0, "failures": 0} for name in calls}, []
    for number in range(tries):
        name = list(calls)[number % len(calls)]
        argument = value(draw)
        problem = outcome(calls[name], argument)
        counts[name]["tries"] += 1
        counts[name]["taken"] += problem is None
        if problem:
            counts[name]["failures"] += 1
            failures.append(ascii(f"{name}, {number}: {type(argument).__name__} {short(argument)}: {problem}"))
            print(failures[-1], flush=True)
    return counts, failures


def outcome(call: Callable[[Any], Any], argument: Any) -> str | None:
    """None if the argument was accepted, "" if it was refused correctly; otherwise the failure."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call(argument)
    except ChainruleError as error:
        return f"an error of several lines: {error}" if "\n" in str(error) else ""
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=6000)
    parser.add_argument("--output", type=Path, help="a file for the outcomes, as JSON")
    arguments = parser.parse_args()
    raise SystemExit(report_outcomes(*trial(arguments.tries), arguments.output))


if __name__ == "__main__":
    main()
