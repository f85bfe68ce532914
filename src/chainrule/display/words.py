"""Views of words: the text with its surprising words marked, and one line per word."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator

from chainrule.display.grid import Grid, column, numbers
from chainrule.display.notebook import heat
from chainrule.display.pairs import table_html
from chainrule.display.scores import SHOWN, in_part, temperature_note
from chainrule.display.spans import LEVELS, NOTE, Cell, Span, cell, level
from chainrule.display.view import Items, Paragraph, View, note, origin
from chainrule.results.words import Words

_MOST = 200  # words of one text that are shown


def words_view(words: Words) -> View:
    """The text with its words marked, one line per word, and what the numbers are; of many texts, the first words."""
    single = len(words.count_S) == 1
    shown = min(len(words), _MOST if single else SHOWN)
    marked = (Paragraph(marked_words(words)), Items("surprisal (bits):", tuple(Span(w, s) for _, s, w in LEVELS)))
    remarks = [note(text) for text in remarks_on(words)]
    at = temperature_note(words.scores.temperature)
    return View(*(marked if single else ()), _grid(words, shown, single), *remarks, *at, origin(words))


def marked_words(words: Words) -> Cell:
    """The first text with each word in the style of its surprisal. Context and characters outside of words are dim."""
    pieces = [Span(text, NOTE if w is None else level(float(words.logprob[w])), own=True) for text, w in _pieces(words)]
    return (Span(words.scores.requests[0].context or "", NOTE, own=True), *pieces)


def _pieces(words: Words) -> Iterator[tuple[str, int | None]]:
    """The first text in pieces, each with the number of the word that it is; None between words."""
    text, at = words.scores.requests[0].text or "", 0
    for w in range(int(words.count_S[0])):
        begin, stop = int(words.begin[w]), int(words.stop[w])
        yield text[at:begin], None
        yield text[begin:stop], w
        at = stop
    yield text[at:], None


def words_html(words: Words) -> str:
    """The first text coloured by surprisal, and a table of the words."""
    request, pieces = words.scores.requests[0], []
    for text, w in _pieces(words):
        piece = html.escape(text)
        if w is not None:
            bits = html.escape(f"{_bits(words, w, 4) or 'no'} bits")
            style = f"background:rgba(214,40,40,{heat(float(words.logprob[w])):.2f})"
            piece = f'<span style="{style}" title="{bits}">{piece}</span>'
        pieces.append(piece)
    context = f'<span style="opacity:.5">{html.escape(request.context)}</span>' if request.context else ""
    shown = min(len(words), SHOWN)
    rows = [[html.escape(words.words[w]), _bits(words, w, 4), words.boundary[w]] for w in range(shown)]
    table = table_html(["word", "surprisal (bits)", "boundary"], rows)
    below = [in_part(shown, len(words), "words"), *remarks_on(words)]
    body = f'<div style="white-space:pre-wrap">{context}{"".join(pieces)}</div>'
    return f"{body}{table}<small>{'<br>'.join(html.escape(line) for line in below if line)}</small>"


def remarks_on(words: Words) -> list[str]:
    """Lines below a table of words: the correction, words without a number, and boundaries that are not clean."""
    kinds = {"full": f"corrected for where words begin and end ({words.rule})", "none": "not corrected for where words end"}
    lines = [f"log Pr of a word: {kinds[words.correction]}"]
    if words.first[:1].tolist() == [-1] and words.tokens[0]:
        lines.append("the first word has no number: its first token is given")
    if words.crossing:
        tokens = list(dict.fromkeys(token for own in words.crossing.values() for token in own))
        named = ", ".join(map(repr, tokens[:3]))
        lines.append(f"tokens that cross a boundary count for the word in which they begin: {named}")
    if words.unmarked:
        lines.append("unmarked: the word begins or ends where the rule does not allow it, and is not corrected there")
    return lines


def _grid(words: Words, shown: int, single: bool) -> Grid:
    boundary = words.boundary[:shown]
    columns = {
        "text": column("number", "text", [cell(str(s)) for s in words.text_index[:shown].tolist()], "text"),
        "word": column("fold", "word", [_word(words, w) for w in range(shown)]),
        "bits": numbers(
            "surprisal\n(bits)", [[cell(_bits(words, w, digits)) for w in range(shown)] for digits in (2, 4)],
            ["surprisals to 2 decimals"],
        ),
        "nats": column("number", "log Pr\n(nats)", [_number(x) for x in words.logprob[:shown].tolist()], "log Pr"),
        "uncorrected": column(
            "number", "uncorrected\n(nats)", [_number(x) for x in words.logprob_uncorrected[:shown].tolist()], "uncorrected"
        ),
        "entropy": column("number", "entropy\n(bits)", [_number(x, 3) for x in words.entropy_bits[:shown].tolist()], "entropy"),
        "tokens": column("number", "tokens", [cell(str(n)) for n in words.tokens[:shown].tolist()], "tokens"),
        "boundary": column("label", "boundary", [cell(name) for name in boundary], "boundary"),
    }  # fmt: skip
    unclean = ["boundary"] if set(boundary) != {"clean"} else []
    plan = ["word", "bits", *([] if single else ["text"]), *unclean, "tokens", "entropy", "nats", "uncorrected", "bits"]
    names = [name for name in columns if name in plan]
    return Grid({name: columns[name] for name in names}, plan, 2, caption=in_part(shown, len(words), "words"))


def _word(words: Words, w: int) -> Cell:
    return cell(words.words[w], level(float(words.logprob[w])), own=True)


def _bits(words: Words, w: int, digits: int) -> str:
    bits = float(words.surprisal_bits[w])
    return "" if math.isnan(bits) else f"{bits:.{digits}f}"


def _number(value: float, digits: int = 4) -> Cell:
    return cell("" if math.isnan(value) else f"{value:.{digits}f}")
