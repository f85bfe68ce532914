"""chainrule score --detectors: texts with numbers that say how expected they are to the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from typer import Option

from chainrule.cli.reject import reject
from chainrule.errors import InputError


@dataclass(frozen=True)
class DetectorOptions:
    """Numbers that say how expected a text is to the model."""

    panel: ClassVar = "Detectors"
    detectors: Annotated[
        bool,
        Option("--detectors", help="Add Min-K%, Min-K%++, Fast-DetectGPT and the zlib ratio: scores, not verdicts."),
    ] = False
    min_k_share: Annotated[
        float | None, Option(metavar="K", help="The share of the tokens that Min-K% and Min-K%++ take (default: 0.2).")
    ] = None

    def __post_init__(self) -> None:
        if not self.detectors:
            reject("is for --detectors", min_k_share=self.min_k_share)
        elif self.min_k_share is not None and not 0 < self.min_k_share <= 1:
            raise InputError(f"--min-k-share is more than 0 and at most 1, not {self.min_k_share:g}")

    def check(self, several: bool, acceptability: bool) -> None:
        """Raises InputError for options that give other rows."""
        if self.detectors and (several or acceptability):
            other = "several orders" if several else "--acceptability"
            raise InputError(f"--detectors has no numbers for {other}: leave one of them out")

    @property
    def share(self) -> float | None:
        """The share of the tokens; None without --detectors."""
        if not self.detectors:
            return None
        from chainrule.results.detection import K

        return K if self.min_k_share is None else self.min_k_share
