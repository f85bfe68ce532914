"""A summary of the rounds: speeds, their ratios, and the differences of the answers from the reference."""

from statistics import median

from systems import SYSTEMS
from workloads import Workload


def summary(workload: Workload, answers: dict[str, list[dict]], reference: list[float] | None) -> dict:
    """The systems of one workload. ``reference``: the answers to compare with; None if their system was not measured."""
    base = [answer["seconds"] for answer in answers.get("chainrule", [])]
    systems = {name: summarise(name, workload, rounds, base, reference) for name, rounds in answers.items()}
    described = {"tokens": workload.tokens, "facts": workload.facts, "dtype": workload.dtype}
    return {**described, "against": workload.against, "tolerance": workload.tolerance, "systems": systems}


def summarise(name: str, workload: Workload, rounds: list[dict], base: list[float], reference: list[float] | None) -> dict:
    """The speeds and differences of one system. ``base``: chainrule's seconds; ratios are taken within a round."""
    seconds = [answer["seconds"] for answer in rounds]
    rates = [workload.tokens / value for value in seconds]
    ratios = [own / other for own, other in zip(seconds, base, strict=False)]
    differences = None if workload.measured_by(name) or reference is None else subtract(rounds[0]["logprobs"], reference)
    return {
        "title": SYSTEMS[name].title,
        "seconds": [round(value, 3) for value in seconds],
        "median_seconds": round(median(seconds), 3),
        "tokens_per_second": {f.__name__: round(f(rates), 1) for f in (median, min, max)},
        "ratios": [round(value, 3) for value in ratios],
        "times_slower": round(median(ratios), 3) if ratios else None,
        "max_difference": differences and max(map(abs, differences)),
        "median_difference": differences and median(map(abs, differences)),
        "differences": differences and [round(value, 7) for value in differences],
    }


def subtract(ours: list[float], theirs: list[float]) -> list[float]:
    return [a - b for a, b in zip(ours, theirs, strict=True)]


def disagree(name: str, measured: dict) -> list[str]:
    """A message if more than one of chainrule's answers is too far from the reference.

    One is allowed: one of the 500 texts has a factor that float32 does not determine (LOG.md).
    """
    tolerance = measured["tolerance"]
    differences = measured["systems"].get("chainrule", {}).get("differences") or [0.0]
    far = [value for value in differences if tolerance is not None and abs(value) > tolerance]
    if len(far) <= 1:
        return []
    return [
        f"{name}: {len(far)} answers are more than {tolerance} nats from {measured['against']}, up to {max(map(abs, far)):.2e}"
    ]
