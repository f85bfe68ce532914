"""Replies of /v1/logprobs: arrays with an entry for each factor, as JSON or Arrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Raw
from starlette.responses import Response

from chainrule.results.batch import Scores
from chainrule.results.columns import Row
from chainrule.results.rows import Source, arrays
from chainrule.results.score import Score
from chainrule.serving.fragments import listed
from chainrule.serving.replies.continuation import usage
from chainrule.serving.requests.scoring import LogprobsBody
from chainrule.serving.served import ServedModel

if TYPE_CHECKING:
    import pyarrow

ARROW = "application/vnd.apache.arrow.stream"


def json_arrays(served: ServedModel, body: LogprobsBody, scores: Scores) -> dict[str, Any]:
    """One object for each text. A log probability of −∞ is null; `impossible` has the numbers of these factors."""
    given = sum(len(request.context_ids) for request in scores.requests)
    return {
        "object": "logprobs",
        "model": served.name,
        "system_fingerprint": served.fingerprint,
        "data": [_item(served, body, index, score) for index, score in enumerate(scores)],
        "usage": usage(given + sum(len(request.ids) for request in scores.requests)),
    }


def _item(served: ServedModel, body: LogprobsBody, index: int, score: Score) -> dict[str, Any]:
    ids, fragments = score.ids.tolist(), served.fragments(None)
    item: dict[str, Any] = {
        "index": index,
        "logprob": score.logprob,
        "kind": score.kind,
        "start": score.start.id,
        "given": int(score.places[0]) if len(score.places) else 0,
        "ids": ids,
        "tokens": Raw(listed([fragments.names[id] for id in ids])),
        "logprobs": score.logprobs.tolist(),
        "impossible": np.flatnonzero(score.logprobs == -np.inf).tolist(),
        "ranks": score.ranks.tolist(),
        "entropies_bits": score.entropies_bits.tolist(),
        "contexts": score.contexts.tolist(),
    }
    if body.top:
        item |= {"top_ids": score.top_ids[:, : body.top].tolist(), "top_logprobs": score.top_logprobs[:, : body.top].tolist()}
    if body.targets is not None:
        item |= {
            "target_ids": [each.tolist() for each in score.target_ids] or [[]] * len(ids),
            "target_logprobs": [each.tolist() for each in score.target_logprobs] or [[]] * len(ids),
        }
    if body.spans:
        item["spans"] = None if score.spans is None else score.spans.char_spans
    return item


def arrow_reply(served: ServedModel, body: LogprobsBody, scores: Scores) -> Response:
    """A row for each text, with lists that have an entry for each factor. A log probability of −∞ is −inf."""
    import pyarrow

    table = pyarrow.table(_columns(body, scores))
    origin = {"model": served.name, "system_fingerprint": served.fingerprint}
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.replace_schema_metadata(origin).schema) as writer:
        writer.write_table(table)
    return Response(sink.getvalue().to_pybytes(), media_type=ARROW)


def _columns(body: LogprobsBody, scores: Scores) -> dict[str, pyarrow.Array]:
    import pyarrow

    bounds = pyarrow.array(scores.offsets, pyarrow.int32())

    def lists(values: Any) -> pyarrow.Array:
        return pyarrow.ListArray.from_arrays(bounds, values)

    columns: dict[str, Any] = {"logprob": pyarrow.array(scores.logprob), "kind": pyarrow.array(scores.kinds)}
    columns |= arrays([Source(Row.DOCUMENT_LISTS, scores)])
    columns["contexts"] = lists(pyarrow.array(scores.contexts, pyarrow.int32()))
    if body.top:
        for name in ("top_ids", "top_logprobs"):
            values = getattr(scores, name)[:, : body.top]
            columns[name] = lists(pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(values.ravel()), body.top))
    if (targets := scores.targets) is not None and body.targets is not None:
        columns["target_ids"] = lists(targets.arrow(targets.ids))
        columns["target_logprobs"] = lists(targets.arrow(targets.logprobs))
    if body.spans:
        begin, stop = scores.char_spans
        columns["span_begins"], columns["span_ends"] = (lists(pyarrow.array(each, pyarrow.int32())) for each in (begin, stop))
    return columns
