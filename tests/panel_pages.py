"""Pages of one panel, readings of other kinds, and the numbers that a page shows."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from chainrule.pages.document import document

_POWERS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_PER_FACTOR = ["position", "contexts", "logprob", "probability", "surprisal_bits", "entropy_bits", "rank", "top"]
_PER_FACTOR += ["running_logprob", "running_probability", "by_embeddings"]


def only(panel: str, data: dict[str, Any]) -> str:
    """A page with one panel."""
    return document(data, title="A page", body=f'<h1>A page</h1><section data-panel="{panel}"></section>')


def number_of(text: str) -> float:
    """The number that a page shows: 4.36 × 10⁻⁷, −∞, 1,024."""
    plain = text.replace("−", "-").replace("∞", "inf").replace(",", "").replace(" × 10", "e")
    return float(plain.translate(_POWERS))


def ordered(data: dict[str, Any], order: list[int]) -> dict[str, Any]:
    """The same numbers as those of another order of prediction."""
    changed = deepcopy(data)
    reading = changed["readings"]["text"]
    reading.update(order=order, position=order, known=[order[:i] for i in range(len(order))])
    return changed


def pseudo(data: dict[str, Any]) -> dict[str, Any]:
    """The same numbers as those of a masked model, in which each token is predicted from all others."""
    changed = deepcopy(data)
    reading = changed["readings"]["text"]
    positions = range(len(reading["sequence"]))
    reading.update(kind="pseudo", whole="pseudo-log-likelihood", running_probability=None, by_embeddings=None)
    reading.update(known=[[q for q in positions if q != p] for p in positions], contexts=[len(positions)] * len(positions))
    reading["total"]["probability"] = None
    return changed


def given(data: dict[str, Any], count: int) -> dict[str, Any]:
    """The first tokens as given, without a start symbol."""
    changed = deepcopy(data)
    reading = changed["readings"]["text"]
    for name in _PER_FACTOR:
        reading[name] = reading[name][count:]
    reading["start"] = {"t": None, "policy": "given", "description": "the first tokens are given"}
    reading.update(kind="conditional", given=count, contexts=list(reading["position"]))
    return changed | {"openings": None, "missing": {"openings": "It was left out."}}


def impossible(data: dict[str, Any], i: int) -> dict[str, Any]:
    """Factor i is 0."""
    changed = deepcopy(data)
    reading = changed["readings"]["text"]
    reading["logprob"][i], reading["probability"][i], reading["surprisal_bits"][i] = "-Infinity", 0, "Infinity"
    for k in range(i, len(reading["logprob"])):
        reading["running_logprob"][k], reading["running_probability"][k] = "-Infinity", "0"
    reading["by_embeddings"] = list(reading["logprob"])
    reading["total"] |= {"logprob": "-Infinity", "probability": "0", "perplexity": "Infinity", "bits": "Infinity"}
    reading["top"] = None
    return changed
