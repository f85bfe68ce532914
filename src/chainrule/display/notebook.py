"""Views for notebooks: HTML. Tokens are coloured by surprisal; red is high."""

from __future__ import annotations

import html
import math

from chainrule.results import units
from chainrule.results.batch import Scores
from chainrule.results.columns import Row
from chainrule.results.mixture import Mixture, Mixtures
from chainrule.results.ordering import listed
from chainrule.results.schema import unit
from chainrule.results.score import Score

_FULL = 16.0  # bits at which the red is full
_SHOWN = 20  # sequences of a batch that are shown
_NATS = unit(Row.SEQUENCE, "logprob")
_LOGPROB = f"log Pr ({_NATS})"  # a heading
_BITS_PER_BYTE = unit(Row.SEQUENCE, "bits_per_byte")
_BITS = unit(Row.TOKEN, "surprisal_bits")
_SCORES = (_LOGPROB, "tokens", "perplexity", _BITS_PER_BYTE)
_MIXTURES = (_LOGPROB, "spread", "orders", "tokens")


def score_html(score: Score) -> str:
    """The text coloured by surprisal. Hovering over a token shows its numbers."""
    pieces = [
        f'<span style="background:rgba(214,40,40,{heat(logprob):.2f})" title="{html.escape(_hover(score, i))}">'
        f"{html.escape(token)}</span>"
        for i, (token, logprob) in enumerate(zip(score.tokens, score.logprobs, strict=True))
    ]
    context = f'<span style="opacity:.5">{html.escape(score.context)}</span>' if score.context else ""
    below = "<br>".join(map(html.escape, [_numbers(score), *score.remarks]))
    return f'<div style="white-space:pre-wrap">{context}{"".join(pieces)}</div><small>{below}</small>'


def scores_html(scores: Scores) -> str:
    return _table(_SCORES, [(_cells(score), _label(score)) for score in scores[:_SHOWN]], repr(scores))


def mixture_html(mixture: Mixture) -> str:
    """The text in each order, coloured by surprisal, and the mean."""
    parts = [f"<div>{html.escape(listed(order))}</div>{score_html(score)}"
             for score, order in list(zip(mixture, mixture.orders, strict=True))[:_SHOWN]]  # fmt: skip
    more = f"<div>{_SHOWN} of {len(mixture)} orders</div>" if len(mixture) > _SHOWN else ""
    return f"<div>{''.join(parts)}{more}<b>{html.escape(_means(mixture))}</b></div>"


def mixtures_html(mixtures: Mixtures) -> str:
    return _table(_MIXTURES, _lines(mixtures), repr(mixtures))


def _table(names: tuple[str, ...], lines: list[tuple[list[str], str]], below: str) -> str:
    """A table of numbers, each line with its text, and a line below."""
    rows = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in cells)}<td>{html.escape(text)}</td></tr>" for cells, text in lines)
    head = "".join(f"<th>{name}</th>" for name in (*names, "text"))
    return f"<table><tr>{head}</tr>{rows}</table><small>{html.escape(below)}</small>"


def heat(logprob: float) -> float:
    """How much of the full colour a token of this log probability gets: from 0 to 1."""
    return min(1.0, units.bits(float(logprob)) / _FULL) if math.isfinite(logprob) else 1.0


def _hover(score: Score, column: int) -> str:
    logprob = float(score.logprobs[column])
    return (
        f"Pr = {math.exp(logprob):.4g}, {units.bits(logprob):.2f} {_BITS}, rank {score.ranks[column]}, "
        f"context {score.contexts[column]}"
    )


def _numbers(score: Score) -> str:
    per_byte = "" if score.bits_per_byte is None else f" · {score.bits_per_byte:.4f} {_BITS_PER_BYTE.replace('/', ' per ')}"
    name = "log Pr" if score.kind == "joint" else "log Pr given its context"
    return f"{name} = {score.logprob:.6f} {_NATS} · {len(score)} tokens · perplexity {score.perplexity:.4g}{per_byte}"


def _cells(score: Score) -> list[str]:
    per_byte = "" if score.bits_per_byte is None else f"{score.bits_per_byte:.4f}"
    return [f"{score.logprob:.6f}", str(len(score)), f"{score.perplexity:.4g}", per_byte]


def _label(score: Score) -> str:
    """The text as one line, shortened; token ids if there is no text."""
    text = score.text if score.text is not None else " ".join(map(str, score.ids[:12]))
    return " ".join(text.split())[:120]


def _lines(mixtures: Mixtures) -> list[tuple[list[str], str]]:
    return [(_mean_cells(mixture), _label(mixture[0])) for mixture in mixtures[:_SHOWN]]


def _means(mixture: Mixture) -> str:
    name = "log Pr" if mixture.kind == "joint" else "log Pr given its context"
    spread = f"spread {mixture.logprob_spread:.3g} {_NATS}"
    return f"{name} = {mixture.logprob:.6f} {_NATS}, the mean over {len(mixture)} orders · {spread}"


def _mean_cells(mixture: Mixture) -> list[str]:
    return [f"{mixture.logprob:.6f}", f"{mixture.logprob_spread:.3g}", str(len(mixture)), str(len(mixture[0]))]
