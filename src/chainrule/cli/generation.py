"""chainrule generate and infill: generation, and the output of steps and texts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from chainrule.cli.generation_options import StepOptions
from chainrule.cli.output import OUT
from chainrule.cli.progress import Update, progress
from chainrule.errors import InputError
from chainrule.generation import Generated, Options, Step
from chainrule.results.columns import Row
from chainrule.results.rows import table

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
    steps: list[Step] = []
    with outputs.sink() as sink:
        lm = load()
        with nullcontext() if outputs.explain else progress("tokens") as update:
            generated = generate(lm, **options, on_token=_step_handler(outputs, options, steps, update))
        texts = generated if isinstance(generated, list) else [generated]
        if outputs.json:
            sink.write(tuple, tuple, lambda: _objects(texts, steps if outputs.explain else None))
        elif outputs.explain and outputs.output is None and not sink.terminal:
            OUT.writelines(f"{s.text!r}: log Pr = {s.logprob:.6f} nats, {len(s)} tokens, {s.describe()}\n" for s in texts)
        else:
            sink.write(lambda: table(Row.GENERATED, texts, index=range(len(texts))), lambda: texts)


def _step_handler(
    outputs: StepOptions, options: dict[str, Any], steps: list[Step], update: Update | None
) -> Callable[[Step], None]:
    """A function that handles each step: it collects the step for JSON, prints it, or updates the progress bar."""
    total = options.get("max_tokens") or 64

    def handle(step: Step) -> None:
        if outputs.json:
            steps.append(step)
        elif outputs.explain:
            number = "" if options["n"] is None else f"text {step.sample + 1}  "
            OUT.write(f"{number}{step}\n")
            OUT.flush()
        elif update is not None:
            update("generating", step.step + 1, total)

    return handle


def _objects(texts: list[Generated], steps: list[Step] | None) -> list[dict[str, Any]]:
    """The texts for JSON lines. steps: added to each text; None: none."""
    objects = [{"index": i} | text.to_dict() for i, text in enumerate(texts)]
    if steps is not None:
        for i, text in enumerate(objects):
            text["steps"] = [step.to_dict() for step in steps if step.sample == i]
    return objects
