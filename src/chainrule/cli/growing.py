"""`generate` and `infill` on the command line: the steps as they happen, then the texts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from chainrule.cli.progress import progress
from chainrule.cli.scoring import print_json, show, table
from chainrule.growing import Generated, Options, Step
from chainrule.scores.tables import Writer, write_csv

if TYPE_CHECKING:
    from chainrule.language import LanguageModel


Grow = Callable[..., Generated | list[Generated]]  # a model and options → what was grown


@dataclass
class Growing:
    """What is shown of texts that grow."""

    explain: bool
    json: bool
    output: str | None

    def run(self, load: Callable[[], LanguageModel], grow: Grow, options: dict[str, Any]) -> None:
        """Grow, telling the steps where they are asked for, and show what comes of it. `options`: those of `Options`."""
        Options(**options)  # before the model is read
        writer = None if self.output is None else Writer(self.output)
        several, steps = options["samples"] is not None, []
        with writer or nullcontext():
            lm = load()
            with nullcontext() if self.explain else progress("tokens") as say:
                made = self._grow(partial(grow, lm), options, steps, say, several)
            if writer is not None:
                writer.write(table(_rows(made)))
        if writer is None:
            self._show(made, steps, several)

    def _grow(
        self, grow: Callable[..., Any], options: dict[str, Any], steps: list[Step], say: Any, several: bool
    ) -> list[Generated]:
        most = options.get("length") or 64

        def watch(step: Step) -> None:
            if self.json:
                steps.append(step)
            elif self.explain:
                print((f"text {step.sample + 1}  " if several else "") + str(step), flush=True)
            elif say is not None:
                say("growing", step.step + 1, most)

        made = grow(**options | {"watch": watch})
        return made if isinstance(made, list) else [made]

    def _show(self, made: list[Generated], steps: list[Step], several: bool) -> None:
        if self.json:
            texts = [s.to_dict() for s in made]
            if self.explain:
                for i, text in enumerate(texts):
                    text["steps"] = [step.to_dict() for step in steps if step.sample == i]
            print_json(texts if several else texts[0])
        elif sys.stdout.isatty():
            show(*made)
        elif self.explain:
            for s in made:
                print(f"{s.text!r}: log Pr = {s.logprob:.6f} nats, {len(s)} tokens, {s.story()}")
        else:
            write_csv(table(_rows(made)), sys.stdout, header=True)


def _rows(made: list[Generated]) -> list[dict[str, Any]]:
    return [
        {"index": i, "text": s.text, "context_text": s.context, "logprob": s.logprob, "tokens": len(s)}
        | {"finish": s.finish, "method": s.method, "altered": s.altered, "altered_logprob": s.altered_logprob}
        | {"seed": s.seed, "canonical": s.canonical, "certain": s.certificate.certain if s.certificate else None}
        | {"bound": s.certificate.bound if s.certificate else None, "start": s.start.policy, "start_id": s.start.id}
        | {"end_id": s.end, "kind": s.kind, "model": s.model}
        for i, s in enumerate(made)
    ]
