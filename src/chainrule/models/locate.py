"""Models by name, found and checked without torch: a packaged model, a folder, a .gguf file, or a hub id."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from chainrule.errors import ModelError
from chainrule.models.checkpoint import check, check_tokenizer
from chainrule.models.damage import refusing
from chainrule.models.gguf_header import check_start
from chainrule.models.hub import cached_ids, is_hub_id, snapshot
from chainrule.models.packaged import DEFAULT, PACKAGED, fault, folder

Kind = Literal["packaged", "folder", "gguf", "hub"]
_SIMILAR = 0.75  # of difflib's ratio: two names that differ by a typing error or two


@dataclass(frozen=True)
class Located:
    """A model on this disk. path: its folder, or its .gguf file; for a hub model, the folder of its revision in the cache."""

    name: str  # as given
    kind: Kind
    path: Path
    conversion: Path | None = None  # of a .gguf file: the model folder in the cache


def locate(name: str | Path | None = None, revision: str | None = None, cache_dir: str | Path | None = None) -> Located:
    """Find a model and check its files, as far as that is possible without torch. A hub model is fetched if it is not here.

    revision, cache_dir: of a hub model. Raises ModelError with the remedy.
    """
    name = DEFAULT if name is None else str(name)
    where = None if cache_dir is None else Path(cache_dir).expanduser()
    if (located := _on_disk(name)) is None:
        _refuse_mistyped(name, where, certain=revision is not None)
        return Located(name, "hub", snapshot(name, revision, where))
    for option, value in (("revision", revision), ("cache_dir", cache_dir)):
        if value is not None:
            what = {"gguf": "a .gguf file", "folder": "a folder", "packaged": "a packaged model"}[located.kind]
            raise ModelError(f"{option}={str(value)!r} is for models of the hub, but {name} is {what}; omit it")
    if located.kind == "gguf":
        with refusing(name):
            check_start(located.path)
    elif located.kind == "folder":
        check(located.path, name)
    return located


def locate_tokenizer(name: str | Path) -> Path:
    """The folder or .gguf file of the tokenizer of this name, which needs no weights. Of a hub model, only it is fetched."""
    name = str(name)
    if (located := _on_disk(name)) is None:
        _refuse_mistyped(name, None, certain=False)
        folder = snapshot(name, weights=False)
    elif located.kind == "gguf":
        with refusing(name):
            check_start(located.path)
        return located.path
    else:
        folder = located.path
    check_tokenizer(folder, name)
    return folder


def _on_disk(name: str) -> Located | None:
    """The packaged model, folder or file of this name; None if there is none. Raises ModelError for an unusable one."""
    if name in PACKAGED:
        if reason := fault(name):
            raise ModelError(f"{name} {reason}; run: chainrule pull {name}")
        return Located(name, "packaged", folder(name))
    if not name.strip():
        raise ModelError(f"{name!r} is not the name of a model folder or file; give one, or a hub id")
    with suppress(OSError, ValueError, RuntimeError):  # a name too long, a NUL, an unknown user
        path = Path(name).expanduser()
        if path.is_dir():
            return Located(name, "folder", path)
        if path.is_file():
            if not _is_gguf(name):
                raise ModelError(f"{name} is a file, but not a .gguf file; give a model folder, a .gguf file or a hub id")
            return Located(name, "gguf", path)
    return None


def _refuse_mistyped(name: str, cache_dir: Path | None, *, certain: bool) -> None:
    """Raises ModelError for a name that is no hub id, and for a plain one that resembles a model here. certain: it is an id."""
    cached = cached_ids(cache_dir) if is_hub_id(name) else []
    if name in cached:
        return
    similar = [*get_close_matches(name, [*PACKAGED, *cached], cutoff=_SIMILAR), *_neighbours(name)]
    hint = f"did you mean {' or '.join(similar)}" if similar else "check the path"
    if _is_gguf(name) or name.startswith(("/", "~")) or not is_hub_id(name):
        raise ModelError(f"there is no model folder or file {name!r:.200}; {hint}")
    if similar and "/" not in name and not certain:
        raise ModelError(f"there is no model {name!r} here; {hint}? A hub model is named with its owner: owner/{name}")


def _neighbours(name: str) -> list[str]:
    """The model folders and .gguf files with similar names in the folder that the name points to, named in the same way."""
    prefix, slash, last = name.rstrip("/").rpartition("/")
    names: list[str] = []
    with suppress(OSError, ValueError, RuntimeError):
        paths = Path(prefix + slash or ".").expanduser().iterdir()
        names += [path.name for path in paths if _is_gguf(path.name) or (path / "config.json").is_file()]
    return [prefix + slash + each for each in get_close_matches(last, sorted(names), cutoff=_SIMILAR)]


def _is_gguf(name: str) -> bool:
    return name.lower().endswith(".gguf")
