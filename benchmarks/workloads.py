"""The workloads: the request for the workers, the number of tokens in one round, and the sizes.

The tokens of a workload are its scored tokens, counted once with the model's tokenizer, without start symbols and padding. The
speed of every system uses this count. Systems receive the texts as text.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from lists import (
    CANDIDATE_TOKENS,
    CONTEXT_TOKENS,
    EDITS,
    HYPOTHESES,
    HYPOTHESIS_TOKENS,
    continuations,
    hypotheses,
    questionnaire,
)
from texts import Source, book, distinct, fortunes, ids
from tokenizers import Tokenizer

WINDOW = 2048  # embeddings
SHORTEST, LONGEST = 5, 4000  # tokens of a mixed text
LONG = 2000  # tokens of a long text: with the start symbol, they fit into a context of 2,048
SEED = 1
EXACT = ("transformers_single", "exact"), "transformers one by one, log-softmax in float64"


@dataclass(frozen=True)
class Workload:
    """``request`` is passed to each worker's ``method``; ``warmup`` is a small request of the same form.

    ``reference`` is the system, and its method, whose float32 answers are the reference; ``against`` names it.
    ``tolerance`` is the largest difference of chainrule's answers from the reference, in nats; None: no bound.
    """

    name: str
    tokens: int
    request: dict
    warmup: dict
    facts: dict
    reference: tuple[str, str]
    against: str
    method: str
    dtype: str = "float32"
    tolerance: float | None = 1e-3
    busy: bool = False  # whether a foreign process computes meanwhile

    def measured_by(self, system: str) -> bool:
        """Whether this system's timed answers are the reference."""
        return self.reference == (system, self.method) and self.dtype == "float32"


def build(name: str, tokenizer: Tokenizer, size: str) -> Workload:
    """The workload ``name`` in one of its sizes: "full", "peers" or "quick"."""
    kind = KINDS[name]
    return replace(kind.builder(tokenizer, getattr(kind, size)), name=name)


def flat(tokenizer: Tokenizer, count: int) -> Workload:
    """The joint log-probability of each of ``count`` short texts after the start symbol."""
    texts = fortunes()[:count]
    return joint("flat", tokenizer, texts)


def flat_bf16(tokenizer: Tokenizer, count: int) -> Workload:
    """The same with weights in bfloat16. The reference remains float32, so the difference is the effect of bfloat16."""
    return replace(flat(tokenizer, count), dtype="bfloat16", tolerance=None)


def busy(tokenizer: Tokenizer, count: int) -> Workload:
    """The same in float32 while a foreign process of one thread multiplies matrices."""
    return replace(flat(tokenizer, count), busy=True)


def long(tokenizer: Tokenizer, count: int) -> Workload:
    """``count`` texts of 2,000 tokens, cut from the book."""
    return joint("long", tokenizer, list(Source(tokenizer, book()).pieces([LONG] * count)))


def long_bf16(tokenizer: Tokenizer, count: int) -> Workload:
    """The same with weights in bfloat16; see ``flat_bf16``."""
    return replace(long(tokenizer, count), dtype="bfloat16", tolerance=None)


def mixed(tokenizer: Tokenizer, count: int) -> Workload:
    """``count`` texts of 5 to 4,000 tokens, 598 on average. Lengths are spaced evenly on a logarithmic scale.

    The shorter ones (up to 150 tokens) are cut from the fortunes, the others from the book. No two overlap.
    """
    lengths = [round(SHORTEST * (LONGEST / SHORTEST) ** ((i + 0.5) / count)) for i in range(count)]
    random.Random(SEED).shuffle(lengths)
    sources = {True: "\n".join(fortunes()), False: book()}
    cut = {
        short: iter(Source(tokenizer, text).pieces(n for n in lengths if (n <= 150) == short))
        for short, text in sources.items()
    }
    return joint("mixed", tokenizer, [next(cut[n <= 150]) for n in lengths])


def joint(name: str, tokenizer: Tokenizer, texts: list[str]) -> Workload:
    """Independent texts, each after the start symbol."""
    rows = [ids(tokenizer, text) for text in texts]
    tokens = sum(map(len, rows))
    facts = {"texts": len(texts), "mean_tokens": round(tokens / len(texts), 1), **distinct(([], row) for row in rows)}
    warmup = {"texts": sorted(texts, key=len)[: min(16, len(texts) // 2)]}
    return Workload(name, tokens, {"texts": texts}, warmup, facts, *EXACT, method="flat")


def candidates(tokenizer: Tokenizer, count: int) -> Workload:
    """``count`` continuations of 10 tokens, each scored after one context of 1,000 tokens.

    The tokens are counted as if each candidate were scored separately with its context: count · (1,000 + 10).
    """
    context, texts = continuations(tokenizer, Source(tokenizer, book()), count)
    rows = [ids(tokenizer, text) for text in texts]
    facts = {
        "candidates": count,
        "context_tokens": CONTEXT_TOKENS,
        "candidate_tokens": CANDIDATE_TOKENS,
        **distinct((ids(tokenizer, context), row) for row in rows),
    }
    tokens = count * (CONTEXT_TOKENS + CANDIDATE_TOKENS)
    request = {"context": context, "candidates": texts}
    reference = ("lm_eval", "candidates"), "lm-evaluation-harness"
    return Workload("candidates", tokens, request, {**request, "candidates": texts[:2]}, facts, *reference, "candidates")


def questions(tokenizer: Tokenizer, count: int) -> Workload:
    """``count`` questions of 1,000 tokens, each with 4 answers of 10 tokens to choose from.

    The tokens are counted as in ``candidates``.
    """
    items = questionnaire(tokenizer, count)
    pairs = [(ids(tokenizer, question), ids(tokenizer, answer)) for question, answers in items for answer in answers]
    facts = {
        "questions": count,
        "answers": len(items[0][1]),
        "question_tokens": CONTEXT_TOKENS,
        "answer_tokens": CANDIDATE_TOKENS,
        **distinct(pairs),
    }
    tokens = sum(len(question) + len(answer) for question, answer in pairs)
    warmup = {"questions": [(question[:200], answers[:2]) for question, answers in items[:1]]}
    reference = ("lm_eval", "questions"), "lm-evaluation-harness"
    return Workload("questions", tokens, {"questions": items}, warmup, facts, *reference, "questions")


def nbest(tokenizer: Tokenizer, count: int) -> Workload:
    """``count`` lists of 50 hypotheses of 20 tokens, as from a speech recogniser: see ``lists.hypotheses``."""
    lists = hypotheses(tokenizer, count)
    rows = [ids(tokenizer, text) for texts in lists for text in texts]
    facts = {
        "lists": count,
        "hypotheses": HYPOTHESES,
        "hypothesis_tokens": HYPOTHESIS_TOKENS,
        "shared": 1 - EDITS / HYPOTHESIS_TOKENS,
        **distinct(([], row) for row in rows),
    }
    request = {"texts": [text for texts in lists for text in texts]}
    return Workload("nbest", sum(map(len, rows)), request, {"texts": lists[0][:16]}, facts, *EXACT, method="flat")


def windowed(tokenizer: Tokenizer, tokens: int, stride: int = WINDOW) -> Workload:
    """The first ``tokens`` tokens of a book in windows of 2,048 embeddings that move on by ``stride`` tokens.

    Each window follows the start symbol. A token is scored once, in the first window that contains it.
    """
    (text,) = Source(tokenizer, book()).pieces([tokens])
    row = ids(tokenizer, text)
    stops = [*range(min(WINDOW, tokens), tokens, stride), tokens]
    firsts = [0, *stops[:-1]]
    parts = [(row[max(0, stop - WINDOW) : first], row[first:stop]) for first, stop in zip(firsts, stops, strict=True)]
    facts = {"book_tokens": tokens, "window": WINDOW, "stride": stride, "windows": len(stops), **distinct(parts)}
    request = {"text": text, "window": WINDOW, "stride": stride}
    warmup = {**request, "text": text[:2000]}
    reference = ("transformers_single", "exact_book"), "transformers, window by window, log-softmax in float64"
    return Workload("book", tokens, request, warmup, facts, *reference, method="book")


def overlapping(tokenizer: Tokenizer, tokens: int) -> Workload:
    """The same in windows that overlap by half, as chainrule cuts them by default."""
    return windowed(tokenizer, tokens, WINDOW // 2)


@dataclass(frozen=True)
class Kind:
    """The builder of a workload, and its sizes: ``full`` for the floor, ``peers`` for peers, ``quick`` for a test run."""

    builder: Callable[[Tokenizer, int], Workload]
    full: int
    peers: int
    quick: int


# With the size for peers, a round of a peer takes 15 to 60 seconds on two cores, and more on a busy machine.
KINDS = {
    "flat": Kind(flat, 500, 200, 40),
    "flat-bf16": Kind(flat_bf16, 500, 200, 40),
    "busy": Kind(busy, 200, 200, 40),
    "long": Kind(long, 6, 6, 2),
    "long-bf16": Kind(long_bf16, 6, 6, 2),
    "candidates": Kind(candidates, 100, 100, 10),
    "questions": Kind(questions, 20, 5, 2),
    "nbest": Kind(nbest, 100, 10, 2),
    "mixed": Kind(mixed, 67, 25, 8),
    "book": Kind(windowed, 100_000, 10 * WINDOW, 2 * WINDOW),
    "book-overlap": Kind(overlapping, 10 * WINDOW, 10 * WINDOW, 2 * WINDOW),
}
