"""The shape of a page's data: which members there are, and how long their lists are. Helpers of the tests of pages."""

from __future__ import annotations

import json
from typing import Any

from chainrule import Page, Score

READING = {
    *("text", "kind", "whole", "condition", "remarks", "start", "sequence", "pieces", "given", "order", "position", "known"),
    *("contexts", "logprob", "probability", "surprisal_bits", "entropy_bits", "rank", "running_logprob"),
    *("running_probability", "top", "by_embeddings", "total"),
}
OPENINGS = {
    *("shapes", "table", "position", "inputs", "hidden_norm", "logit", "logsumexp", "top_logits", "raw_sum", "wrong"),
}
VARIANT = {
    *("kind", "label", "position", "t", "tokens", "first", "logprob", "logit", "total_logprob", "removed", "added", "raw_sum"),
}
GROWTH = {
    *("method", "rule", "description", "t", "logprob", "probability", "running_logprob", "running_probability", "rank", "top"),
    *("total_logprob", "text", "certificate"),
}
COMPARISON = {"readings", "rows", "difference", "running_difference", "decided", "largest", "difference_total"}
PER_FACTOR = (
    *("position", "known", "contexts", "logprob", "probability", "surprisal_bits", "entropy_bits", "rank", "running_logprob"),
    *("running_probability", "top", "by_embeddings"),
)


def checked(page: Page) -> dict[str, Any]:
    """The data of a page as a reader of its JSON gets it, after checks of its members, its lengths and its tokens."""
    data = json.loads(page.to_json(), parse_constant=_refused)
    for reading in data["readings"].values():
        _check_reading(reading)
    own = data["readings"]["text"]
    if data["openings"] is not None:
        _check_openings(data["openings"], own)
    assert all(each.keys() == VARIANT for each in data["variants"])
    if data["growths"] is not None:
        assert data["growths"].keys() == {"context", "max_tokens", "methods"}
        assert all(each.keys() == GROWTH for each in data["growths"]["methods"])
    if data["comparison"] is not None:
        assert data["comparison"].keys() == COMPARISON
    absent = {name for name in ("openings", "variants", "growths", "comparison") if data[name] in (None, [])}
    assert absent - {"variants"} <= set(data["missing"])
    assert ids_of(data) <= set(data["tokens"])
    return data


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _check_reading(reading: dict[str, Any]) -> None:
    assert reading.keys() == READING
    factors = len(reading["position"])
    assert {len(reading[name]) for name in PER_FACTOR if reading[name] is not None} == {factors}
    if reading["pieces"] is not None:
        assert len(reading["pieces"]) == len(reading["sequence"])


def _check_openings(openings: dict[str, Any], reading: dict[str, Any]) -> None:
    assert openings.keys() == OPENINGS
    factors, inputs = len(reading["position"]), openings["inputs"]
    assert {len(openings[name]) for name in ("hidden_norm", "logit", "logsumexp", "top_logits")} == {factors}
    start = [] if reading["start"]["t"] is None else [reading["start"]["t"]]
    assert inputs["t"] == start + reading["sequence"]
    assert {len(inputs[name]) for name in inputs if inputs[name] is not None} == {len(inputs["t"])}


def ids_of(data: dict[str, Any]) -> set[str]:
    """Every token id that occurs, as the keys of "tokens"."""
    ids: list[Any] = []
    for reading in data["readings"].values():
        ids += [reading["start"]["t"], *reading["sequence"]]
        ids += [row[0] for factor in reading["top"] or [] for row in factor]
    if (openings := data["openings"]) is not None:
        ids += openings["inputs"]["t"] + [row[0] for factor in openings["top_logits"] for row in factor]
        ids += [row[0] for each in openings["inputs"]["nearest"] or [] for row in each]
    ids += [id for each in data["variants"] for id in each["tokens"]]
    for growth in (data["growths"] or {"methods": []})["methods"]:
        ids += growth["t"] + [row[0] for factor in growth["top"] or [] for row in factor]
    return {str(id) for id in ids if id is not None}


def numbers(values: list[Any]) -> list[float]:
    """Numbers of JSON, in which infinities are strings."""
    return [float(value) for value in values]


def in_order(score: Score, values: Any) -> list[Any]:
    """Values of factors in the order of the text, put into the order of prediction by a slow way."""
    if score.ordering is None:
        return list(values)
    at = {position: column for column, position in enumerate(sorted(score.ordering.order.tolist()))}
    return [list(values)[at[position]] for position in score.ordering.order.tolist()]
