"""Views of scores: the text with its improbable tokens marked, and its numbers; many texts as a table."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.display.grid import Column, Form, Grid, column, numbers
from chainrule.display.spans import (
    LEVELS,
    NOTE,
    Cell,
    Span,
    cell,
    forms_of_logprob,
    forms_of_probability,
    level,
    token,
)
from chainrule.display.view import Items, Paragraph, View, note, origin
from chainrule.generation.result import Generated
from chainrule.results import units
from chainrule.results.batch import Scores
from chainrule.results.pseudo import NO_PROBABILITY, PseudoScore
from chainrule.results.score import Score

SHOWN = 20  # sequences of a batch that are shown
_SURPRISING = 3  # tokens in the line of the most surprising ones


def score_view(score: Score) -> View:
    """The text with improbable tokens marked, the most surprising of them, and the numbers."""
    return View(*_marked_text(marked(score), score.tokens, score.logprobs.tolist()), *numbers_view(score).parts)


def numbers_view(score: Score) -> View:
    """The numbers of a score, and what they are conditioned on."""
    remarks = [score.condition, *([score.ordering.describe()] if score.ordering is not None else []), *score.remarks]
    how = [score.describe()] if isinstance(score, Generated) else []
    return View(_numbers([score]), *map(note, [*remarks, *how]), origin(score))


def scores_view(scores: Scores) -> View:
    """One line per sequence."""
    shown = scores[:SHOWN]
    table = _numbers(shown, texts=True, caption=in_part(len(shown), len(scores), "sequences"))
    return View(table, *temperature_note(scores.temperature), origin(scores))


def pseudo_view(score: PseudoScore) -> View:
    """The text with improbable tokens marked, its terms and their sum, and a note that it is not a probability."""
    terms = score.term_logprobs.tolist()
    body = (Span(score.context or "", NOTE, own=True), *_tokens(score.tokens, terms))
    return View(*_marked_text(body, score.tokens, terms), _sums([score]), note(_pseudo_note(score)), origin(score))


def pseudo_terms(score: PseudoScore) -> View:
    """One line per term."""
    terms = score.term_logprobs.tolist()
    columns = {
        "token": column("fold", "token", [token(name, term) for name, term in zip(score.tokens, terms, strict=True)]),
        "term": numbers("term\n(nats)", forms_of_logprob(terms), _notes("term")),
        "probability": numbers("Pr", forms_of_probability(terms), [*[""] * 3]),
    }
    table = Grid(columns, ["token", "term", "term", "probability", "probability", "probability"], 2)
    return View(table, _sums([score]), note(_pseudo_note(score)), origin(score))


def pseudo_table(scores: Sequence[PseudoScore]) -> View:
    """One line per text."""
    return View(_sums(scores, texts=True), note(_pseudo_note(scores[0])), origin(scores[0]))


def logprob_column(logprobs: list[float], name: str = "log Pr", head: str = "") -> Column:
    """Log probabilities in nats. head: a longer head, if there is room for it."""
    forms = [
        Form(f"{name}\n(nats)", cells, mark)
        for cells, mark in zip(forms_of_logprob(logprobs), [*_notes(name), ""], strict=True)
    ]
    return Column("number", [*forms, *([Form(f"{head}\n(nats)", forms[-1].cells)] if head else [])])


def temperature_note(temperature: float) -> list[Paragraph]:
    """A remark below a table of several scores, if their temperature is not 1."""
    return [] if temperature == 1 else [note(f"log Pr at temperature {temperature:g}")]


def label(score: Score | PseudoScore) -> Cell:
    """The text as one line; token ids if there is no text."""
    text = score.text if score.text is not None else " ".join(map(str, score.ids[:12].tolist()))
    return cell(" ".join(text[:400].split()), own=True)


def in_part(shown: int, total: int, noun: str) -> str:
    """A line for a table that is not complete; "" if it is."""
    return f"{shown} of {total} {noun}. A file (--output, or a table in Python) has all of them." if shown < total else ""


def marked(score: Score) -> Cell:
    """The text with each token in the style of its surprisal. Context and given tokens are dim."""
    before = Span(score.context or "", NOTE, own=True)
    if score.ordering is None or score.spans is None or len(score.ordering.given) == len(score.request.context_ids):
        return (before, *_tokens(score.tokens, score.logprobs.tolist()))
    text, end, spans = score.text or "", 0, [before]
    for (a, b), logprob in zip(score.spans.char_spans, score.logprobs.tolist(), strict=True):
        a = max(a, end)  # two tokens may be parts of one character
        spans += [Span(text[end:a], NOTE, own=True), Span(text[a:b], level(logprob), own=True)]
        end = max(a, b)
    return (*spans, Span(text[end:], NOTE, own=True))


def _tokens(tokens: list[str], logprobs: list[float]) -> Cell:
    return tuple(Span(name, level(logprob), own=True) for name, logprob in zip(tokens, logprobs, strict=True))


def _marked_text(body: Cell, tokens: list[str], logprobs: list[float]) -> list[Paragraph | Items]:
    """The text, the key to its marks, and its most surprising tokens with their surprisals."""
    order = sorted(range(len(tokens)), key=lambda i: logprobs[i])[:_SURPRISING]
    named = tuple(Span(f"{tokens[i]!r} {units.bits(logprobs[i]):.2f}", own=True) for i in order)
    key = tuple(Span(words, style) for _, style, words in LEVELS)
    return [Paragraph(body), Items("surprisal (bits):", key), Items("most surprising (bits):", named)]


def _numbers(scores: Sequence[Score], texts: bool = False, caption: str = "") -> Grid:
    """The numbers of sequences, and on request their texts."""
    per_byte = ["" if s.bits_per_byte is None else f"{s.bits_per_byte:.4f}" for s in scores]
    heads = {_whole(s) for s in scores}
    columns = {
        "logprob": logprob_column([s.logprob for s in scores], head=heads.pop() if len(heads) == 1 else "log Pr"),
        "tokens": column("number", "tokens", [cell(str(len(s))) for s in scores], "tokens"),
        "perplexity": column("number", "perplexity", [cell(f"{s.perplexity:.4g}") for s in scores], "perplexity"),
        "per_byte": column("number", "bits\nper byte", [cell(n) for n in per_byte], "bits per byte"),
    }
    text = ["text"] if texts else []
    if texts:
        columns["text"] = column("cut", "text", [label(s) for s in scores])
    plan = ["logprob", *text, "logprob", "tokens", "perplexity", "per_byte", *([] if texts else ["logprob"])]
    return Grid(columns, plan, 1 + len(text), caption=caption)


def _whole(score: Score) -> str:
    if score.kind == "joint":
        return "log Pr(text)"
    return "log Pr(text | context)" if len(score.request.context_ids) else "log Pr(text | given tokens)"


def _sums(scores: Sequence[PseudoScore], texts: bool = False) -> Grid:
    per_token = [s.pll_nats / len(s) for s in scores]
    columns = {
        "pll": Column("number", [*logprob_column([s.pll_nats for s in scores], "PLL", "pseudo-log-likelihood").forms]),
        "tokens": column("number", "tokens", [cell(str(len(s))) for s in scores], "tokens"),
        "per_token": column("number", "per token\n(nats)", [cell(f"{n:.4f}") for n in per_token], "PLL per token"),
    }
    text = ["text"] if texts else []
    if texts:
        columns["text"] = column("cut", "text", [label(s) for s in scores])
    return Grid(columns, ["pll", *text, "pll", "tokens", "per_token", *([] if texts else ["pll"])], 1 + len(text))


def _pseudo_note(score: PseudoScore) -> str:
    hidden = "tokens to the right in the same word hidden; " if score.within_words else ""
    return f"PLL, the pseudo-log-likelihood: {hidden}{NO_PROBABILITY}"


def _notes(name: str) -> list[str]:
    return [f"{name} to 3 decimals"]
