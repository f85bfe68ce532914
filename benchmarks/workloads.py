"""What is measured: a request for the workers, and how many tokens one round of it is.

The tokens of a workload are those of its texts, counted once with the model's tokenizer, without start symbols and
without padding; every system is measured against that same count.
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

DATA = Path(__file__).resolve().parent / "data"
CONTEXT_TOKENS, CANDIDATE_TOKENS = 1000, 10
SEED = 1


@dataclass(frozen=True)
class Workload:
    """``request`` goes to each worker, ``warmup`` is a small one like it.

    ``reference`` is the system, and its method, whose answers the others' are compared with; ``against`` names it.
    """

    name: str
    tokens: int
    request: dict
    warmup: dict
    facts: dict
    reference: tuple[str, str]
    against: str


def flat(tokenizer: Tokenizer, count: int) -> Workload:
    """The joint log-probability of each of ``count`` short texts behind the start symbol."""
    lines = (DATA / "fortunes-500.jsonl").read_text(encoding="utf-8").splitlines()[:count]
    texts = [json.loads(line)["text"] for line in lines]
    tokens = sum(len(ids(tokenizer, text)) for text in texts)
    facts = {"texts": len(texts), "mean_tokens": round(tokens / len(texts), 1)}
    reference = ("transformers_single", "exact"), "transformers one by one, log-softmax in float64"
    return Workload("flat", tokens, {"texts": texts}, {"texts": texts[:16]}, facts, *reference)


def candidates(tokenizer: Tokenizer, count: int) -> Workload:
    """``count`` continuations of 10 tokens, each scored behind one context of 1,000 tokens.

    The tokens are counted as if each candidate was scored with its context alone: count · (1,000 + 10).
    """
    book = (DATA / "book.txt").read_text(encoding="utf-8")
    end = tokenizer.encode(book, add_special_tokens=False).offsets[CONTEXT_TOKENS - 1][1]
    context, continuation = book[:end], book[end:]
    found = draw(tokenizer, context, continuation, count)
    facts = {
        "candidates": count,
        "context_tokens": CONTEXT_TOKENS,
        "candidate_tokens": CANDIDATE_TOKENS,
        "distinct_contexts": distinct_contexts([ids(tokenizer, text) for text in found]),
    }
    tokens = count * (CONTEXT_TOKENS + CANDIDATE_TOKENS)
    request = {"context": context, "candidates": found}
    reference = ("lm_eval", "candidates"), "lm-evaluation-harness"
    return Workload("candidates", tokens, request, {**request, "candidates": found[:2]}, facts, *reference)


def draw(tokenizer: Tokenizer, context: str, continuation: str, count: int) -> list[str]:
    """The true continuation first, then distinct slices of the rest of the book and of the fortunes, half and half."""
    context_ids = ids(tokenizer, context)
    texts = [json.loads(line)["text"] for line in (DATA / "fortunes-500.jsonl").open(encoding="utf-8")]
    sources = [slices(tokenizer, source) for source in (continuation, "\n".join(texts))]
    shuffled = [random.Random(SEED).sample(source, len(source)) for source in sources]
    found: dict[str, None] = {}
    for text in [sources[0][0], *(text for pair in zip(*shuffled, strict=False) for text in pair)]:
        together = ids(tokenizer, context + text)
        if together == context_ids + ids(tokenizer, text) and len(together) == CONTEXT_TOKENS + CANDIDATE_TOKENS:
            found[text] = None
        if len(found) == count:
            return list(found)
    raise ValueError(f"wanted {count} candidates, the data gives {len(found)}")


def slices(tokenizer: Tokenizer, text: str) -> list[str]:
    """Runs of 10 tokens within one line, each beginning with a space and ending at the end of a word."""
    offsets = tokenizer.encode(text, add_special_tokens=False).offsets
    starts = [start for start, _ in offsets]
    spans = ((starts[i], starts[i + CANDIDATE_TOKENS]) for i in range(len(starts) - CANDIDATE_TOKENS))
    return [text[a:b] for a, b in spans if text[b] == " " and words(text[a:b])]


def words(text: str) -> bool:
    """Whether a slice is a space and then two words or more, on one line."""
    return text.isprintable() and text == " " + " ".join(text.split()) and len(text.split()) > 1


def distinct_contexts(rows: list[list[int]]) -> int:
    """How many different contexts the candidates' factors have: the least rows that can answer, after the context."""
    return len({tuple(row[:length]) for row in rows for length in range(len(row))})


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False).ids
