"""The options of generation: how tokens are chosen, and which steps are shown."""

# Heavy imports are inside functions, after the arguments have been parsed.

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from typer import Option

from chainrule.cli.options import ORDERS, OutputOptions


class Method(StrEnum):
    """How the tokens of a generated text are chosen."""

    greedy = "greedy"
    sample = "sample"
    beam = "beam"
    best = "best"


@dataclass(frozen=True)
class GenerationOptions:
    """How the tokens of a generated text are chosen."""

    panel: ClassVar = "Choice of tokens"
    method: Annotated[Method, Option(metavar="METHOD", help="greedy, sample, beam, or best: exactly the most probable.")] = (
        Method.greedy
    )
    n: Annotated[int | None, Option("--n", "-n", min=1, metavar="N", help="The number of texts.")] = None
    temperature: Annotated[float | None, Option(metavar="T", help="sample: Pr^(1/T), normalised.")] = None
    top_k: Annotated[int | None, Option(min=1, metavar="K", help="sample: only from the K most probable tokens.")] = None
    top_p: Annotated[
        float | None, Option(metavar="P", help="sample: only from the fewest tokens whose probabilities sum to P or more.")
    ] = None
    min_p: Annotated[
        float | None, Option(metavar="P", help="sample: only from tokens at least P times as probable as the best.")
    ] = None
    seed: Annotated[int | None, Option(min=0, metavar="N", help="sample: the seed; the same seed gives the same texts.")] = None
    num_beams: Annotated[
        int | None, Option(min=1, metavar="N", help="beam, best: the number of sequences kept. Default: 4.")
    ] = None
    budget: Annotated[
        int | None, Option(min=1, metavar="N", help="best: the maximum number of contexts to compute. Default: 2000.")
    ] = None
    order: Annotated[str | None, Option(metavar="ORDER", help=ORDERS)] = None

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the library, except the order."""
        return {name: value for name, value in asdict(self).items() if name != "order"} | {"method": self.method.value}

    def ordering(self) -> Any:
        """The order as the library takes it. Raises InputError."""
        from chainrule.cli.option_values import parse_orders

        return parse_orders(None if self.order is None else [self.order])


@dataclass(frozen=True)
class StepOptions(OutputOptions):
    """Where results are written, and which steps and alternatives are shown."""

    explain: Annotated[bool, Option("--explain", help="Show every step as it happens.")] = False
    top: Annotated[
        int | None,
        Option(min=0, metavar="K", help="With --explain or --json: the number of alternatives at each position. Default: 3."),
    ] = None
