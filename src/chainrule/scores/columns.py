"""The columns of a table of scores: one row a sequence, or one row a token, made for all of them at once.

Shapes: S sequences, T tokens scored in all, k alternatives in each place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule.forest.forest import offsets, ranges
from chainrule.scores import units
from chainrule.text.spans import char_spans, distinct

if TYPE_CHECKING:
    import pyarrow

    from chainrule.scores.scores import Scores

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
        "model": [scores.model] * many,
        "invariant": [bool(scores.invariant)] * many,
    }
    made = {name: pyarrow.array(values, pyarrow.type_for_alias(_SEQUENCE_TYPES[name])) for name, values in columns.items()}
    return {"index": pyarrow.array(np.arange(many))} | made


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

    name = scores.tokenizer.token if scores.tokenizer else "<{}>".format
    id_U, which_T = distinct(ids_T)
    return pyarrow.array([name(id) for id in id_U.tolist()], pyarrow.string()).take(pyarrow.array(which_T))


def _spans(scores: Scores) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`Score.spans.char_spans` of every sequence, one after another; −1 where there are none."""
    begin_T, stop_T = np.full(len(scores.ids), -1), np.full(len(scores.ids), -1)
    texts, bodies, places, skips = [], [], [], []
    behind = scores.end is not None
    for request, place, count in zip(scores.requests, scores.offsets.tolist(), scores.tokens.tolist(), strict=False):
        if request.text is None or request.segments or scores.tokenizer is None:
            continue
        body = request.ids[: len(request.ids) - behind]
        texts.append(request.text)
        bodies.append(body)
        places.append(place)
        skips.append(len(request.ids) - count)  # a first token that is given
        if behind:
            begin_T[place + count - 1] = stop_T[place + count - 1] = len(request.text)
    if scores.tokenizer is None or not texts:
        return begin_T, stop_T
    begin_B, stop_B = char_spans(scores.tokenizer, texts, bodies)
    skip_S, length_S = np.array(skips), np.array([len(body) for body in bodies])
    source, target = ranges(offsets(length_S)[:-1] + skip_S, length_S - skip_S), ranges(np.array(places), length_S - skip_S)
    begin_T[target], stop_T[target] = begin_B[source], stop_B[source]
    return begin_T, stop_T
