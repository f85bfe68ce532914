"""Habits of computing log probabilities that give other numbers than ours: each changes a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule.comparison.score_call import Language, ScoreCall
from chainrule.errors import ChainruleError
from chainrule.results.comparison import Cause
from chainrule.results.score import Score
from chainrule.text.reading import Reading
from chainrule.text.requests import requests

_WINDOWS = (128, 256, 512, 1024, 2048, 4096)


@dataclass(frozen=True)
class Habit:
    """A change of a call and its cause. Of two habits of one group, a call has at most one."""

    group: str
    cause: Cause
    change: Callable[[ScoreCall], ScoreCall]


def habits(lm: Language, call: ScoreCall, score: Score, extra: int) -> Iterator[Habit]:
    """The habits that may apply. score: ours. extra: how many more numbers the user has than we."""
    yield from _starts(lm, score)
    yield from _ends(lm, call, score)
    yield from _contexts(call, score)
    yield from _tokenisations(lm, call, score)
    yield from _shifts()
    yield from _paddings(lm, score, extra)
    yield from _windows(lm, score)
    if lm.predictor.accepts.pseudo and not lm.predictor.accepts.left_to_right:
        cause = Cause(
            "pseudo-log-likelihood",
            "each token is predicted from all others, to the left and to the right, so the numbers are not factors",
            "use the factors of score(), or compare with pseudo_log_likelihood()",
        )
        yield Habit("pseudo", cause, lambda r: replace(r, pseudo=True, end=None, start=None))


def _starts(lm: Language, score: Score) -> Iterator[Habit]:
    ours = score.start
    symbol = f"{ours.token} (id {ours.id})"
    if ours.id is not None:
        cause = Cause(
            "no start symbol",
            "the first token is given: it has no number, and the others are conditioned on no start symbol",
            f"put {symbol} before the text, or compare with start='given'",
        )
        yield Habit("start", cause, lambda r: replace(r, start="given"))
    for name, id in _symbols(lm).items():
        if id == ours.id or not 0 <= id < lm.model.head.size:
            continue
        token = lm.tokenizer.token(id) if lm.tokenizer else f"<{id}>"
        cause = Cause(
            "another start symbol" if ours.id is not None else "a start symbol",
            f"the first token is predicted from the {name} symbol {token} (id {id})",
            f"use {symbol}, or compare with start={id}" if ours.id is not None else f"leave it out, or compare with start={id}",
        )
        yield Habit("start", cause, lambda r, id=id: replace(r, start=id))
    if ours.id is not None:
        cause = Cause(
            "the start symbol twice",
            f"the text begins with two start symbols, {symbol}: one from the tokenizer and one added",
            "add the start symbol once (add_special_tokens=False, or without adding it yourself)",
        )
        yield Habit("start", cause, lambda r: _by_ids(lm, r, lambda before, ids: ([ours.id, *before], ids)))


def _symbols(lm: Language) -> dict[str, int]:
    """Start symbols that programs use, by their names."""
    tokenizer, model = lm.tokenizer, lm.model
    found = {
        "BOS": getattr(tokenizer, "bos_id", None),
        "EOS": getattr(tokenizer, "eos_id", None),
        "CLS": getattr(tokenizer, "cls_id", None),
        "config's BOS": getattr(model, "bos_id", None),
        "padding": _pad(lm),
    }
    by_id: dict[int, str] = {}
    for name, id in found.items():
        if isinstance(id, int):
            by_id.setdefault(id, name)
    return {name: id for id, name in by_id.items()}


def _pad(lm: Language) -> int | None:
    candidates = (getattr(getattr(lm.tokenizer, "hf", None), "pad_token_id", None), getattr(lm.model, "pad_id", None))
    return next((id for id in (*candidates, getattr(lm.tokenizer, "eos_id", None)) if isinstance(id, int)), None)


def _ends(lm: Language, call: ScoreCall, score: Score) -> Iterator[Habit]:
    if score.end is not None:
        cause = Cause("no end symbol", "the factor of the end symbol is left out", "add it, or compare without end=")
        yield Habit("end", cause, lambda r: replace(r, end=None))
    elif lm.predictor.accepts.end_symbol:
        cause = Cause(
            "an end symbol", "they include the factor of the end symbol", "leave its number out, or compare with end=True"
        )
        yield Habit("end", cause, lambda r: replace(r, end=True))


def _contexts(call: ScoreCall, score: Score) -> Iterator[Habit]:
    if not len(score.request.context_ids):
        return
    ignored = Cause("no context", "the text is not conditioned on the context", "put the context before the text")
    yield Habit("context", ignored, lambda r: replace(r, context=None, context_special=None))
    included = Cause(
        "the context is scored too",
        "they include the factors of the context",
        "leave out the numbers of the tokens of the context, or score both as one text",
    )
    before = score.request.context_ids.tolist()
    yield Habit("context", included, lambda r: _after(r, score, lambda ids: [*before, *ids]))
    if isinstance(call.text, str) and isinstance(call.context, str):
        joined = Cause(
            "a space between context and text",
            "a space was put between the context and the text",
            "join them as they are, or begin the text with the space",
        )
        yield Habit("context", joined, lambda r: replace(r, text=f" {r.text}"))


def _after(call: ScoreCall, score: Score, change: Callable[[list[int]], list[int]]) -> ScoreCall:
    """The call for the tokens of ours, changed, without a context."""
    ids = score.request.ids.tolist()
    if score.end is not None:
        ids = ids[:-1]
    return replace(call, text=change(ids), context=None, special=None, context_special=None)


def _tokenisations(lm: Language, call: ScoreCall, score: Score) -> Iterator[Habit]:
    text = call.text
    if not isinstance(text, str) or lm.tokenizer is None:
        return
    changed = {
        "a space before the text": " " + text if call.context is None else text,
        "no space before the text": text.removeprefix(" "),
        "white space removed": text.strip(),
        "a line break after the text": text + "\n",
    }
    seen = {text}
    for name, other in changed.items():
        if not other or other in seen:
            continue
        seen.add(other)
        cause = Cause(name, f"they are the numbers of {other!r:.60}", "tokenise the same text, character by character")
        yield Habit("text", cause, lambda r, other=other: replace(r, text=other))
    if score.special is not None:
        other = "parse" if score.special == "text" else "text"
        how = {"parse": "the symbols themselves", "text": "plain text"}[other]
        cause = Cause(
            "control symbols",
            f"names of control symbols in the text were read as {how}",
            f"compare with special={other!r}, or escape them (split_special_tokens=True in transformers)"
            if other == "parse"
            else f"compare with special={other!r}",
        )
        yield Habit("text", cause, lambda r: replace(r, special=other))
    hf: Any = getattr(lm.tokenizer, "hf", None)
    if hf is not None and call.context is None:
        try:
            ids = [int(i) for i in hf(text, truncation=False, padding=False)["input_ids"]]
        except Exception:  # a tokenizer that transformers cannot call on its own
            return
        plain = score.request.ids.tolist()[: -1 if score.end is not None else None]
        start = [] if score.start.id is None else [score.start.id]
        if ids not in (plain, [*start, *plain]) and len(ids) > 1:
            named = " ".join(lm.tokenizer.token(i) for i in ids)
            cause = Cause(
                "the tokenizer's own symbols",
                f"the tokenizer added or changed tokens: {named!r:.80}",
                "tokenise with add_special_tokens=False, and add the start symbol yourself",
            )
            yield Habit("text", cause, lambda r: replace(r, text=ids, start="given", special=None))


def _shifts() -> Iterator[Habit]:
    cause = Cause(
        "not shifted",
        "each number is read from the logits at the token itself, which predict the next token",
        "read the number of token i from logits[i − 1]: logits[:, :-1] for labels[:, 1:]",
    )
    yield Habit("shift", cause, lambda r: replace(r, unshifted=True))


def _paddings(lm: Language, score: Score, extra: int) -> Iterator[Habit]:
    pad = _pad(lm)
    if pad is None or not 0 < extra <= len(score) + 1024:
        return
    cause = Cause(
        "padding",
        "they include the factors of padding tokens after the text",
        "leave out the positions where attention_mask is 0",
    )
    yield Habit("end", cause, lambda r: _by_ids(lm, r, lambda before, ids: (before, [*ids, *[pad] * extra])))
    left = Cause(
        "padding",
        "the text comes after padding tokens that were not masked, and that have numbers",
        "pass attention_mask, and leave out the positions where it is 0",
    )
    yield Habit("start", left, lambda r: _by_ids(lm, r, lambda before, ids: (before, [*[pad] * (extra + 1), *ids]), "given"))


def _windows(lm: Language, score: Score) -> Iterator[Habit]:
    length, most = len(score), lm.model.max_rows
    for window in sorted({*_WINDOWS, *([most] if most else [])}):
        if window >= length or (most and window > most):
            continue
        for stride in (window, window // 2):
            cause = Cause(
                "other windows",
                f"the text was cut into windows of {window} tokens, each {stride} tokens further",
                f"compare with window={window}, stride={stride}",
            )
            yield Habit("window", cause, lambda r, w=window, s=stride: replace(r, window=w, stride=s))


def _by_ids(
    lm: Language,
    call: ScoreCall,
    change: Callable[[list[int], list[int]], tuple[list[int], list[int]]],
    start: str | None = None,
) -> ScoreCall:
    """The call with the tokens of its context and text, changed."""
    contexts = None if call.context is None else [call.context]
    reading = Reading.of(call.special or "text", call.context_special)
    made = requests([call.text], contexts, lm.tokenizer, lm.model.head.size, reading)[0]
    before, ids = change(made.context_ids.tolist(), made.ids.tolist())
    start_of = call.start if start is None else start
    context = np.array(before, np.int64) if before else None
    return replace(call, text=ids, context=context, start=start_of, special=None, context_special=None)


_ORDER = ("pseudo", "text", "context", "end", "start", "window", "shift")  # changes of texts come before those of ids


def applied(call: ScoreCall, chosen: tuple[Habit, ...]) -> ScoreCall | None:
    """The call with several habits; None if they do not go together."""
    try:
        for habit in sorted(chosen, key=lambda habit: _ORDER.index(habit.group)):
            call = habit.change(call)
    except ChainruleError:
        return None
    return call
