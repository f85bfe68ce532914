"""Generation of a text of known length in any order, and infilling of blanks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule._checks import is_whole
from chainrule._types import Bools, Ints
from chainrule.engine.predictors.base import OrderedPredictor
from chainrule.engine.question import Settings
from chainrule.errors import InputError, short
from chainrule.forest.permutations import OrderedSequence, names_several_orders, resolve
from chainrule.generation.hypothesis import Hypothesis, StoppingCriteria, finished
from chainrule.generation.options import Options
from chainrule.generation.result import Generated
from chainrule.generation.spelling import special_of, text_of
from chainrule.generation.strategies import reporter, run
from chainrule.scoring.assemble import scores_of
from chainrule.text.arguments import as_list, describe
from chainrule.text.base import TokenizerLike
from chainrule.text.ids import as_ids
from chainrule.text.reading import LITERAL, Reading
from chainrule.text.requests import Request, requests
from chainrule.text.start_end import Start
from chainrule.text.tokenizer import check_text

BLANK = "____"
_MOST = 1 << 24  # tokens in a blank; no model takes as many


def generate_in_order(
    predictor: OrderedPredictor,
    tokenizer: TokenizerLike | None,
    context: Request | None,
    start: Start,
    order: Any,
    options: Options,
) -> list[Generated]:
    """Texts of `options.max_tokens` tokens after the context, generated in this order. Raises InputError."""
    if options.max_tokens is None:
        raise InputError("with order= the length of the text is fixed before generation: pass max_tokens=")
    before = np.zeros(0, np.int64) if context is None else context.ids
    order_T = _order(order, options.max_tokens, options.seed) + len(before)
    ordered = OrderedSequence(
        np.append(before, np.zeros(options.max_tokens, np.int64)), order_T, np.arange(len(before)), start.id
    )

    def request(ids_L: Ints) -> Request:
        own = _request(ids_L[len(before) :], before, tokenizer)
        if context is None:
            return own
        return replace(own, context=context.text, context_special=context.special)

    return _generated(predictor, tokenizer, ordered, start, options, request)


def infill(
    predictor: OrderedPredictor,
    tokenizer: TokenizerLike | None,
    template: Any,
    lengths: Any,
    start: Start,
    order: Any,
    options: Options,
    reading: Reading = LITERAL,
) -> list[Generated]:
    """Texts with the blanks of `template` filled. lengths: tokens in each blank; None: one. Raises InputError."""
    ids_L, blank_L = _template(template, lengths, tokenizer, reading)
    blanks = np.flatnonzero(blank_L)
    if not len(blanks):
        raise InputError(f"there is no blank in {short(template)}: write {BLANK} for each blank")
    requests([ids_L], None, None, predictor.model.head.size)  # checks that ids are in range
    ordered = OrderedSequence(ids_L, blanks[_order(order, len(blanks), options.seed)], np.flatnonzero(~blank_L), start.id)
    return _generated(predictor, tokenizer, ordered, start, options, lambda ids_L: _request(ids_L, ids_L[:0], tokenizer))


def _request(ids: Ints, before: Ints, tokenizer: TokenizerLike | None) -> Request:
    return Request(ids, before, text_of(ids, tokenizer), special=special_of(ids, tokenizer))


def _generated(
    predictor: OrderedPredictor,
    tokenizer: TokenizerLike | None,
    ordered: OrderedSequence,
    start: Start,
    options: Options,
    request: Callable[[Ints], Request],
) -> list[Generated]:
    if options.stop:
        raise InputError("with order= the length of the text is fixed, so it cannot stop at a text: leave stop= out")
    if start.id is None and not len(ordered.given_G):
        raise InputError("without a start symbol, generation in an order needs at least one known token: pass context=")
    criteria = StoppingCriteria(len(ordered.order_T), None, (), tokenizer)
    tree = predictor.ordered_tree(ordered)
    if (tree.root().logits_BV == -np.inf).all():
        raise InputError("every filling of these positions is impossible under this model")
    before = len(ordered.given_G) + (start.id is not None)
    outcome = finished(run(tree, criteria, options), reporter(options, tokenizer, before))
    filled = [_filled(ordered, hypothesis) for hypothesis in outcome.hypotheses]
    factors = predictor.factors_in_order(filled, Settings(top=options.top))
    texts = [request(one.ids_L) for one in filled]
    scores = scores_of(predictor, tokenizer, texts, [start] * len(texts), factors)
    steps = np.argsort(ordered.order_T, kind="stable")
    return [
        Generated.of(score, **outcome.fields_of(h) | {"running_logprobs": np.array(h.logprobs)[steps]})
        for score, h in zip(scores, outcome.hypotheses, strict=True)
    ]


def _filled(ordered: OrderedSequence, hypothesis: Hypothesis) -> OrderedSequence:
    ids_L = ordered.ids_L.copy()
    ids_L[ordered.order_T] = hypothesis.ids
    return OrderedSequence(ids_L, ordered.order_T, ordered.given_G, ordered.start_id)


def _order(order: Any, length: int, seed: int | None) -> Ints:
    if names_several_orders(order):
        raise InputError("generation takes one order, not several: pass one")
    return resolve("left-to-right" if order is None else order, length, seed or 0)[0]


def _template(template: Any, lengths: Any, tokenizer: TokenizerLike | None, reading: Reading) -> tuple[Ints, Bools]:
    """The ids at all L positions, 0 in blanks, and whether each position is in a blank. Raises InputError."""
    if isinstance(template, str):
        parts = _parts(template, tokenizer, reading)
    elif isinstance(template, list | tuple) and lengths is not None:
        raise InputError(
            "lengths= is for a text with blanks; in a list of token ids each None is one token: leave lengths= out"
        )
    elif isinstance(template, list | tuple):
        for i, id in enumerate(template):
            if id is not None and not is_whole(id):
                raise InputError(f"{short(id)} at position {i} of the template is neither a token id nor None")
        return np.array([0 if id is None else as_ids([id])[0] for id in template]), np.array(
            [id is None for id in template], bool
        )
    else:
        raise InputError(
            f"a template is a text with {BLANK} in it, or token ids with None at the positions to fill, not "
            f"{describe(template)}"
        )
    if lengths is None:
        lengths = [1] * (len(parts) - 1)
    else:
        lengths = [lengths] if isinstance(lengths, int | np.integer) else as_list(lengths, "lengths")
    count = len(parts) - 1
    if len(lengths) != count or not all(is_whole(n, 1, _MOST - 1) for n in lengths):
        raise InputError(
            f"the template has {count} blank{'s' * (count != 1)}, so lengths= must hold {count} whole "
            f"number{'s' * (count != 1)}, each 1 or more, not {short(lengths)}"
        )
    blanks = [np.full(n, -1) for n in lengths]
    ids_L = np.concatenate([part for pair in zip(parts, [*blanks, np.zeros(0, np.int64)], strict=True) for part in pair])
    return np.maximum(ids_L, 0), ids_L < 0


def _parts(template: str, tokenizer: TokenizerLike | None, reading: Reading) -> list[Ints]:
    """The ids of the texts between the blanks. Spaces around a blank belong to these texts. Raises InputError."""
    if tokenizer is None:
        raise InputError("this model has no tokenizer: pass token ids, with None at the positions to fill")
    check_text(template)
    first, *rest = template.split(BLANK)
    return [tokenizer.encode(first, reading.text), *tokenizer.encode_continuations(rest, reading.text)]
