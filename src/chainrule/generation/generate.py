"""From what is given, through a grove, to texts that are scored once more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.engine.decoding.tree import ForestGrove, Grove, grove_of
from chainrule.engine.engine import Answer, Engine
from chainrule.errors import InputError
from chainrule.forest.forest import ranges
from chainrule.generation.hypothesis import Ends, Told, Twig
from chainrule.generation.options import Options
from chainrule.generation.result import Generated, Step
from chainrule.generation.sampling import greedy, sample
from chainrule.generation.search import Certificate, beam, best
from chainrule.results.batch import Scores
from chainrule.results.conditional import Alternative
from chainrule.results.ordering import Ordering
from chainrule.scoring.assemble import Settings, score_requests, scores_of
from chainrule.scoring.in_order import Found
from chainrule.text.reading import Special
from chainrule.text.requests import Request
from chainrule.text.start_end import Start
from chainrule.text.tokenizer import Tokenizes, naming


@dataclass(frozen=True)
class Growth:
    """Twigs, and how they were grown."""

    twigs: list[Twig]
    how: dict[str, Any]  # of each `Generated`
    certificate: Certificate | None = None


def generate(
    engine: Engine, tokenizer: Tokenizes | None, given: Request | None, start: Start, end_id: int | None, options: Options
) -> list[Generated]:
    """Texts behind what is `given` (None: behind the start symbol), as many as `options` asks for, or as there are."""
    before = given.ids if given is not None else np.zeros(0, np.int64)
    if start.id is None and not len(before):
        raise InputError("with a given start, a text grows from a context of one token at least")
    if options.stop and tokenizer is None:
        raise InputError("this model came without a tokenizer, so it cannot stop at texts")
    prefix = [*([] if start.id is None else [start.id]), *before.tolist()]
    most = engine.model.max_rows
    ends = Ends(options.tokens(None if most is None else most - len(prefix) + 1), end_id, options.stop, tokenizer)
    grove = grove_of(engine, prefix, rows=options.count if options.method == "sample" else 1)
    growth = grow(grove, ends, options, teller(options, tokenizer, len(prefix)))
    if not growth.twigs:
        raise InputError("every continuation is impossible under this model, so there is nothing to grow")
    made = [_request(twig, before, given, tokenizer) for twig in growth.twigs]
    if grove.exact:
        scores = _seen(engine, tokenizer, made, start, growth.twigs, len(prefix))
    else:
        begun = grove.begun if isinstance(grove, ForestGrove) else None
        scores = score_requests(engine, tokenizer, made, start, None, Settings(top=options.top), begun=begun)
    return [
        Generated.of(
            score,
            end=end_id if twig.finish == "end" else None,
            canonical=_canonical(request, twig, tokenizer),
            **told(growth, twig),
        )
        for score, request, twig in zip(scores, made, growth.twigs, strict=True)
    ]


def _seen(
    engine: Engine, tokenizer: Tokenizes | None, made: list[Request], start: Start, twigs: list[Twig], before: int
) -> Scores:
    """What was seen while it grew, where that has the bits of scoring already."""
    count_S = np.array([len(twig.ids) for twig in twigs])
    columns = {
        name: np.concatenate([getattr(twig, name) for twig in twigs]) for name in ("ids", "logprobs", "ranks", "entropies")
    }
    top_id, top_logprob = (np.array([pair[i] for twig in twigs for pair in twig.tops]) for i in range(2))
    if not len(top_id):
        top_id = top_logprob = np.zeros((len(columns["ids"]), 0))
    answer = Answer(
        columns["logprobs"], columns["ranks"].astype(np.int32), columns["entropies"], top_id.astype(np.int32), top_logprob, 0, 0
    )
    contexts = before + ranges(np.zeros_like(count_S), count_S)
    found = Found(answer, columns["ids"], contexts, count_S, np.ones_like(count_S))
    nothing: list[Ordering | None] = [None] * len(made)
    return scores_of(engine, tokenizer, made, [start] * len(made), found, orderings=nothing, invariant=engine.invariance)


def grow(grove: Grove, ends: Ends, options: Options, tell: Told) -> Growth:
    """By the method that was chosen."""
    if options.method == "greedy":
        return Growth([greedy(grove, ends, options.top, tell)[0]], {"method": "greedy"})
    if options.method == "beam":
        return Growth(beam(grove, ends, options.width, tell)[: options.count], {"method": f"beam of {options.width}"})
    if options.method == "best":
        twigs, certificate = best(grove, ends, options.count, options.width, options.spend, tell)
        return Growth(twigs, {"method": "best"}, certificate)
    seed = options.chosen_seed()
    twigs = sample(grove, ends, options.top, tell, options.count, seed, options.altered)
    return Growth(twigs, {"method": "sample", "altered": str(options.altered), "seed": seed})


def told(growth: Growth, twig: Twig) -> dict[str, Any]:
    """What a `Generated` says of how it was grown."""
    drawn = float(np.sum(twig.altered)) if twig.altered else None
    grown = {"finish": twig.finish, "running_logprobs": np.array(twig.logprobs), "altered_logprob": drawn}
    return growth.how | grown | {"certificate": growth.certificate}


def teller(options: Options, tokenizer: Tokenizes | None, before: int) -> Told:
    """Tells `options.watch` of each token."""
    watch, name = options.watch, naming(tokenizer)
    if watch is None:
        return lambda *_: None

    def tell(sample: int, twig: Twig) -> None:
        ids, logprobs = twig.tops[-1] if twig.tops else ((), ())
        others = [Alternative(name(int(id)), int(id), float(logprob)) for id, logprob in zip(ids, logprobs, strict=True)]
        step = len(twig.ids) - 1
        watch(Step(sample, step, before + step, name(twig.ids[-1]), twig.ids[-1], twig.logprobs[-1], twig.logprob, others))

    return tell


def _request(twig: Twig, before: np.ndarray, given: Request | None, tokenizer: Tokenizes | None) -> Request:
    """The tokens that were grown, behind those that were given. Their text, where they spell one."""
    text = text_of(_body(twig), tokenizer)
    request = Request(np.array(twig.ids, np.int64), before, text=text, special=special_of(_body(twig), tokenizer))
    if given is not None:
        request.context, request.context_special = given.text, given.special
    return request


def text_of(ids: Iterable[int], tokenizer: Tokenizes | None) -> str | None:
    """What the tokens spell; None where that is no text, or only a part of one."""
    if tokenizer is None:
        return None
    raw = b"".join(tokenizer.token_bytes(int(id)) for id in ids)
    text = raw.decode("utf-8", "replace")
    return text if text and text.encode() == raw else None


def special_of(ids: Iterable[int], tokenizer: Tokenizes | None) -> Special | None:
    """How the names of control symbols in the text of these tokens are to be read: as symbols, where there are any."""
    symbols = tokenizer.special_ids - {tokenizer.unk_id} if tokenizer else frozenset()
    return None if symbols.isdisjoint(map(int, ids)) else "parse"


def _body(twig: Twig) -> list[int]:
    return twig.ids[: len(twig.ids) - (twig.finish == "end")]


def _canonical(request: Request, twig: Twig, tokenizer: Tokenizes | None) -> bool | None:
    """Whether the joined text has just these tokens; None where one of the two is no text."""
    if tokenizer is None or request.text is None or (request.context is None and len(request.context_ids)):
        return None
    try:
        special = request.special or request.context_special or "text"
        found = tokenizer.encode((request.context or "") + request.text, special)
    except InputError:  # a table's vocabulary cannot spell every text of its own tokens
        return False
    return np.array_equal(found, [*request.context_ids, *_body(twig)])
