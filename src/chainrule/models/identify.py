"""The identity of a model that was loaded from files, read from their headers and from the place where they lie."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from chainrule.models.checkpoint import weight_names
from chainrule.models.gguf_header import read_header
from chainrule.models.identity import Identity, quantisation_of, weight_files
from chainrule.models.packaged import PACKAGED

_COMMIT = re.compile(r"[0-9a-f]{40}")
_PLAIN = ("F32", "F16", "BF16", "F64")  # types of .gguf tensors that are not quantised


def identify(name: str, source: Path, dtype: Any, adapter: Path | None = None) -> Identity:
    """The identity of the model `name`, loaded from a folder or .gguf file, in this dtype of torch.

    adapter: the weights of an adapter that was merged into it; the revision is then the digest of all files.
    """
    base = _identify(name, source, dtype)
    if adapter is None:
        return base
    own = [source] if source.is_file() else [source / file for file in weight_names(source)]
    title = f"{base.title} with the adapter {adapter.resolve().parent.name}"
    return replace(base, title=title, known_revision=None, files=weight_files([*own, adapter]))


def _identify(name: str, source: Path, dtype: Any) -> Identity:
    computed = str(dtype).removeprefix("torch.")
    if (package := PACKAGED.get(name)) is not None:
        return Identity(
            name, computed, package.title, f"{package.quantisation} dequantised", known_revision=f"sha256:{package.sha256}"
        )
    if source.is_file():
        title, kind = _of_gguf(source)
        return Identity(name, computed, title, kind, files=weight_files([source]))
    quantisation = _quantisation(source / "config.json")
    owner, commit = _on_hub(source)
    if commit is not None:
        return Identity(name, computed, owner, quantisation, known_revision=commit)
    files = weight_files(source / file for file in weight_names(source))
    return Identity(name, computed, source.resolve().name, quantisation, files=files)


def _of_gguf(file: Path) -> tuple[str, str | None]:
    """The title in the header of a .gguf file, and the type of its weights; None if they are float32."""
    import gguf

    metadata, _ = read_header(file)
    title = str(metadata.get("general.name") or file.stem)
    try:
        kind = gguf.LlamaFileType(metadata.get("general.file_type")).name.removeprefix("MOSTLY_").removeprefix("ALL_")
    except ValueError:  # the header does not say
        kind = _most_frequent_type(file)
    if kind in _PLAIN:
        return title, None if kind == "F32" else kind
    return title, f"{kind} dequantised"


def _most_frequent_type(file: Path) -> str:
    """The type of most numbers in a .gguf file."""
    import gguf

    numbers: dict[str, int] = {}
    for tensor in gguf.GGUFReader(file).tensors:
        numbers[tensor.tensor_type.name] = numbers.get(tensor.tensor_type.name, 0) + int(tensor.n_elements)
    return max(numbers, key=numbers.__getitem__, default="F32")


def _quantisation(config: Path) -> str | None:
    with suppress(OSError, ValueError, AttributeError):
        return quantisation_of(json.loads(config.read_text("utf-8")).get("quantization_config"))
    return None


def _on_hub(folder: Path) -> tuple[str, str | None]:
    """The id and the commit of a folder in the hub's cache, …/models--owner--name/snapshots/COMMIT; None for others."""
    path = folder.absolute()
    repository = path.parent.parent.name
    if path.parent.name == "snapshots" and repository.startswith("models--") and _COMMIT.fullmatch(path.name):
        return repository.removeprefix("models--").replace("--", "/"), path.name
    return path.name, None
