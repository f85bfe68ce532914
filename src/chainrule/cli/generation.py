"""chainrule generate and infill: generation, and the output of steps and texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from chainrule.cli.generation_options import StepOptions
from chainrule.cli.output import show
from chainrule.cli.progress import Bar, progress
from chainrule.display.steps import StepTable, finished_view
from chainrule.errors import InputError
from chainrule.generation import Generated, Options, Step
from chainrule.results.columns import Row
from chainrule.results.rows import table as rows

if TYPE_CHECKING:
    from chainrule.language import LanguageModel


ALTERNATIVES = 3  # default number at each position, with --explain or --json

Generate = Callable[..., Generated | list[Generated]]  # takes the model, and the options of the library as keywords


def run_generation(
    load: Callable[[], LanguageModel], generate: Generate, options: dict[str, Any], outputs: StepOptions
) -> None:
    """Generate texts, show the steps with --explain, and write the texts. options: of the library, except `top`.

    Raises InputError and OutputError.
    """
    detailed = outputs.explain or outputs.json
    if outputs.top is not None and not detailed:
        raise InputError("--top shows alternatives with --explain or --json: add one of them")
    default_top = ALTERNATIVES if detailed else 0
    options = options | {"top": default_top if outputs.top is None else outputs.top}
    Options(**options)  # checks the options before the model is loaded
    several = options["n"] is not None
    steps: list[Step] = []
    with outputs.sink() as sink:
        lm = load()
        if outputs.json or not outputs.explain:
            with progress("tokens") as bar:
                generated = generate(lm, **options, on_token=_collect(steps, bar, options))
        else:
            table = StepTable(options["top"], several)
            show(table.head())
            generated = generate(lm, **options, on_token=lambda step: show(table.row(step)))
        texts = generated if isinstance(generated, list) else [generated]
        if outputs.json:
            sink.write(tuple, tuple, lambda: _objects(texts, steps if outputs.explain else None))
        elif outputs.explain and outputs.output is None:
            show(*(finished_view(text, steps=True, marks=sink.terminal) for text in texts))
        else:
            sink.write(lambda: rows(Row.GENERATED, texts, index=range(len(texts))), lambda: texts)


def _collect(steps: list[Step], bar: Bar | None, options: dict[str, Any]) -> Callable[[Step], None]:
    """A function that keeps each step, and updates the progress bar."""
    count = options["n"] if options["method"] == "sample" and options["n"] else 1
    total = (options.get("max_tokens") or 64) * count

    def handle(step: Step) -> None:
        steps.append(step)
        if bar is not None:
            bar("generating", min(len(steps), total), total)

    return handle


def _objects(texts: list[Generated], steps: list[Step] | None) -> list[dict[str, Any]]:
    """The texts for JSON lines. steps: added to each text; None: none."""
    objects = [{"index": i} | text.to_dict() for i, text in enumerate(texts)]
    if steps is not None:
        for i, text in enumerate(objects):
            text["steps"] = [step.to_dict() for step in steps if step.sample == i]
    return objects
