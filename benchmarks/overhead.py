"""The overhead of chainrule outside the network, on one core, in texts per second.

    .venv/bin/python benchmarks/overhead.py

Scores 10,000 different short texts without a network: the engine answers every question at once with constant numbers. The
remaining work is tokenising, planning and collecting. It is measured as a whole and by stage, in CPU seconds of one thread, the
best of several rounds of all stages. The first line is the tokenizer's own library alone, a lower bound. Three parts are
measured separately: cutting the forest into chunks, which the engine does between the steps of the network; the tables of the
scores; and candidates after a long context.
"""

import os

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # before the tokenizer is loaded
os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from run import default_model, existing
from texts import book, fortunes

from chainrule import LanguageModel
from chainrule.engine.attention.native import NativeLayout
from chainrule.engine.engine import Engine
from chainrule.engine.plan import plan
from chainrule.engine.question import DEFAULTS, Answer, Item, Question, Settings
from chainrule.files.row_text import write_csv
from chainrule.forest import chunks
from chainrule.ops.matmul import ROWS
from chainrule.statistics import Statistics
from chainrule.text import Tokenizer
from chainrule.text.requests import requests
from chainrule.verdict import Verdict

SHARE = 0.03  # the aim: the most that the overhead may take of the total time
SHARD = 1000  # texts per table, as on the command line


class Instant(Engine):
    """Answers at once: every factor is −3 nats."""

    def answer(self, question: Question, how: Settings = DEFAULTS, **_: Any) -> Answer:
        nodes = len(question.forest)
        statistics = Statistics.empty(nodes, how.top, len(how.sets))
        values = {"logprobs": -3.0, "ranks": 1, "entropies": 2.0, "logprob_variances": 1.0}
        values |= {"top_ids": 0, "top_logprobs": -3.0, "set_logprobs": -3.0}
        statistics.write(slice(None), values)
        return Answer(statistics, rows=nodes, contexts=nodes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of the model (default: chainrule's own smollm2-135m)")
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    folder = existing(arguments.model or default_model())
    torch.set_num_threads(1)
    lm, texts = without_network(folder), short_texts(arguments.texts)
    stage_seconds = stages(lm, texts, arguments.rounds)
    for name, seconds in stage_seconds.items():
        print(f"{name:<46} {seconds / len(texts) * 1e6:8.1f} µs a text {len(texts) / seconds:12,.0f} texts/s", flush=True)
    tokens = len(lm.score_batch(texts).ids)
    whole = stage_seconds[WHOLE] + stage_seconds[CHUNKS]
    print(f"{tokens / len(texts):.1f} tokens a text on average, including the number before each text")
    print(
        f"score_batch and chunks: under {SHARE:.0%} of the time up to a network speed of {tokens * SHARE / whole:,.0f} tokens/s"
    )
    context, candidates = candidates_after_context(lm.tokenizer)
    seconds = best({"": lambda: lm.score_batch(candidates, context=context)}, arguments.rounds)[""]
    print(f"{len(candidates)} candidates after a context of 1,000 tokens: {seconds * 1e3:.1f} ms in all")


def without_network(folder: Path) -> LanguageModel:
    """A language model with the tokenizer and sizes of a model, but without its weights."""
    config = json.loads((folder / "config.json").read_text())
    model: Any = SimpleNamespace(
        name=folder.name,
        head=SimpleNamespace(size=config["vocab_size"]),
        width=config["hidden_size"],
        embeddings=config["vocab_size"],
        max_rows=config["max_position_embeddings"],
        bos_id=config["bos_token_id"],
        eos_id=config["eos_token_id"],
        dtype=torch.float32,
        device=torch.device("cpu"),
        invariance=Verdict(True, "there is no network"),  # so that it is not tried
    )
    return LanguageModel(model, Tokenizer.load(str(folder)), engine=Instant(model, "forest"))


def short_texts(count: int) -> list[str]:
    """`count` different texts: fortunes, each with a number before it."""
    some = fortunes()
    return [f"{i} {some[i % len(some)]}" for i in range(count)]


def candidates_after_context(tokenizer: Any) -> tuple[str, list[str]]:
    """The first 1,000 tokens of a book, and 100 short texts as candidates after it."""
    context = b"".join(tokenizer.token_bytes(id) for id in tokenizer.encode(book()[:20_000])[:1000]).decode()
    return context, [f" {text[:40]}" for text in short_texts(100)]


LIBRARY, WHOLE, CHUNKS = (
    "tokenizers' own encode_batch_fast",
    "the whole of score_batch",
    "chunks of the forest and their tables",
)


def stages(lm: LanguageModel, texts: list[str], rounds: int) -> dict[str, float]:
    """CPU seconds of each stage over all texts."""
    tokenizer: Any = lm.tokenizer
    ids = tokenizer.encode_batch(texts)
    bodies = [Item(each, 0, lm.start.id) for each in ids]
    question = plan(bodies, lm.model.max_rows, None, None).question
    scores = lm.score_batch(texts[:SHARD])
    times = len(texts) / len(scores)
    tables = {per: scores.to_arrow(per) for per in ("sequence", "token")}
    timed: dict[str, Callable[[], Any]] = {
        LIBRARY: lambda: [
            tokenizer.hf.backend_tokenizer.encode_batch_fast(part, add_special_tokens=False) for part in parts(texts)
        ],
        "tokenise": lambda: tokenizer.encode_batch(texts),
        "tokenise, and check the arguments": lambda: requests(texts, None, tokenizer, lm.model.head.size),
        "plan": lambda: plan(bodies, lm.model.max_rows, None, None),
        WHOLE: lambda: lm.score_batch(texts),
        CHUNKS: lambda: [NativeLayout(c.tiles).tables for c in chunks(question.forest, question.wanted_N, ROWS)],
    }
    collecting = {
        "sums of the sequences": lambda: scores.__class__.logprob.func(scores),
        "table, one row a sequence": lambda: scores.to_arrow("sequence"),
        "table, one row a token": lambda: scores.to_arrow("token"),
        "CSV, one row a sequence": lambda: csv(tables["sequence"]),
        "CSV, one row a token": lambda: csv(tables["token"]),
    }
    seconds = best(timed | collecting, rounds)
    return {name: each * (times if name in collecting else 1) for name, each in seconds.items()}


def parts(texts: list[str]) -> list[list[str]]:
    return [texts[first : first + 4096] for first in range(0, len(texts), 4096)]


def csv(table: Any) -> None:
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        write_csv(table, nowhere, header=True)


def best(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """The fewest CPU seconds of each call over several rounds of all calls, after one warm-up round."""
    fewest = dict.fromkeys(calls, float("inf"))
    for turn in range(rounds + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            seconds = time.process_time() - start
            fewest[name] = min(fewest[name], seconds) if turn else fewest[name]
    return fewest


if __name__ == "__main__":
    main()
