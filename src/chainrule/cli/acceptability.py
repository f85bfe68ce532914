"""chainrule score --acceptability: texts with measures of acceptability."""

# Heavy imports are inside functions, after the arguments have been parsed.

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from typer import Option

from chainrule.cli.reject import reject
from chainrule.errors import InputError

if TYPE_CHECKING:
    from chainrule.cli.inputs import Record, Source
    from chainrule.cli.sink import Sink
    from chainrule.engine.question import Progress
    from chainrule.language import LanguageModel
    from chainrule.results import Acceptability
    from chainrule.scoring.unigram import Unigram


@dataclass(frozen=True)
class AcceptabilityOptions:
    """Measures of acceptability."""

    panel: ClassVar = "Acceptability"
    acceptability: Annotated[
        bool,
        Option(
            "--acceptability",
            help="Add MeanLP and PenLP; with --unigram NormLP and SLOR, with a context PMI. Rows are sequences.",
        ),
    ] = False
    unigram: Annotated[
        str | None,
        Option(
            metavar="FILE",
            help="The distribution of single tokens: a corpus (.txt, one text per line), or a table (.csv or .tsv with columns "
            "token or id, and count or probability; a .json object).",
        ),
    ] = None

    def __post_init__(self) -> None:
        if not self.acceptability:
            reject("is for --acceptability", unigram=self.unigram)

    def check(self, per: str | None, top: int, order: Any) -> None:
        """Raises InputError for options that need rows of tokens or of orders, and for a file that cannot be read."""
        if not self.acceptability:
            return
        if per not in (None, "sequence"):
            raise InputError(f"--acceptability adds columns to rows of sequences, not of --per {per}")
        if top or order is not None:
            raise InputError(f"--acceptability has neither orders nor alternatives: leave {'--top' if top else '--order'} out")
        if self.unigram is not None:
            import os

            from chainrule.files.opened import reading

            with reading(self.unigram):
                os.stat(self.unigram)


def acceptability_stream(
    load: Callable[[], LanguageModel], source: Source, sink: Sink, unigram: str | None, options: dict[str, Any]
) -> None:
    """Score all texts and write the scores with their measures to the sink. unigram: the file of the distribution."""
    from chainrule.cli.kept import Kept
    from chainrule.cli.stream import contexts_of, stream

    kept = Kept(source, sink.form)
    distribution: list[Unigram] = []  # of the file, which is read once
    named = {name: value for name, value in options.items() if name not in ("top", "order", "seed")}

    def score(lm: LanguageModel, progress: Progress | None, shard: list[Record]) -> Acceptability:
        if unigram is not None and not distribution:
            distribution.append(lm.unigram(unigram, end=options["end"]))
        once = distribution[0] if distribution else None
        texts = [record.item for record in shard]
        return lm.acceptability(texts, context=contexts_of(shard), unigram=once, progress=progress, **named)

    def write(result: Acceptability, shard: list[Record]) -> None:
        sink.write(
            table=lambda: kept.table(result.to_arrow(), shard),
            views=lambda: [result],
            objects=lambda: kept.lines((m.to_dict() if source.single else m.summary() for m in result), shard),
            next_row=shard[-1].index + 1,
        )

    stream(load, source, score, write, "contexts")
