"""The columns of a table of scores: one row a sequence, or one row a token, made for all of them at once.

Shapes: S sequences, T tokens scored in all, k alternatives in each place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule._types import Ints
from chainrule.forest.forest import offsets, ranges
from chainrule.results import units
from chainrule.text.base import naming
from chainrule.text.spans import char_spans, distinct

if TYPE_CHECKING:
    import pyarrow

    from chainrule.results.batch import Scores

_SEQUENCE_TYPES = {
    "text": "string",
    "context_text": "string",
    "logprob": "double",
    "tokens": "int32",
    "bits": "double",
    "perplexity": "double",
    "bytes": "int64",
    "bits_per_byte": "double",
    "kind": "string",
    "start": "string",
    "start_id": "int64",
    "end_id": "int64",
    "boundary": "string",
    "windows": "int32",
    "least_context": "int64",
    "cut": "bool",
    "special": "string",
    "context_special": "string",
    "model": "string",
    "invariant": "bool",
}


def per_sequence(scores: Scores) -> dict[str, Any]:
    """One row a sequence: what `Score` says of each, without making one."""
    import pyarrow

    logprob_S, count_S, size_S = scores.logprob.tolist(), scores.tokens.tolist(), sizes(scores)
    many = len(scores)
    columns = {
        "text": [request.text for request in scores.requests],
        "context_text": [request.context for request in scores.requests],
        "logprob": logprob_S,
        "tokens": count_S,
        "bits": [units.bits(logprob) for logprob in logprob_S],
        "perplexity": [units.perplexity(logprob, count) for logprob, count in zip(logprob_S, count_S, strict=True)],
        "bytes": size_S,
        "bits_per_byte": [units.bits_per_byte(logprob, size) for logprob, size in zip(logprob_S, size_S, strict=True)],
        "kind": scores.kinds,
        "start": [start.policy for start in scores.starts],
        "start_id": [start.id for start in scores.starts],
        "end_id": [scores.end] * many,
        "boundary": [request.boundary for request in scores.requests],
        "windows": scores.windows,
        "least_context": scores.least_context,
        "cut": scores.cut,
        "special": [request.special for request in scores.requests],
        "context_special": [request.context_special for request in scores.requests],
        "model": [scores.model] * many,
        "invariant": [bool(scores.invariant)] * many,
    }
    return {"index": pyarrow.array(np.arange(many))} | typed(columns) | _orders(scores)


def typed(columns: dict[str, Any]) -> dict[str, pyarrow.Array]:
    """Columns as Arrow arrays, of the type that goes with their name."""
    import pyarrow

    kind = {name: pyarrow.type_for_alias(_SEQUENCE_TYPES[name]) for name in columns if name in _SEQUENCE_TYPES}
    return {name: pyarrow.array(values, kind.get(name)) for name, values in columns.items()}


def _orders(scores: Scores) -> dict[str, Any]:
    """In which order each sequence was scored, and what of it was given; no such columns where none has an order."""
    import pyarrow

    found = [ordering for ordering in scores.orderings if ordering is not None]
    if len(found) < len(scores) or not found:
        return {}
    places = pyarrow.list_(pyarrow.int32())
    return {
        "order": pyarrow.array([ordering.order.tolist() for ordering in found], places),
        "given": pyarrow.array([ordering.given.tolist() for ordering in found], places),
        "length": pyarrow.array([ordering.length for ordering in found], pyarrow.int32()),
        "length_given": pyarrow.array([ordering.length_given for ordering in found], pyarrow.bool_()),
        "how": pyarrow.array([ordering.how for ordering in found], pyarrow.string()),
        "support": pyarrow.array([ordering.support for ordering in found], pyarrow.string()),
    }


def _places(scores: Scores) -> dict[str, Any]:
    """Of each token its place in the whole sequence, its step, and the places that its factor saw, in their order."""
    import pyarrow

    if any(ordering is None for ordering in scores.orderings) or not len(scores):
        return {}
    each = [(score, score.ordering) for score in scores if score.ordering is not None]
    seen = [score.context_positions(i).tolist() for score, _ in each for i in range(len(score))]
    given = np.repeat([ordering.length_given for _, ordering in each], scores.tokens)
    return {
        "position": pyarrow.array(np.concatenate([ordering.places for _, ordering in each])),
        "step": pyarrow.array(np.concatenate([ordering.steps for _, ordering in each])),
        "context_positions": pyarrow.array(seen, pyarrow.list_(pyarrow.int32())),
        "length_given": pyarrow.array(given),
    }


def per_token(scores: Scores) -> dict[str, Any]:
    """One row a token. `begin` and `stop` are the characters of `text` that it spells; null where there is no text."""
    import pyarrow

    count_S = scores.tokens
    sequence_T = np.repeat(np.arange(len(scores)), count_S)
    spread = lambda values, kind: pyarrow.array(values, kind).take(pyarrow.array(sequence_T))  # noqa: E731
    begin_T, stop_T = _spans(scores)
    columns = {
        "index": sequence_T,
        "place": ranges(np.zeros_like(count_S), count_S),
        "token": _tokens(scores, scores.ids),
        "id": scores.ids,
        "logprob": scores.logprobs,
        "surprisal_bits": -scores.logprobs / units.LN2,
        "context": scores.contexts,
        "rank": scores.ranks,
        "entropy": scores.entropies,
        "begin": pyarrow.array(begin_T, mask=begin_T < 0),
        "stop": pyarrow.array(stop_T, mask=stop_T < 0),
        "start": spread([start.policy for start in scores.starts], pyarrow.string()),
        "start_id": spread([start.id for start in scores.starts], pyarrow.int64()),
        "end_id": spread([scores.end] * len(scores), pyarrow.int64()),
        "kind": spread(scores.kinds, pyarrow.string()),
    }
    columns |= _places(scores)
    k = scores.top_ids.shape[1]
    if k:
        bound_T1 = pyarrow.array(np.arange(len(scores.ids) + 1, dtype=np.int32) * np.int32(k))
        columns["top"] = pyarrow.ListArray.from_arrays(bound_T1, _tokens(scores, scores.top_ids.ravel()))
        columns["top_logprob"] = pyarrow.ListArray.from_arrays(bound_T1, pyarrow.array(scores.top_logprobs.ravel()))
    return columns


def sizes(scores: Scores) -> list[int]:
    """`Score.bytes` of every sequence."""
    whole = zip(scores.requests, scores.tokens.tolist(), strict=True)
    plain = [r.text is not None and not r.segments and len(r.ids) == count for r, count in whole]
    return [
        len(request.text.encode()) if simple and request.text is not None else scores[i].bytes
        for i, (request, simple) in enumerate(zip(scores.requests, plain, strict=True))
    ]


def _tokens(scores: Scores, ids_T: NDArray[np.integer]) -> pyarrow.Array:
    """The tokens to read. Each distinct one is looked up once."""
    import pyarrow

    name = naming(scores.tokenizer)
    id_U, which_T = distinct(ids_T)
    return pyarrow.array([name(id) for id in id_U.tolist()], pyarrow.string()).take(pyarrow.array(which_T))


def _spans(scores: Scores) -> tuple[Ints, Ints]:
    """`Score.spans.char_spans` of every sequence, one after another; −1 where there are none."""
    begin_T, stop_T = np.full(len(scores.ids), -1), np.full(len(scores.ids), -1)
    texts, bodies, numbers = [], [], []
    behind = scores.end is not None
    for s, (request, stop) in enumerate(zip(scores.requests, scores.offsets[1:].tolist(), strict=True)):
        if request.text is None or request.segments or scores.tokenizer is None:
            continue
        texts.append(request.text)
        bodies.append(request.ids[: len(request.ids) - behind])
        numbers.append(s)
        if behind:
            begin_T[stop - 1] = stop_T[stop - 1] = len(request.text)
    if scores.tokenizer is None or not texts:
        return begin_T, stop_T
    begin_B, stop_B = char_spans(scores.tokenizer, texts, bodies)
    count_S = scores.tokens[numbers] - behind
    target = ranges(scores.offsets[numbers], count_S)
    source = np.repeat(offsets([len(body) for body in bodies])[:-1], count_S) + scores.places[target]
    begin_T[target], stop_T[target] = begin_B[source], stop_B[source]
    return begin_T, stop_T
