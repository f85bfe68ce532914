"""Reading and checking of a checkpoint folder before transformers uses it: safetensors files and a config that fits them.

transformers receives the config and the tensors, but no folder. It therefore cannot load anything else: no pickle named in
an index, no adapter, no code, and no other file named in the config.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path, PureWindowsPath
from typing import Any

from safetensors import SafetensorError, safe_open

from chainrule.models.damage import AGAIN, Extent, check_file, check_numbers, check_pointer, refusing
from chainrule.models.safetensors_header import fault

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_OWN_ATTENTION = ("attn_implementation", "_attn_implementation")
_OWN_EXPERTS = ("experts_implementation", "_experts_implementation")
_EXPERTS = (None, "eager", "batched_mm", "grouped_mm")
_TEXTS = (".json", ".model", ".txt", ".tiktoken", ".spm", ".jinja")  # the files of a tokenizer
_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json")
_UNREAD = {(_SETTINGS[0], key) for key in ("tokenizer_file", "special_tokens_map_file")}  # ignored on loading


@dataclass(frozen=True)
class Checkpoint:
    """A folder that passed the checks: its config, and its tensors by name. A tensor is read when it is used."""

    label: str  # its name in messages
    folder: Path
    config: dict[str, Any]
    tensors: dict[str, Any]
    extent: Extent


def read(folder: Path, label: str) -> Checkpoint:
    """Check a folder and open its tensors. Raises ModelError, with a remedy, if it cannot or must not be read."""
    with refusing(label):
        config, weights = _inspect(folder)
        tensors = open_tensors(weights)
        extent = Extent(len(tensors), sum(prod(each.get_shape()) for each in tensors.values()))
        check_numbers(config, extent)
        return Checkpoint(label, folder, config, tensors, extent)


def check(folder: Path, label: str) -> None:
    """The checks of `read` that open no tensors and do not need torch. Raises ModelError."""
    with refusing(label):
        _inspect(folder)


def check_tokenizer(folder: Path, label: str) -> None:
    """The checks of `read` that concern the tokenizer of a folder. Raises ModelError."""
    with refusing(label):
        _check_tokenizer(folder, _names(folder))


def _inspect(folder: Path) -> tuple[dict[str, Any], list[Path]]:
    """The config and the weight files of a folder, checked."""
    names = _names(folder)
    config = _config(folder)
    _check_config(config)
    weights = _weights(folder, names)
    for file in weights:
        check_file(file)
        if reason := fault(file):
            raise ValueError(f"{file.name} is damaged or truncated ({reason}); {AGAIN}")
    _check_tokenizer(folder, names)
    return config, weights


def weight_names(folder: Path) -> list[str]:
    """The names of the weight files, whether they exist or not. Raises ValueError unless all are .safetensors in the folder."""
    weights = _config(folder).get("transformers_weights")  # replaces the usual names
    if weights is None:
        weights = next((name for name in (_WHOLE, _INDEX) if os.path.lexists(folder / name)), _WHOLE)
    return _shards(folder / weights) if _plain(weights).endswith(".json") else [_safetensors(weights)]


def _weights(folder: Path, names: list[str]) -> list[Path]:
    files = weight_names(folder)
    missing = [name for name in files if name not in names]
    if missing == [_WHOLE]:
        _refuse_weightless(names)
    if missing:
        raise ValueError(f"{len(missing)} of its {len(files)} weight files are missing, such as {missing[0]!r}; {AGAIN}")
    return [folder / name for name in files]


def _names(folder: Path) -> list[str]:
    """The names in the folder. Raises ValueError for a pipe or device: a tokenizer may open any file, and would block."""
    entries = [*os.scandir(folder), *_entries(folder / "additional_chat_templates")]
    for entry in entries:
        try:
            mode = entry.stat().st_mode
        except OSError:  # a dangling or circular link
            continue
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ValueError(f"{entry.name} is a device or pipe, not a file")
    return [entry.name for entry in entries]


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    if folder.is_dir():
        yield from os.scandir(folder)


def _config(folder: Path) -> dict[str, Any]:
    names = os.listdir(folder)
    _refuse_adapter(folder, names)
    if "config.json" not in names:
        raise ValueError("it has no config.json, so it is not a transformers model folder")
    return json_object(folder / "config.json")


def _refuse_adapter(folder: Path, names: list[str]) -> None:
    """Refuse adapters: whether one is applied to weights in the same folder would depend on the installed packages."""
    adapters = [name for name in names if name == "adapter_config.json" or name.startswith("adapter_model.")]
    if not adapters:
        return
    of = ""
    with suppress(ValueError, OSError, KeyError):  # an unreadable config still means an adapter
        of = f" of the base model {json_object(folder / 'adapter_config.json')['base_model_name_or_path']!r:.80}"
    raise ValueError(
        f"it contains an adapter{of} ({', '.join(sorted(adapters))}), but chainrule scores whole models; merge it into its "
        "base model (in peft: merge_and_unload(), then save_pretrained()), or load that model with adapter= and this folder"
    )


def _refuse_weightless(names: list[str]) -> None:
    if parts := [name for name in names if name.endswith(".safetensors")]:
        raise ValueError(f"it contains {parts[0]}, but neither {_WHOLE} nor {_INDEX}; {AGAIN}")
    if pickles := [name for name in names if name.endswith(_PICKLES)]:
        raise ValueError(
            f"its weights are pickled ({pickles[0]}), and loading a pickle can run code; "
            "convert them to safetensors first (save_pretrained does that)"
        )
    raise ValueError(f"it has no weights (*.safetensors); {AGAIN}")


def json_object(file: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises ValueError if there is none."""
    check_file(file)
    try:
        value = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file.name} is not valid JSON ({error}); {AGAIN}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{file.name} is not a JSON object but a {type(value).__name__}; {AGAIN}")
    return value


def _plain(name: Any) -> str:
    """The name, if it is a plain file name on every system. Raises ValueError otherwise."""
    if not isinstance(name, str) or PureWindowsPath(name).name != name:
        raise ValueError(f"it names {name!r:.80} as a file of the checkpoint, which is not a plain file name")
    return name


def _safetensors(name: Any) -> str:
    if not _plain(name).endswith(".safetensors"):
        raise ValueError(
            f"it names {name!r:.80} as weights, but only .safetensors files are read; convert it (save_pretrained does that)"
        )
    return name


def _shards(index: Path) -> list[str]:
    """The files named in an index."""
    weight_map = json_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(f"{index.name} has no weight_map with the names of the weight files; {AGAIN}")
    return sorted({_safetensors(name) for name in weight_map.values()})


def open_tensors(files: list[Path]) -> dict[str, Any]:
    """The tensors of files by name, as slices that are read when they are used. Raises ValueError."""
    tensors: dict[str, Any] = {}
    for file in files:
        try:
            # as in transformers: on Windows, a mapped file counts as memory
            opened = safe_open(file, "pt", backend="pread" if os.name == "nt" else "mmap")
            tensors |= {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118  (not a dictionary)
        except SafetensorError as error:
            raise ValueError(f"{file.name} is damaged or truncated ({error}); {AGAIN}") from error
    return tensors


def _check_config(config: dict[str, Any]) -> None:
    """Refuse keys, at any depth, that make transformers read other files or patch its own classes."""
    configs: list[Any] = [config]
    while configs:
        node = configs.pop()
        configs.extend(node if isinstance(node, list) else node.values() if isinstance(node, dict) else ())
        if not isinstance(node, dict):
            continue
        for key in ("configuration_files", "fusion_config"):  # another config; classes to patch process-wide
            if node.get(key):
                raise ValueError(f"its config.json sets {key}, which chainrule does not support; remove that key")
        for key in _OWN_ATTENTION:  # "owner/name" is code from the hub
            if "/" in str(node.get(key)):
                raise ValueError(
                    f"its config.json sets {key} to {node[key]!r:.80}, which is code from the hub; remove that key"
                )
        for key in _OWN_EXPERTS:  # all other values are fetched from the hub
            if node.get(key) not in _EXPERTS:
                raise ValueError(
                    f"its config.json sets {key} to {node[key]!r:.80}, which may be code from the hub; remove that key"
                )


def _check_tokenizer(folder: Path, names: list[str]) -> None:
    """Refuse git-lfs pointers in place of tokenizer files, and tokenizer settings that name files elsewhere."""
    for name in names:
        if name.endswith(_TEXTS) and (folder / name).is_file():
            check_pointer(folder / name)
    for name in _SETTINGS:
        if name in names:
            _check_settings(folder, name)


def _check_settings(folder: Path, file: str) -> None:
    """Refuse settings that replace the tokenizer files of the folder with other files."""
    values: list[tuple[str, Any]] = list(json_object(folder / file).items())
    while values:
        key, value = values.pop()
        if isinstance(value, dict):
            values.extend(value.items())
        elif isinstance(value, list):
            values.extend((key, inner) for inner in value)
        elif not isinstance(value, str) or (file, key) in _UNREAD:
            continue
        elif key == "fast_tokenizer_files":
            _plain(value)
        elif any(part in key for part in ("file", "vocab", "merges", "path", "dic")) and _lies_elsewhere(value, folder):
            raise ValueError(f"its {file} names {value!r:.80} as {key}, a file outside the folder; remove that key")


def _lies_elsewhere(name: str, folder: Path) -> bool:
    """Whether a name, relative to the working directory, is that of an existing file that is not directly in the folder."""
    try:
        path = Path(name).resolve()
        return path.exists() and not path.is_dir() and path.parent != folder.resolve()
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, a circular link
        return False
