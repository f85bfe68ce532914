"""Where a result comes from: the model with the revision, quantisation and dtype of its weights, and chainrule's version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chainrule.files.row_text import json_text
from chainrule.models.identity import Identity

METADATA = "chainrule"  # the key of the provenance in the metadata of Arrow tables and Parquet files


class WithProvenance:
    """A result that says which model it comes from."""

    if TYPE_CHECKING:  # fields of the dataclasses among the results, and properties of the others

        @property
        def identity(self) -> Identity: ...

    @property
    def model(self) -> str:
        """The name of the model, as loaded."""
        return self.identity.name

    def provenance(self) -> dict[str, Any]:
        """What every file and JSON of a result says: `model`, `weights`, `revision`, `dtype`, `chainrule`.

        The revision is the whole commit of a hub model, or the whole SHA-256 of the weights; rows of tables have its first 16
        digits. It is computed when it is first read.
        """
        return self.identity.to_dict()

    @property
    def source(self) -> str:
        """The provenance as one line."""
        return self.identity.describe()


def metadata(result: WithProvenance) -> dict[str, str]:
    """The metadata of a table: the provenance as JSON."""
    return {METADATA: json_text(result.provenance())}


class WithWindow(WithProvenance):
    """A result whose contexts have a limit."""

    if TYPE_CHECKING:

        @property
        def window(self) -> int | None:
            """The most embeddings that a factor could be conditioned on; None if there is no limit."""

    def provenance(self) -> dict[str, Any]:
        """What every file and JSON of a result says: `model`, `weights`, `revision`, `dtype`, `chainrule`, `window`.

        The revision is whole, as without a window.
        """
        return super().provenance() | {"window": self.window}

    @property
    def source(self) -> str:
        """The provenance as one line."""
        return super().source + ("" if self.window is None else f" · contexts of at most {self.window} embeddings")


class FromScores(WithWindow):
    """A result computed from scores, which say where it comes from."""

    if TYPE_CHECKING:

        @property
        def scores(self) -> WithWindow: ...

    @property
    def identity(self) -> Identity:
        return self.scores.identity

    @property
    def window(self) -> int | None:
        return self.scores.window
