"""The commands that score texts: score, rank, next, explain and pseudo."""

# Heavy imports are inside functions, after the arguments have been parsed.

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from typer import Argument, Option

from chainrule.cli.acceptability import AcceptabilityOptions, acceptability_stream
from chainrule.cli.app import command
from chainrule.cli.detectors import DetectorOptions
from chainrule.cli.input_options import InputOptions
from chainrule.cli.options import (
    DocumentOptions,
    MaskedModelOptions,
    ModelOptions,
    OneOrderOptions,
    OrderOptions,
    OutputOptions,
    TemperatureOptions,
    TextOptions,
    WindowOptions,
)
from chainrule.cli.plot_options import PlotOptions, score_plot
from chainrule.cli.reject import reject

Texts = Annotated[list[str] | None, Argument(metavar="TEXT", help="The texts. Default: standard input, one per line.")]


class Per(StrEnum):
    """The kind of row in the output."""

    sequence = "sequence"
    text = "text"
    order = "order"
    token = "token"


@command("Score texts")
def score(
    *,
    text: Texts = None,
    per: Annotated[
        Per | None,
        Option(metavar="ROW", help="One row for each sequence or token; with several orders, for each text, order or token."),
    ] = None,
    top: Annotated[int, Option(min=0, metavar="K", help="Keep the K most probable tokens at each position.")] = 0,
    order: OrderOptions,
    windows: WindowOptions,
    texts: TextOptions,
    softmax: TemperatureOptions,
    measures: AcceptabilityOptions,
    detection: DetectorOptions,
    inputs: InputOptions,
    outputs: OutputOptions,
    plots: PlotOptions,
    model: ModelOptions,
) -> None:
    """Score texts: log Pr of each, the sum of its factors. Each call loads the model, which takes seconds: for many calls,
    give the texts in files, or let chainrule serve keep the model in memory."""
    from chainrule.cli.scoring import check_per, score_stream
    from chainrule.forest.permutations import names_several_orders

    outputs.check()
    options: dict[str, Any] = {"top": top, "temperature": softmax.temperature}
    options |= order.arguments() | windows.arguments() | texts.arguments()
    several = names_several_orders(options["order"])
    check_per(per, several)
    measures.check(per, top, options["order"])
    detection.check(several, measures.acceptability)
    if several or measures.acceptability:
        kind = "--acceptability" if measures.acceptability else "several orders"
        reject(f"draws the factors of texts in one order: leave {kind} out", plot=plots.plot)
    source = inputs.source(text, texts.context)
    with plots.file(score_plot, source.files) as plot, outputs.sink(source.files) as sink:
        if measures.acceptability:
            acceptability_stream(model.load, source, sink, measures.unigram, options)
        else:
            score_stream(model.load, source, sink, per, options, plot, detection.share)


@command("Score texts", omit=["context", "context_column", "second_segment_column", "begin"])
def rank(
    *,
    context: Annotated[str, Argument(metavar="CONTEXT", help="The text before the candidates.")],
    candidate: Annotated[
        list[str] | None, Argument(metavar="CANDIDATE", help="The candidates. Default: standard input, one per line.")
    ] = None,
    texts: TextOptions,
    softmax: TemperatureOptions,
    inputs: InputOptions,
    outputs: OutputOptions,
    model: ModelOptions,
) -> None:
    """Rank candidates after a context, most probable first. A row has log Pr(candidate | context)."""
    from chainrule.cli.scoring import rank_all

    outputs.check()
    source = inputs.source(candidate)
    with outputs.sink(source.files) as sink:
        rank_all(model.load, context, source, sink, texts.arguments() | {"temperature": softmax.temperature})


@command("Score texts", "next", omit=["context", "end", "context_special", "output"])
def next_(
    *,
    context: Annotated[str, Argument(metavar="CONTEXT", help="The text before. Default: none.")] = "",
    top: Annotated[int, Option(min=1, metavar="K", help="The number of tokens to show.")] = 10,
    texts: TextOptions,
    softmax: TemperatureOptions,
    outputs: OutputOptions,
    model: ModelOptions,
) -> None:
    """Print the most probable next tokens after a context."""
    from chainrule.cli.scoring import show_conditional

    special: Any = texts.special
    conditional = model.load().conditional(context or None, temperature=softmax.temperature, special=special)
    show_conditional(conditional, top, outputs.json)


@command("Score texts")
def explain(
    *,
    text: Annotated[str, Argument(metavar="TEXT", help="The text.")],
    top: Annotated[int, Option(min=0, metavar="K", help="Show the K most probable tokens at each position.")] = 3,
    order: OneOrderOptions,
    texts: TextOptions,
    softmax: TemperatureOptions,
    outputs: DocumentOptions,
    model: ModelOptions,
) -> None:
    """Write out every factor of a text. A line is Pr(x_2 | e_0, e_1) = 0.083 …, with the running product."""
    outputs.check()
    options: dict[str, Any] = {"top": top, "temperature": softmax.temperature} | order.arguments() | texts.arguments()
    from chainrule.cli.explanation import write_explanation

    write_explanation(lambda: model.load().explain(text, context=texts.context, **options), outputs.output, outputs.json)


@command("Score texts", omit=["end", "second_segment_column", "start"])
def pseudo(
    *,
    text: Texts = None,
    within_words: Annotated[
        bool, Option("--within-words", help="Also mask the tokens to the right within the same word.")
    ] = False,
    texts: TextOptions,
    inputs: InputOptions,
    outputs: OutputOptions,
    model: MaskedModelOptions,
) -> None:
    """Score texts by a masked model: each token given all others. The sum, pseudo-log-likelihood, is not a probability."""
    from chainrule.cli.pseudo import pseudo_stream

    outputs.check()
    source = inputs.source(text, texts.context)
    options = {"within_words": within_words, "special": texts.special, "context_special": texts.context_special}
    with outputs.sink(source.files) as sink:
        pseudo_stream(model.load, source, sink, options)
