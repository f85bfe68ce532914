"""The options that commands share, in groups: a dataclass is a group, and a field is an option."""

# Heavy imports are inside functions, after the arguments have been parsed.

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from typer import Option

from chainrule.cli.imports import quick_imports
from chainrule.cli.model_names import complete_model
from chainrule.cli.output import note
from chainrule.cli.parameters import did_you_mean, shortened
from chainrule.cli.reject import reject
from chainrule.errors import InputError

if TYPE_CHECKING:
    from chainrule.cli.sink import Sink
    from chainrule.language import LanguageModel

_STARTS = ("auto", "bos", "eos", "given", "cls")  # cls: of masked models
_DEVICES = ("cpu", "cuda", "mps", "xpu", "hpu", "npu")


class Dtype(StrEnum):
    """The type of the weights."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"
    float64 = "float64"
    auto = "auto"


class Reads(StrEnum):
    """How the name of a control symbol in a text is read: as plain text, or as the symbol."""

    text = "text"
    parse = "parse"


@dataclass(frozen=True)
class ModelOptions:
    """The model, its start symbol, and how it is computed."""

    panel: ClassVar = "Model"
    model: Annotated[
        str | None,
        Option(
            "--model",
            "-m",
            metavar="MODEL",
            autocompletion=complete_model,
            help="A packaged model, a model folder, a .gguf file or a hub id. Default: smollm2-135m.",
        ),
    ] = None
    start: Annotated[
        str,
        Option(metavar="SYMBOL", help="What the first token is conditioned on: auto, bos, eos, given, or a token id."),
    ] = "auto"
    dtype: Annotated[
        Dtype,
        Option(metavar="TYPE", help="float32, bfloat16, float16, float64, or auto: bfloat16 if the machine supports it."),
    ] = Dtype.float32
    device: Annotated[str, Option(metavar="DEVICE", help="cpu, cuda, cuda:1 …")] = "cpu"
    threads: Annotated[
        int | None, Option(min=1, metavar="N", help="The number of threads. Default: the cores that this process may use.")
    ] = None

    def __post_init__(self) -> None:
        if not re.fullmatch("[0-9]{1,18}", self.start) and self.start not in _STARTS:
            near = did_you_mean(self.start, _STARTS)
            raise InputError(f"--start takes auto, bos, eos, given or a token id, not {shortened(self.start)}{near}")
        kind, colon, number = self.device.partition(":")
        if kind not in _DEVICES or (colon and not re.fullmatch("[0-9]{1,4}", number)):
            near = "; did you mean cuda?" if kind == "gpu" else did_you_mean(self.device, _DEVICES)
            raise InputError(f"--device takes cpu, cuda or cuda:N, not {shortened(self.device)}{near}")

    def check(self) -> None:
        """Find and check the model, without torch, whose import takes seconds. Raises ModelError."""
        from chainrule.cli.log import show_log
        from chainrule.models.dtype import check_dtype
        from chainrule.models.locate import locate

        show_log()
        check_dtype(self.dtype)
        locate(self.model)

    def load(self) -> LanguageModel:
        """Check and load the model. Raises ModelError."""
        self.check()
        try:
            start: str | int = int(self.start)
        except ValueError:
            start = self.start
        with quick_imports():
            from chainrule.loading import load

            lm = load(self.model, device=self.device, dtype=self.dtype.value, start=cast("Any", start), threads=self.threads)
        if self.dtype is Dtype.auto:
            note(lm.model.dtype_reason)
        return lm


@dataclass(frozen=True)
class MaskedModelOptions(ModelOptions):
    """A masked model, which must be named: the default is causal."""

    model: Annotated[
        str | None,
        Option(
            "--model",
            "-m",
            metavar="MODEL",
            autocompletion=complete_model,
            help="Required: a masked model, such as google-bert/bert-base-uncased, or a folder of one.",
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model is None:
            raise InputError(
                "pseudo needs --model with a masked model, such as google-bert/bert-base-uncased, or a folder of one; "
                "smollm2-135m is causal"
            )


@dataclass(frozen=True)
class TextOptions:
    """How texts are tokenised and conditioned."""

    panel: ClassVar = "Text"
    context: Annotated[
        str | None, Option("--context", "-c", metavar="TEXT", help="The text before, which is not scored itself.")
    ] = None
    end: Annotated[bool, Option("--end", help="Add the factor of the end symbol.")] = False
    special: Annotated[
        Reads | None,
        Option(
            metavar="text|parse",
            help="How names of control symbols, such as <|endoftext|>, are read: as text, or as the symbols (parse). "
            "Default: as text, with a warning.",
        ),
    ] = None
    context_special: Annotated[
        Reads | None, Option(metavar="text|parse", help="The same for contexts. Default: as --special.")
    ] = None

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the library, except the context."""
        return {"end": self.end or None, "special": self.special, "context_special": self.context_special}


@dataclass(frozen=True)
class TemperatureOptions:
    """The temperature of the softmax."""

    panel: ClassVar = "Text"
    temperature: Annotated[
        float, Option("--temperature", metavar="T", help="Take every factor from softmax(logits / T); 1 is the model itself.")
    ] = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise InputError(f"--temperature must be a number above 0, not {self.temperature}")


@dataclass(frozen=True)
class OutputOptions:
    """Where results are written."""

    panel: ClassVar = "Output"
    output: Annotated[str | None, Option("--output", "-o", metavar="PATH", help="Write a .csv, .jsonl or .parquet file.")] = (
        None
    )
    json: Annotated[bool, Option("--json", help="Write JSON to standard output.")] = False

    def check(self) -> None:
        """Raises InputError if both are given."""
        if self.json and self.output is not None:
            raise InputError(
                "give --json or --output, not both: --json is for standard output, and the name of a file sets its format"
            )

    def sink(self, inputs: Sequence[str] = ()) -> Sink:
        """The sink for the results. inputs: files that must not be overwritten. Raises OutputError."""
        from chainrule.cli.sink import Sink

        return Sink(self.output, self.json, inputs)


ORDERS = "Predict the tokens in this order: 0,4,2,1,3, left-to-right, right-to-left, or random."


@dataclass(frozen=True)
class OneOrderOptions:
    """The order in which tokens are predicted."""

    panel: ClassVar = "Order"
    order: Annotated[str | None, Option(metavar="ORDER", help=ORDERS)] = None
    seed: Annotated[int | None, Option(min=0, metavar="N", help="The seed of a random order. Default: 0.")] = None

    def arguments(self, command: str = "explain") -> dict[str, Any]:
        """Keyword arguments of the library. Raises InputError."""
        arguments = _order_arguments(None if self.order is None else [self.order], self.seed)
        if self.order is not None:
            from chainrule.forest.permutations import names_several_orders

            if names_several_orders(arguments["order"]):
                raise InputError(f"{command} takes one order, but --order {self.order} names several; score takes them")
        return arguments


@dataclass(frozen=True)
class DocumentOptions(OutputOptions):
    """Where an explanation is written."""

    output: Annotated[
        str | None,
        Option("--output", "-o", metavar="PATH", help="Write a .html, .svg, .tex or .json file, for slides and papers."),
    ] = None


@dataclass(frozen=True)
class OrderOptions:
    """The orders in which tokens are predicted."""

    panel: ClassVar = "Order"
    order: Annotated[
        list[str] | None,
        Option(metavar="ORDER", help=f"{ORDERS} Several orders (random:8, or --order several times) are averaged."),
    ] = None
    seed: Annotated[int | None, Option(min=0, metavar="N", help="The seed of random orders. Default: 0.")] = None

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the library. Raises InputError."""
        return _order_arguments(self.order, self.seed)


def _order_arguments(orders: list[str] | None, seed: int | None) -> dict[str, Any]:
    from chainrule.cli.option_values import parse_orders

    order = parse_orders(orders)
    if seed is not None and not any(order.startswith("random") for order in orders or []):
        raise InputError("--seed is for random orders: add --order random, or random:8")
    return {"order": order, "seed": seed or 0}


@dataclass(frozen=True)
class WindowOptions:
    """How texts longer than the model's context are scored."""

    panel: ClassVar = "Long texts"
    window: Annotated[
        int | None,
        Option(metavar="N", help="The length of a window in tokens, for texts that are longer. Default: the model's context."),
    ] = None
    stride: Annotated[
        int | None,
        Option(metavar="N", help="Tokens from the start of one window to that of the next. Default: half a window."),
    ] = None
    no_window: Annotated[bool, Option("--no-window", help="Refuse texts longer than the model's context.")] = False

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the library. Raises InputError."""
        if self.no_window:
            reject("is for windows, but --no-window is given", window=self.window, stride=self.stride)
        return {"window": False if self.no_window else self.window, "stride": self.stride}
