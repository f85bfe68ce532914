"""What a model is, for readers of its numbers: its title, the revision and quantisation of its weights, and the dtype."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from chainrule.errors import ModelError
from chainrule.models.fingerprint import fingerprint

_IN_TEXT, _IN_ROWS = 12, 16  # digits of a revision in a line of text, and in a row of a table


@dataclass(frozen=True)
class WeightFile:
    """A file of weights, in the state in which it was loaded."""

    path: Path
    state: tuple[int, int]  # size, and time of modification in nanoseconds

    @classmethod
    def of(cls, path: Path) -> WeightFile:
        return cls(path, _state(path))

    @property
    def unchanged(self) -> bool:
        with suppress(OSError):
            return _state(self.path) == self.state
        return False


@dataclass(frozen=True)
class Identity:
    """A model as it was loaded."""

    name: str  # as given to `load`
    dtype: str  # that it computes in
    title: str
    quantisation: str | None = None  # of the weights in their file: "Q4_1 dequantised"; None if they are not quantised
    note: str | None = None  # "in memory" if the weights do not come from files
    known_revision: str | None = None
    files: tuple[WeightFile, ...] = ()  # the weights, for their digest, if there is no known revision
    chainrule: str = field(default_factory=lambda: version("chainrule"))

    @classmethod
    def in_memory(cls, name: str, dtype: Any, quantisation: str | None = None) -> Identity:
        """Of a model whose weights do not come from files. dtype: a dtype of torch."""
        return cls(name, str(dtype).removeprefix("torch."), name, quantisation, note="in memory")

    @cached_property
    def revision(self) -> str | None:
        """The commit of a hub model, or the SHA-256 of the weights as "sha256:…"; None for weights in memory.

        A digest of files is computed when it is first read, and remembered in the cache folder. It is None if a file has
        changed since it was loaded.
        """
        if self.known_revision is not None or not self.files:
            return self.known_revision
        return digest_of(self.files)

    @property
    def short_revision(self) -> str | None:
        """The revision as in rows of tables: the first 16 digits of the commit or digest."""
        return _shortened(self.revision, _IN_ROWS)

    @property
    def revision_is_lost(self) -> bool:
        """Whether the weights have no revision, because they are in memory."""
        return self.note is not None

    @property
    def weights(self) -> str:
        """The weights in words: "SmolLM2-135M-Instruct, Q4_1 dequantised"."""
        return ", ".join(filter(None, (self.title, self.quantisation, self.note)))

    def changed(self) -> Identity:
        """The same model after its weights were changed in memory."""
        return replace(self, note=self.note or "changed in memory", known_revision=None, files=())

    def to_dict(self) -> dict[str, str | None]:
        """The columns of every result that say where it comes from."""
        names = ("weights", "revision", "dtype", "chainrule")
        return {"model": self.name} | {name: getattr(self, name) for name in names}

    def describe(self) -> str:
        """One line for people, with a short revision. A digest is left out as long as it has not been computed."""
        revision = self.known_revision or vars(self).get("revision")
        return " · ".join(
            filter(None, (self.weights, _shortened(revision, _IN_TEXT), self.dtype, f"chainrule {self.chainrule}"))
        )


def identity_of(model: Any) -> Identity:
    """The identity of a model; of a class without one, as of a model in memory."""
    known = getattr(model, "identity", None)
    return Identity.in_memory(model.name, model.dtype) if known is None else known


def quantisation_of(declared: Any) -> str | None:
    """The `quantization_config` of a config, a dictionary or an object of transformers, in words: "bitsandbytes 4 bit"."""
    if hasattr(declared, "to_dict"):
        declared = declared.to_dict()
    if not isinstance(declared, dict):
        return None
    method = declared.get("quant_method") or "quantised"
    flags = {"load_in_4bit": 4, "load_in_8bit": 8}
    bits = declared.get("bits") or next((count for flag, count in flags.items() if declared.get(flag)), None)
    method = str(getattr(method, "value", method))
    return f"{method} {bits} bit" if bits else method


def digest_of(files: Sequence[WeightFile]) -> str | None:
    """The digest of the files as they were loaded; None without files, or if one cannot be read or has changed since."""
    if not files:
        return None
    with suppress(ModelError):
        digest = fingerprint([file.path for file in files])
        return digest if all(file.unchanged for file in files) else None
    return None


def weight_files(paths: Iterable[Path]) -> tuple[WeightFile, ...]:
    """The files in their present state."""
    return tuple(map(WeightFile.of, paths))


def _shortened(revision: str | None, digits: int) -> str | None:
    """The first digits of a commit or digest."""
    if revision is None:
        return None
    kind, colon, digest = revision.rpartition(":")
    return f"{kind}{colon}{digest[:digits]}"


def _state(path: Path) -> tuple[int, int]:
    info = os.stat(path)
    return info.st_size, info.st_mtime_ns
