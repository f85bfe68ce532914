"""--plot: a chart of the results, written to a file at the end of a run."""

# Heavy imports are inside functions, after the arguments have been parsed.

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

from typer import Option

from chainrule.cli.output import note
from chainrule.cli.reject import reject

if TYPE_CHECKING:
    import altair


class Plot(Protocol):
    """A chart of results that come one after another."""

    add: Callable[..., None]

    def left_out(self) -> list[str]: ...
    def chart(self) -> altair.TopLevelMixin: ...


@dataclass(frozen=True)
class PlotOptions:
    """The file of the chart."""

    panel: ClassVar = "Output"
    plot: Annotated[
        str | None, Option(metavar="FILE", help="Also draw a chart: a .html, .png, .svg or .json (Vega-Lite) file.")
    ] = None

    @contextmanager
    def file(self, plot: Callable[[], Plot], inputs: Sequence[str]) -> Iterator[Plot | None]:
        """The chart, to which results are added, and which is written at the end; None without --plot.

        inputs: files that must not be overwritten. Raises OutputError, for a name that is not possible before anything is
        computed.
        """
        if self.plot is None:
            yield None
            return
        from chainrule.display.plots.saving import plot_bytes, plot_form
        from chainrule.files.writing import Target

        form = plot_form(self.plot)
        target = Target(self.plot, inputs)
        try:
            own = plot()
            yield own
            target.write(plot_bytes(own.chart(), form))
            for line in own.left_out():
                note(f"chainrule: note: {self.plot} shows {line}")
        finally:
            target.discard()


def score_plot() -> Any:
    from chainrule.display.plots.scores import ScorePlot

    return ScorePlot()


def pair_plot() -> Any:
    from chainrule.display.plots.pairs import PairPlot

    return PairPlot()


def reliability_plot(bins: int, by: str) -> Any:
    from chainrule.display.plots.choices import ReliabilityPlot

    return ReliabilityPlot(bins, by)


@dataclass(frozen=True)
class WordPlotOptions(PlotOptions):
    """The file of the chart, and its conditions."""

    plot_by: Annotated[
        str | None,
        Option(metavar="NAME", help="A column with the condition of each text: --plot draws the mean of each condition."),
    ] = None

    def __post_init__(self) -> None:
        if self.plot is None:
            reject("names the column of the conditions of a chart: name its file with --plot", plot_by=self.plot_by)

    def of_words(self) -> Any:
        """The chart: of the mean of each condition, or of the first texts."""
        from chainrule.display.plots.words import MeanPlot, WordPlot

        return WordPlot() if self.plot_by is None else MeanPlot()
