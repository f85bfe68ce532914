"""A benchmark's results as Markdown."""

import json
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"

NAMES = ("torch", "transformers", "tokenizers", "numpy", "chainrule", "minicons", "lm_eval")

CAPTIONS = {
    "flat": "Joint log-probability of {texts} short texts, {mean_tokens} tokens on average",
    "candidates": "{candidates} candidates of {candidate_tokens} tokens behind a context of {context_tokens:,} tokens",
}
NOTES = {
    "flat": "Tokens are those of the texts: no start symbol, no padding.",
    "candidates": (
        "Tokens are counted as if each candidate was scored with its context alone, {tokens:,} a round; the candidates "
        "have {distinct_contexts} distinct contexts."
    ),
}


def newest() -> dict | None:
    """The newest results there are."""
    results = sorted(RESULTS.glob("????-??-??.json"))
    return json.loads(results[-1].read_text(encoding="utf-8")) if results else None


def render_table(result: dict) -> str:
    """One table a workload, the machine, and the command that made them."""
    tables = [render_workload(name, workload) for name, workload in result["workloads"].items()]
    return "\n\n".join([*tables, render_origin(result)]) + "\n"


def render_workload(name: str, workload: dict) -> str:
    facts = {**workload["facts"], "tokens": workload["tokens"]}
    rows = [
        f"**{CAPTIONS[name].format(**facts)}**",
        "",
        "| system | seconds a round | tokens/s: median [min – max] | chainrule is | median, max \\|Δ\\| |",
        "|---|---:|---:|---:|---:|",
        *(render_row(system) for system in by_speed(workload["systems"])),
        "",
        f"Δ: the difference, in nats, from {workload['against']}. {NOTES[name].format(**facts)}",
    ]
    return "\n".join(rows)


def by_speed(systems: dict) -> list[dict]:
    return sorted(systems.values(), key=lambda system: -system["tokens_per_second"]["median"])


def render_row(system: dict) -> str:
    rate, rounds = system["tokens_per_second"], len(system["seconds"])
    spread = f"[{rate['min']:,.0f} – {rate['max']:,.0f}]" if rounds > 1 else "(one round)"
    ratio = "" if system["times_slower"] in (None, 1.0) else f"{system['times_slower']:.2f}× as fast"
    difference = (
        "" if system["max_difference"] is None else f"{system['median_difference']:.0e}, {system['max_difference']:.0e}"
    )
    seconds = f"{system['median_seconds']:.1f}"
    return f"| {system['title']} | {seconds} | {rate['median']:,.0f} {spread} | {ratio} | {difference} |"


def render_origin(result: dict) -> str:
    machine, model = result["machine"], result["model"]
    hardware = f"{machine['cpu']} ({machine['cores']} cores, {machine['memory_gib']} GiB), {machine['os']}"
    versions = "; ".join(f"{name}: {render_packages(found)}" for name, found in result["packages"].items())
    lines = [
        f"Measured {result['date']} on {hardware}, Python {machine['python']}, {result['threads']} threads.",
        f"Model {model['name']}, float32, SHA-256 of the weights {model['sha256'][:12]}….",
        f"Packages: {versions}.",
        f"Systems took turns in one run: `{result['command']}`.",
    ]
    return "\n".join(lines)


def render_packages(packages: dict[str, str]) -> str:
    return ", ".join(f"{name} {packages[name]}" for name in NAMES if name in packages)
