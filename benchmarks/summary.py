"""What the rounds say: speeds, their ratios, and how far the answers lie from the reference's."""

from statistics import median

from systems import SYSTEMS
from workloads import Workload


def summary(workload: Workload, answers: dict[str, list[dict]], reference: list[float] | None) -> dict:
    """The systems of one workload; ``reference`` are the answers to compare with, if their system was measured."""
    base = [answer["seconds"] for answer in answers.get("chainrule", [])]
    systems = {name: summarise(name, workload, given, base, reference) for name, given in answers.items()}
    described = {"tokens": workload.tokens, "facts": workload.facts, "dtype": workload.dtype}
    return {**described, "against": workload.against, "tolerance": workload.tolerance, "systems": systems}


def summarise(name: str, workload: Workload, given: list[dict], base: list[float], reference: list[float] | None) -> dict:
    """``base`` are chainrule's seconds: a round's ratio is taken within that round, and their median counts."""
    seconds = [answer["seconds"] for answer in given]
    rates = [workload.tokens / value for value in seconds]
    ratios = [own / other for own, other in zip(seconds, base, strict=False)]
    differences = None if workload.measured_by(name) or reference is None else subtract(given[0]["logprobs"], reference)
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
    """A line when more than one of chainrule's answers lies too far from the reference's.

    One is let through: among the 500 texts is one with a factor that float32 does not determine (LOG.md).
    """
    tolerance = measured["tolerance"]
    differences = measured["systems"].get("chainrule", {}).get("differences") or [0.0]
    far = [value for value in differences if tolerance is not None and abs(value) > tolerance]
    if len(far) <= 1:
        return []
    return [
        f"{name}: {len(far)} answers are more than {tolerance} nats from {measured['against']}, up to {max(map(abs, far)):.2e}"
    ]
