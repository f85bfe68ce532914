"""Generate the annotated tree and the tables of runs in the documents, and check their links.

python scripts/docs.py            # write
python scripts/docs.py --check    # exit code 1 if something is outdated
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "chainrule"
LAYERS = (
    "text",
    "forest",
    "ops",
    "models",
    "engine",
    "results",
    "scoring",
    "generation",
    "display",
    "verify",
    "comparison",
    "pages",
    "language",
    "loading.py",
    "cli",
    "corpus",
    "evaluation",
    "serving",
    "program",
    "files",
    "cache_entries.py",
    "scratch.py",
    "cache_dir.py",
    "_warnings.py",
    "errors.py",
    "verdict.py",
    "_checks.py",
    "_types.py",
)
sys.path.insert(0, str(ROOT / "benchmarks"))


def tree() -> str:
    """Every module with the first sentence of its docstring, in the order of the layers."""
    lines = ["src/chainrule/"]
    for name in LAYERS:
        path = SOURCE / name
        lines += [f"  {name:24} {summary(path)}"] if path.is_file() else _branch(path, 1)
    return "```\n" + "\n".join(lines) + "\n```"


def _branch(folder: Path, depth: int) -> list[str]:
    """A package, its modules and its subpackages."""
    indent = "  " * depth
    lines = [f"{indent}{folder.name + '/':{26 - 2 * depth}} {summary(folder / '__init__.py')}"]
    for path in sorted(folder.iterdir()):
        if path.suffix == ".py" and path.name != "__init__.py":
            lines.append(f"{indent}  {path.name:{24 - 2 * depth}} {summary(path)}")
        elif (path / "__init__.py").exists():
            lines += _branch(path, depth + 1)
    return lines


def summary(module: Path) -> str:
    text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    if not text:
        raise SystemExit(f"{module.relative_to(ROOT)} has no docstring")
    return text.split("\n")[0].split(". ")[0].rstrip(".")


def replace(page: str, text: str, name: str, body: str) -> str:
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise SystemExit(f"{page} must have exactly one line {begin} and one line {end}")
    head, rest = text.split(begin)
    return f"{head}{begin}\n{body.strip()}\n{end}{rest.split(end)[1]}"


def benchmark() -> str | None:
    """The newest measurements against peers and against the floor; None if there are none."""
    from floor_report import render_floor, render_floor_origin
    from report import newest, render_origin, render_overview

    parts = []
    if (run := newest()) is not None:
        parts += [render_overview(run[1], run[0]), render_origin(run[1])]
    if (run := newest("floor-????-??-??.json")) is not None:
        parts += [render_floor(run[1]), render_floor_origin(run[1])]
    return "\n\n".join(parts) or None


def headline() -> str | None:
    """The comparison with peers on short texts, with machine and date."""
    from report import newest, render_headline

    return render_headline(run[1], run[0]) if (run := newest()) is not None else None


def verification() -> str | None:
    """The last kept reports of `chainrule verify --json` and `chainrule verify --code … --json`."""
    from report import newest

    parts = []
    for pattern in ("verify-????-??-??.json", "code-????-??-??.json"):
        if (newest_run := newest(pattern)) is None:
            return None
        run = newest_run[1]
        rows = ["| property | | largest error | tolerance | what was checked |", "|---|---|---:|---:|---|"]
        for p in run["properties"]:
            bounds = f"{p['error']:.2g} | {p['tolerance']:.2g} {p['unit']}"
            rows.append(f"| {p['property']} | {p['status']} | {bounds} | {p['checked'].replace('|', chr(92) + '|')} |")
        origin = f"`{run['command']}`: {run['model']} on {run['machine']['cpu']}, {run['seconds']:.0f} s, {run['date']}."
        parts += ["\n".join(rows), origin]
    return "\n\n".join(parts)


def growing() -> str | None:
    """The speed of generation against transformers' own generate: the newest run of each dtype."""
    from report import newest

    runs = [run[1] for dtype in ("float32", "bfloat16") if (run := newest(f"growing-{dtype}-????-??-??.json"))]
    if not runs:
        return None
    each = [{(case["samples"], case["prompt"]): case for case in run["cases"]} for run in runs]
    rows = [
        "| texts at a time | tokens before | " + " | ".join(run["dtype"] for run in runs) + " |",
        "|---:|---:|" + "---:|" * len(runs),
    ]
    for samples, prompt in dict.fromkeys(key for cases in each for key in cases):
        cases_of = [cases.get((samples, prompt)) for cases in each]
        ratios = [f"{c['ratio']:.2f}× [{c['lowest']:.2f} – {c['highest']:.2f}]" if c else "" for c in cases_of]
        rows.append(f"| {samples} | {prompt} | {' | '.join(ratios)} |")
    note = (
        "The speed of chainrule as a multiple of transformers' own `generate`, for the same number of tokens: the median of\n"
        "the rounds [lowest – highest]; below 1 chainrule is slower. One text at a time is greedy, more are samples.\n"
        "chainrule's time includes the scores of the texts."
    )
    origins = [
        f"`{run['command']}`: {run['tokens']} tokens, {run['rounds']} rounds in alternation; {run['model']} on "
        f"{run['machine']['cpu']}, {run['threads']} threads, transformers {run['transformers']}, "
        f"torch {run['torch']}, {run['date']}."
        for run in runs
    ]
    return "\n\n".join(["\n".join(rows), note, "\n".join(origins)])


def harness() -> str | None:
    """The speed of log-likelihoods in lm-evaluation-harness against its own models, in the newest run."""
    from report import newest

    if (found := newest("harness-float32-????-??-??.json")) is None:
        return None
    run, with_vllm = found[1], "vllm_ratio" in found[1]["cases"][0]
    heads = ["workload", "requests", "× `hf`", *(["× vLLM"] if with_vllm else []), "largest difference from `hf`"]
    rows = [f"| {' | '.join(heads)} |", f"|---|{'---:|' * (len(heads) - 1)}"]
    for case in run["cases"]:
        vllm = [f"{case['vllm_ratio']:.2f}"] if with_vllm else []
        ratio = f"{case['ratio']:.2f} [{case['lowest']:.2f} – {case['highest']:.2f}]"
        cells = [case["workload"], str(case["requests"]), ratio, *vllm, f"{case['max_difference']:.1e} nats"]
        rows.append(f"| {' | '.join(cells)} |")
    origin = (
        f"`{run['command']}`: {run['model']}, {run['dtype']}, on {run['machine']['cpu']}, {run['threads']} threads, "
        f"lm_eval {run['lm_eval']}, transformers {run['transformers']}, torch {run['torch']}, {run['date']}."
    )
    return "\n\n".join(["\n".join(rows), origin])


def corpora() -> dict[str, str | None]:
    """Workers, and what corpora take, in the newest measurements."""
    from corpus_report import render_cost, render_workers

    return {"workers": render_workers(), "cost": render_cost()}


def zoo() -> str:
    """A summary of docs/architectures.md."""
    text = (ROOT / "docs" / "architectures.md").read_text(encoding="utf-8")
    table = {name: int(number) for name, number in re.findall(r"^\| ([a-z' ]+) \| (\d+) \|", text, re.MULTILINE)}
    version = re.findall(r"transformers [\d.]+", text)[0]
    forest, batch, refused, unbuilt, wrong = (table[n] for n in ("forest", "batch", "refused", "can't be built here", "wrong"))
    return (
        f"Of the {sum(table.values())} types of causal language models in {version}, {forest + batch} are scored exactly,\n"
        f"{forest} of them with the forest strategy, {batch} by the model's own forward; {refused} are refused with a reason,\n"
        f"{unbuilt} need more than transformers to be built, and {wrong or 'none'} gave a wrong number:\n"
        "[all types](docs/architectures.md)."
    )


def blocks() -> dict[str, dict[str, str | None]]:
    """The generated blocks of each document; None if there are no measurements."""
    return {
        "README.md": {"benchmark": headline()},
        "ARCHITECTURE.md": {"tree": tree()},
        "docs/benchmarks.md": {"benchmark": benchmark()},
        "docs/corpora.md": corpora(),
        "docs/generation.md": {"growing": growing()},
        "docs/lm-eval.md": {"harness": harness()},
        "docs/models.md": {"zoo": zoo()},
        "docs/verify.md": {"verify": verification()},
    }


def from_docs(page: str, body: str) -> str:
    """A body with links relative to the root, rewritten for a page that may be in docs/."""
    if not page.startswith("docs/"):
        return body
    return body.replace("](docs/", "](").replace("](benchmarks/", "](../benchmarks/")


def broken_links() -> list[str]:
    """Broken relative links of the documents."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))]
    return [f"{page.relative_to(ROOT)}: {link} is a broken link" for page, link in links if not leads_somewhere(page, link)]


def leads_somewhere(page: Path, link: str) -> bool:
    """Whether the target exists and has the heading. Pages of docs/ link to files alone: the site shows no folder."""
    path, _, heading = link.partition("#")
    target = page.parent / path if path else page
    if "://" in link or not heading or target.suffix != ".md":
        return "://" in link or (target.is_file() if ROOT / "docs" in page.parents else target.exists())
    titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE) if target.exists() else []
    return heading in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def main() -> None:
    outdated = []
    for page, bodies in blocks().items():
        before = after = (ROOT / page).read_text(encoding="utf-8")
        for name, body in bodies.items():
            if body is not None:
                after = replace(page, after, name, from_docs(page, body))
        if after == before:
            continue
        outdated.append(f"{page} differs from the code or the newest measurement: run python scripts/docs.py")
        if "--check" not in sys.argv:
            (ROOT / page).write_text(after, encoding="utf-8")
    problems = broken_links() + (outdated if "--check" in sys.argv else [])
    if problems:
        raise SystemExit("\n".join(problems))


if __name__ == "__main__":
    main()
