"""`generate` and `infill` on the command line: the steps as they happen, then the texts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from chainrule.cli.output import OUT, print_json
from chainrule.cli.progress import progress
from chainrule.cli.sink import Sink, table_of
from chainrule.errors import InputError
from chainrule.generation import Generated, Options, Step

if TYPE_CHECKING:
    from chainrule.language import LanguageModel


SHOWN = 3  # alternatives in each place, with --explain or --json

_TYPES = {
    "index": "int64",
    "text": "string",
    "context_text": "string",
    "logprob": "double",
    "tokens": "int32",
    "finish": "string",
    "method": "string",
    "altered": "string",
    "altered_logprob": "double",
    "seed": "int64",
    "canonical": "bool",
    "certain": "bool",
    "bound": "double",
    "start": "string",
    "start_id": "int64",
    "end_id": "int64",
    "kind": "string",
    "special": "string",
    "context_special": "string",
    "model": "string",
}

Grow = Callable[..., Generated | list[Generated]]  # a model and options → what was grown


@dataclass
class Growing:
    """What is shown of texts that grow."""

    explain: bool
    json: bool
    output: str | None

    def run(self, load: Callable[[], LanguageModel], grow: Grow, options: dict[str, Any]) -> None:
        """Grow, telling the steps where they are asked for, and show what comes of it. `options`: those of `Options`."""
        if options["top"] is not None and not (self.explain or self.json):
            raise InputError("--top shows alternatives with --explain or --json: add one of them")
        options |= {"top": (SHOWN if self.explain or self.json else 0) if options["top"] is None else options["top"]}
        Options(**options)  # before the model is read
        several, steps = options["samples"] is not None, []
        with Sink(self.output, self.json) as sink:
            lm = load()
            with nullcontext() if self.explain else progress("tokens") as say:
                made = self._grow(partial(grow, lm), options, steps, say, several)
            self._show(made, steps, several, sink)

    def _grow(
        self, grow: Callable[..., Any], options: dict[str, Any], steps: list[Step], say: Any, several: bool
    ) -> list[Generated]:
        most = options.get("length") or 64

        def watch(step: Step) -> None:
            if self.json:
                steps.append(step)
            elif self.explain:
                OUT.write((f"text {step.sample + 1}  " if several else "") + f"{step}\n")
                OUT.flush()
            elif say is not None:
                say("growing", step.step + 1, most)

        made = grow(**options | {"watch": watch})
        return made if isinstance(made, list) else [made]

    def _show(self, made: list[Generated], steps: list[Step], several: bool, sink: Sink) -> None:
        if self.json:
            texts = [s.to_dict() for s in made]
            if self.explain:
                for i, text in enumerate(texts):
                    text["steps"] = [step.to_dict() for step in steps if step.sample == i]
            print_json(texts if several else texts[0])
        elif self.explain and self.output is None and not sink.terminal:
            OUT.writelines(f"{s.text!r}: log Pr = {s.logprob:.6f} nats, {len(s)} tokens, {s.story()}\n" for s in made)
        else:
            sink.write(lambda: table_of(_rows(made), _TYPES), lambda: made)


def _rows(made: list[Generated]) -> list[dict[str, Any]]:
    return [
        {"index": i, "text": s.text, "context_text": s.context, "logprob": s.logprob, "tokens": len(s)}
        | {"finish": s.finish, "method": s.method, "altered": s.altered, "altered_logprob": s.altered_logprob}
        | {"seed": s.seed, "canonical": s.canonical, "certain": s.certificate.certain if s.certificate else None}
        | {"bound": s.certificate.bound if s.certificate else None, "start": s.start.policy, "start_id": s.start.id}
        | {"end_id": s.end, "kind": s.kind, "special": s.special, "context_special": s.context_special, "model": s.model}
        for i, s in enumerate(made)
    ]
