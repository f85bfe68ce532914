"""The comparison of chainrule with the floor, as Markdown."""

from report import caption, render_machine, render_packages

DTYPES = ("float32", "bfloat16")


def render_floor(result: dict) -> str:
    """The floor, the workloads and the memory."""
    parts = [render_floors(result["floor"]), render_workloads(result["workloads"])]
    if "memory" in result:
        parts.append(render_memory(result["memory"]))
    return "\n\n".join(parts)


def render_floors(floors: dict) -> str:
    speeds = " and ".join(
        f"{floor['tokens_per_second']:,.0f} tokens/s in {dtype} [{floor['least']:,.0f} – {floor['most']:,.0f}]"
        for dtype, floor in floors.items()
    )
    return (
        "The floor: the model's own matrix products alone, by the fastest kernel and at its best number of rows, "
        f"allow {speeds}, measured in alternation with chainrule."
    )


def render_workloads(workloads: dict) -> str:
    lines = [
        "| workload | tokens | rows | float32: tokens/s, of the floor | bfloat16 | bfloat16 ÷ float32 "
        "| cost of a context, in flat tokens |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *(render_line(name, measured) for name, measured in workloads.items()),
        "",
        *NOTES,
    ]
    return "\n".join(lines)


NOTES = (
    "Rows: the distinct contexts that the network computes, including the overlap of windows. Of the floor: the floor's time "
    "for these rows (of the head, for those whose next token is scored) ÷ chainrule's.",
    "Cost of a context: the time for a distinct context ÷ the time for a token of the short texts, float32 / bfloat16.",
)


def render_line(name: str, measured: dict) -> str:
    of_dtype = [measured.get(dtype) for dtype in DTYPES]
    relative = [f"{one['context_over_flat_token']:.2f}" for one in of_dtype if one and "context_over_flat_token" in one]
    cells = [
        caption(name, measured),
        f"{measured['tokens']:,}",
        f"{measured['facts']['distinct_contexts']:,}",
        *(f"{one['tokens_per_second']:,.0f}, {one['share']:.0%}" if one else "" for one in of_dtype),
        f"{measured['bfloat16_speedup']:.2f}×" if "bfloat16_speedup" in measured else "",
        " / ".join(relative),
    ]
    return f"| {' | '.join(cells)} |"


def render_memory(memory: list[dict]) -> str:
    small, large = memory
    grown = (large["peak_mib"] - small["peak_mib"]) * 2**20 / (large["tokens"] - small["tokens"])
    peaks = ", ".join(f"{m['peak_mib']:,.0f} MiB for {m['texts']:,} short texts ({m['tokens']:,} tokens)" for m in memory)
    return (
        "Memory above the loaded model (float32, resident high-water mark of a separate process): "
        f"{peaks}, which is {grown:,.0f} bytes for each further token."
    )


def render_floor_origin(result: dict) -> str:
    model = result["model"]
    lines = [
        render_machine(result),
        f"Model {model['name']}, SHA-256 of the weights {model['sha256'][:12]}….",
        f"Packages: {render_packages(result['packages']['chainrule'])}.",
        *([f"Kernels: {result['kernels']}."] if "kernels" in result else []),
        f"Measured in one run: `{result['command']}`.",
    ]
    return "\n".join(lines)
