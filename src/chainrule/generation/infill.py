"""Growing a text of given length in any order, and filling the blanks of one."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule._checks import is_whole
from chainrule._types import Bools, Ints
from chainrule.engine.decoding.ordered_tree import ordered_grove
from chainrule.engine.predictors.base import Chain
from chainrule.errors import InputError, short
from chainrule.forest.permutations import Ordered, is_several, resolve
from chainrule.generation.generate import Growth, grow, special_of, teller, text_of, told
from chainrule.generation.hypothesis import Ends, Twig
from chainrule.generation.options import Options
from chainrule.generation.result import Generated
from chainrule.scoring.assemble import Settings, scores_of
from chainrule.scoring.in_order import by_chain, ordering_of
from chainrule.text.arguments import as_ids, many, named
from chainrule.text.reading import LITERAL, Reading
from chainrule.text.requests import Request, requests
from chainrule.text.start_end import Start
from chainrule.text.tokenizer import Tokenizes, check_text

BLANK = "____"
_MOST = 1 << 24  # tokens in a blank, more than any model takes


def generate_in_order(
    chain: Chain, tokenizer: Tokenizes | None, given: Request | None, start: Start, order: Any, options: Options
) -> list[Generated]:
    """Texts of `options.length` tokens behind what is given, their places filled in the order asked for."""
    if options.length is None:
        raise InputError("in an order the length of the text is given before it grows: say how many tokens, length=")
    before = np.zeros(0, np.int64) if given is None else given.ids
    order_T = _order(order, options.length, options.seed) + len(before)
    ordered = Ordered(np.append(before, np.zeros(options.length, np.int64)), order_T, np.arange(len(before)), start.id)

    def request(ids_L: Ints) -> Request:
        request = _request(ids_L[len(before) :], before, tokenizer)
        if given is not None:
            request.context, request.context_special = given.text, given.special
        return request

    return _generated(chain, tokenizer, ordered, start, options, request)


def infill(
    chain: Chain,
    tokenizer: Tokenizes | None,
    template: Any,
    lengths: Any,
    start: Start,
    order: Any,
    options: Options,
    reading: Reading = LITERAL,
) -> list[Generated]:
    """The blanks of `template` filled, each with as many tokens as `lengths` says, given all the rest."""
    if options.length is not None:
        raise InputError("the blanks say how many tokens there are: leave length= out, and give lengths=")
    ids_L, blank_L = _template(template, lengths, tokenizer, reading)
    blanks = np.flatnonzero(blank_L)
    if not len(blanks):
        raise InputError(f"there is no blank in {short(template)}: write {BLANK} where something is to be filled in")
    requests([ids_L], None, None, chain.model.head.size)  # ids in range
    ordered = Ordered(ids_L, blanks[_order(order, len(blanks), options.seed)], np.flatnonzero(~blank_L), start.id)
    return _generated(chain, tokenizer, ordered, start, options, lambda ids_L: _request(ids_L, ids_L[:0], tokenizer))


def _request(ids: Ints, before: Ints, tokenizer: Tokenizes | None) -> Request:
    return Request(ids, before, text_of(ids, tokenizer), special=special_of(ids, tokenizer))


def _generated(
    chain: Chain, tokenizer: Tokenizes | None, ordered: Ordered, start: Start, options: Options, request: Any
) -> list[Generated]:
    if options.stop:
        raise InputError("in an order the length of the text is given, so it cannot stop at a text: leave stop= out")
    if start.id is None and not len(ordered.given_G):
        raise InputError("without a start symbol, a text in an order grows from one known token at least: give a context")
    ends = Ends(len(ordered.order_T), None, (), tokenizer)
    before = len(ordered.given_G) + (start.id is not None)
    grove = ordered_grove(chain, ordered)
    if (grove.begin().logits_BV == -np.inf).all():
        raise InputError("every way to fill these places is impossible under this model")
    growth: Growth = grow(grove, ends, options, teller(options, tokenizer, before))
    whole = [_filled(ordered, twig) for twig in growth.twigs]
    found = by_chain(chain, whole, Settings(top=options.top))
    orderings = [ordering_of(each, chain.how, chain.support.says, chain.causal) for each in whole]
    made, starts = [request(each.ids_L) for each in whole], [start] * len(whole)
    scores = scores_of(chain, tokenizer, made, starts, found, orderings=orderings, invariant=chain.invariance)
    steps = np.argsort(ordered.order_T, kind="stable")
    return [
        Generated.of(score, **told(growth, twig) | {"running_logprobs": np.array(twig.logprobs)[steps]})
        for score, twig in zip(scores, growth.twigs, strict=True)
    ]


def _filled(ordered: Ordered, twig: Twig) -> Ordered:
    ids_L = ordered.ids_L.copy()
    ids_L[ordered.order_T] = twig.ids
    return Ordered(ids_L, ordered.order_T, ordered.given_G, ordered.start_id)


def _order(order: Any, length: int, seed: int | None) -> Ints:
    if is_several(order):
        raise InputError("a text grows in one order: give one")
    return resolve("left-to-right" if order is None else order, length, seed or 0)[0]


def _template(template: Any, lengths: Any, tokenizer: Tokenizes | None, reading: Reading) -> tuple[Ints, Bools]:
    """The ids of all places, 0 in those to be filled, and which those are."""
    if isinstance(template, str):
        parts = _parts(template, tokenizer, reading)
    elif isinstance(template, list | tuple) and lengths is not None:
        raise InputError("lengths= is for a text with blanks; among token ids, each None is one token to fill")
    elif isinstance(template, list | tuple):
        return np.array([0 if id is None else as_ids([id])[0] for id in template]), np.array(
            [id is None for id in template], bool
        )
    else:
        raise InputError(
            f"a template is a text with {BLANK} in it, or token ids with None in the places to fill, not {named(template)}"
        )
    if lengths is None:
        lengths = [1] * (len(parts) - 1)
    else:
        lengths = [lengths] if isinstance(lengths, int | np.integer) else many(lengths, "lengths")
    whole = all(is_whole(n, 1, _MOST - 1) for n in lengths)
    if len(lengths) != len(parts) - 1 or not whole:
        raise InputError(
            f"there are {len(parts) - 1} blanks, and lengths= must give a number of tokens, 1 or more, for each, not "
            f"{short(lengths)}"
        )
    blanks = [np.full(n, -1) for n in lengths]
    ids_L = np.concatenate([part for pair in zip(parts, [*blanks, np.zeros(0, np.int64)], strict=True) for part in pair])
    return np.maximum(ids_L, 0), ids_L < 0


def _parts(template: str, tokenizer: Tokenizes | None, reading: Reading) -> list[Ints]:
    """The ids of the texts between the blanks, as they stand: spaces around a blank are theirs."""
    if tokenizer is None:
        raise InputError("this model came without a tokenizer: give token ids, with None in the places to fill")
    check_text(template)
    first, *rest = template.split(BLANK)
    return [tokenizer.encode(first, reading.text), *tokenizer.encode_behind(rest, reading.text)]
