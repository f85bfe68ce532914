"""Views of scores: Rich for terminals, HTML for notebooks. Tokens are coloured by surprisal; red is high."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING

from chainrule.generation.result import Generated
from chainrule.results import units
from chainrule.results.batch import Scores
from chainrule.results.columns import Row
from chainrule.results.explanation import Explanation
from chainrule.results.pseudo import PseudoScore
from chainrule.results.schema import unit
from chainrule.results.score import Score

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table
    from rich.text import Text

_FULL = 16.0  # bits at which the red is full
SHOWN = 20  # sequences of a batch that are shown
NATS = unit(Row.SEQUENCE, "logprob")
LOGPROB = f"log Pr ({NATS})"  # a heading
_BITS_PER_BYTE = unit(Row.SEQUENCE, "bits_per_byte")
_BITS = unit(Row.TOKEN, "surprisal_bits")


def explanation_table(explanation: Explanation) -> Group:
    """One line per factor: formula, token, probability with a bar, log probability, running log probability."""
    from rich.bar import Bar
    from rich.console import Group
    from rich.text import Text

    table = plain_table("factor", "token", right=("probability", "log Pr", "running"))
    table.add_column("", ratio=1)  # the bar takes the rest of the line
    for f in explanation.factors:
        token, colour = Text(repr(f.token), style=_colour(f.logprob)), _colour(f.logprob)
        numbers = f"{f.probability:.6g}", f"{f.logprob:.6f}", f"{f.running_logprob:.6f}"
        table.add_row(f.formula, token, *numbers, Bar(1.0, 0.0, f.probability, color=colour))
    below = [*explanation.product(), explanation.total()]
    return Group(Text(explanation.head(), style="dim"), table, *(Text(line, style="bold") for line in below))


def plain_table(*left: str, right: tuple[str, ...] = ()) -> Table:
    """A table without borders whose numbers are never truncated."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    for name in left:
        table.add_column(name, overflow="fold")  # wrapped on a narrow terminal
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def score_panel(score: Score) -> Group:
    """The text coloured by surprisal, with the numbers below."""
    from rich.console import Group
    from rich.text import Text

    below = [score.start.describe(), *([score.ordering.describe()] if score.ordering is not None else []), *score.remarks]
    numbers = Text(_numbers(score), style="bold")
    return Group(text_in_colour(score), numbers, *(Text(line, style="dim") for line in below))


def text_in_colour(score: Score) -> Text:
    """The text coloured by surprisal. Context and given tokens are dim."""
    from rich.text import Text

    body = Text(score.context or "", style="dim")
    if score.ordering is None or score.spans is None or len(score.ordering.given) == len(score.request.context_ids):
        for token, logprob in zip(score.tokens, score.logprobs, strict=True):
            body.append(token, style=_colour(logprob))
        return body
    text, end = score.text or "", 0
    for (a, b), logprob in zip(score.spans.char_spans, score.logprobs, strict=True):
        a = max(a, end)  # two tokens may be parts of one character
        body.append(text[end:a], style="dim")
        body.append(text[a:b], style=_colour(logprob))
        end = max(a, b)
    return body.append(text[end:], style="dim")


def generated_panel(generated: Generated) -> Group:
    """The score, and one line on how the text was generated."""
    from rich.console import Group
    from rich.text import Text

    return Group(score_panel(generated), Text(generated.describe(), style="dim"))


def pseudo_panel(score: PseudoScore) -> Group:
    """The text coloured by its terms, with the sum below and a note that it is not a probability."""
    from rich.console import Group
    from rich.text import Text

    body = Text(score.context or "", style="dim")
    for token, term in zip(score.tokens, score.term_logprobs.tolist(), strict=True):
        body.append(token, style=_colour(term))
    return Group(body, Text(score.describe(), style="bold"))


_SCORES = (LOGPROB, "tokens", "perplexity", _BITS_PER_BYTE)


def scores_table(scores: Scores) -> Table:
    """One line per sequence."""
    return batch_table(_SCORES, [(_cells(score), label(score)) for score in scores[:SHOWN]], len(scores), "sequences")


def batch_table(names: tuple[str, ...], lines: list[tuple[list[str], str]], total: int, noun: str) -> Table:
    """A table of numbers, each line with its text. A caption has the number of lines if it is less than `total`."""
    from rich.text import Text

    table = plain_table(right=names)
    table.add_column("text", no_wrap=True, overflow="ellipsis", ratio=1)
    for cells, text in lines:
        table.add_row(*cells, Text(text))
    if total > len(lines):
        table.caption = f"{len(lines)} of {total} {noun}"
    return table


def score_html(score: Score) -> str:
    """The text coloured by surprisal. Hovering over a token shows its numbers."""
    pieces = [
        f'<span style="background:rgba(214,40,40,{_heat(logprob):.2f})" title="{html.escape(_hover(score, i))}">'
        f"{html.escape(token)}</span>"
        for i, (token, logprob) in enumerate(zip(score.tokens, score.logprobs, strict=True))
    ]
    context = f'<span style="opacity:.5">{html.escape(score.context)}</span>' if score.context else ""
    below = "<br>".join(map(html.escape, [_numbers(score), *score.remarks]))
    return f'<div style="white-space:pre-wrap">{context}{"".join(pieces)}</div><small>{below}</small>'


def scores_html(scores: Scores) -> str:
    return batch_html(_SCORES, [(_cells(score), label(score)) for score in scores[:SHOWN]], repr(scores))


def batch_html(names: tuple[str, ...], lines: list[tuple[list[str], str]], below: str) -> str:
    """`batch_table` as HTML, with a line below."""
    rows = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in cells)}<td>{html.escape(text)}</td></tr>" for cells, text in lines)
    head = "".join(f"<th>{name}</th>" for name in (*names, "text"))
    return f"<table><tr>{head}</tr>{rows}</table><small>{html.escape(below)}</small>"


def rank_table(ranked: list) -> RenderableType:
    """One line per candidate, most probable first."""
    from rich.text import Text

    table = plain_table(right=("", LOGPROB, "within the set", "tokens"))
    table.add_column("candidate", ratio=1)
    for rank, r in enumerate(ranked, 1):
        table.add_row(
            str(rank), f"{r.logprob:.6f}", f"{math.exp(r.logprob_within_set):.2%}", str(len(r.score)), Text(str(r.text))
        )
    return table


def _colour(logprob: float) -> str:
    rest = round(255 - 175 * _heat(logprob))
    return f"rgb(255,{rest},{rest})"


def _heat(logprob: float) -> float:
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
    return f"{name} = {score.logprob:.6f} {NATS} · {len(score)} tokens · perplexity {score.perplexity:.4g}{per_byte}"


def _cells(score: Score) -> list[str]:
    per_byte = "" if score.bits_per_byte is None else f"{score.bits_per_byte:.4f}"
    return [f"{score.logprob:.6f}", str(len(score)), f"{score.perplexity:.4g}", per_byte]


def label(score: Score) -> str:
    """The text as one line, shortened; token ids if there is no text."""
    text = score.text if score.text is not None else " ".join(map(str, score.ids[:12]))
    return " ".join(text.split())[:120]
