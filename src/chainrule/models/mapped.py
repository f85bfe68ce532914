"""Weights that several processes map from one file, in a folder of their caller, so that each has no copy of its own.

    KEY.safetensors   the weights as the first process has loaded them. KEY: a digest of the files they come from and the dtype
    KEY.lock          is locked while one process loads the network and writes that file; the others wait for it
    KEY.own           says that the network maps its weights from its checkpoint, so that no process waits for another

The file never changes under its name: it is written under another one, and replaced if it is damaged. The mapping is private,
so a process that writes to a weight changes a copy of that page. On Linux the folder may be removed while processes map it.
A network that maps its weights from its checkpoint already (if the dtypes are equal) is left as it is.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from chainrule.models.transformer import LARGE
from chainrule.scratch import ScratchFile

Build = Callable[[dict[str, Tensor] | None], Any]  # makes the network, of the tensors of its checkpoint (None) or of these

_FORMAT = 1  # of the file; a higher number ignores those of earlier versions
_KEY = "chainrule"  # in the metadata of the file
_OWN = ".own"
_MAPS = Path("/proc/self/maps")  # Linux
_ALIGNED = 64  # bytes, as torch aligns memory; another alignment might select other instructions
_PAGE = 4096
_FEW = 0.01  # of all bytes: a network with fewer private ones counts as mapped
_TYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip

_log = logging.getLogger("chainrule")


def mapped(build: Build, folder: Path, files: Sequence[Path], dtype: str) -> Any:
    """The network that `build` makes, on the CPU, with its weights mapped from a file in the folder, if that is possible.

    files: those that decide the weights. If the file cannot be written or mapped, the weights are private, and a message is
    logged. Raises what `build` raises.
    """
    key = _key(files, dtype) if _MAPS.exists() else None
    if key is None:
        _log.warning(
            "the weights are not shared with other processes: this system has no %s, or a weight file cannot be read", _MAPS
        )
        return build(None)
    file = folder / f"{key}.safetensors"
    if file.with_suffix(_OWN).exists():
        return build(None)
    if _read(file) is None:
        with _turn(file.with_suffix(".lock")):
            if file.with_suffix(_OWN).exists():
                return build(None)
            if _read(file) is None:
                lm = build(None)
                if key == _key(files, dtype):  # no file was changed while it was read
                    _share(lm, file)
                return lm
    return _rebuilt(build, file)


def _key(files: Sequence[Path], dtype: str) -> str | None:
    """A digest of the files' places and states, the dtype and the versions; None if a file cannot be read."""
    try:
        states = sorted((os.path.realpath(file), *_state(os.stat(file))) for file in files)
    except OSError:
        return None
    versions = {package: version(package) for package in ("chainrule", "torch", "transformers")}
    about = {"format": _FORMAT, "dtype": dtype, "files": states, "versions": versions}
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32] if states else None


def _state(info: os.stat_result) -> tuple[int, ...]:
    return info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_dev, info.st_ino


@contextmanager
def _turn(lock: Path) -> Iterator[None]:
    """Wait until no other process is in this block. Without locks, several may be: each then writes a whole file."""
    import fcntl  # Windows, where nothing is mapped, does not have it

    opened = None
    with suppress(OSError):
        opened = lock.open("ab")
        fcntl.flock(opened, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if opened is not None:
            with suppress(OSError):
                fcntl.flock(opened, fcntl.LOCK_UN)  # closing is not enough if a child process has inherited it
            opened.close()


def _read(file: Path) -> dict[str, Tensor] | None:
    """The tensors of a file, mapped; None if it is missing, damaged or not one of this module under this key."""
    with suppress(OSError, SafetensorError):
        if not stat.S_ISREG(file.lstat().st_mode):  # a pipe would block
            return None
        opened = safe_open(file, "pt", backend="mmap")
        if (opened.metadata() or {}).get(_KEY) == file.stem:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  (not a dictionary)
    return None


def _share(lm: Any, file: Path) -> None:
    """Write the weights of a network to a file and map them from there, unless they are mapped already."""
    weights = _weights(lm)
    if not weights or getattr(lm, "hf_quantizer", None) is not None or _is_mapped(weights):
        with suppress(OSError):
            file.with_suffix(_OWN).touch()
        return
    try:
        _write({name: tensors[0] for name, tensors in weights.items()}, file)
    except OSError as error:
        _log.warning("the weights are not shared with other processes: %s cannot be written: %s", file, error)
        return
    _attach(lm, file)


def _rebuilt(build: Build, file: Path) -> Any:
    """The network made of the tensors of the file, which are not copied. If that fails, they replace those of its own."""
    try:
        lm = build(_read(file))
        if _attach(lm, file):
            return lm
    except Exception as error:  # the names of weights in a network need not be names of its checkpoint
        _log.debug("%s is not the checkpoint of a network: %s", file, error)
    lm = build(None)
    if not _attach(lm, file):
        _log.warning("the weights are not shared with other processes: %s does not fit the network", file)
    return lm


def _attach(lm: Any, file: Path) -> bool:
    """Replace the weights by those of the file; False, without a change, if their names, shapes or dtypes are others.

    They are read again, since building a network may write to the tensors it is made of.
    """
    weights, kept = _weights(lm), _read(file)
    if kept is None or _form(kept) != _form({name: tensors[0] for name, tensors in weights.items()}):
        return False
    for name, tensors in weights.items():
        memory = kept[name] if kept[name].data_ptr() % _ALIGNED == 0 else kept[name].clone()
        for tensor in tensors:
            tensor.data = memory
    return True


def _form(tensors: dict[str, Tensor]) -> dict[str, tuple[torch.dtype, torch.Size]]:
    return {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}


def _weights(lm: Any) -> dict[str, list[Tensor]]:
    """The parameters and buffers that a file can hold, by their first name; tied ones, which share their memory, together.

    Small buffers that are in no checkpoint are left out: they follow from the config, and networks write to them.
    """
    stored = lm.state_dict().keys()
    buffers = ((name, x) for name, x in lm.named_buffers() if name in stored or x.numel() > LARGE)
    by_memory: dict[int, list[tuple[str, Tensor]]] = {}
    for name, tensor in (*lm.named_parameters(), *buffers):
        by_memory.setdefault(tensor.data_ptr() or id(tensor), []).append((name, tensor))
    weights = {named[0][0]: [tensor for _, tensor in named] for named in by_memory.values()}
    return {name: tensors for name, tensors in weights.items() if _is_plain(tensors)}


def _is_plain(tied: list[Tensor]) -> bool:
    """Whether the tensors are one contiguous block of numbers. Different views of one memory stay as they are."""
    return tied[0].dtype in _TYPES and all(x.is_contiguous() and _form({"": x}) == _form({"": tied[0]}) for x in tied)


def _is_mapped(weights: dict[str, list[Tensor]]) -> bool:
    """Whether nearly all of the weights lie in pages of files."""
    spans = []
    for line in _MAPS.read_text("utf-8", "replace").splitlines():  # start-end mode offset device inode name
        span, _, _, _, inode, *_ = line.split()
        if inode != "0":
            spans.append([int(end, 16) for end in span.split("-")])
    of_files = private = 0
    for tensor, *_ in weights.values():
        if any(start <= tensor.data_ptr() < end for start, end in spans):
            of_files += tensor.nbytes
        else:
            private += tensor.nbytes
    return private <= _FEW * (of_files + private)


def _write(tensors: dict[str, Tensor], file: Path) -> None:
    """Write a safetensors file whose tensors are aligned in memory when it is mapped. Raises OSError.

    The format has no gaps between tensors, so those of odd sizes come last.
    """
    ordered = sorted(tensors.items(), key=lambda item: (item[1].nbytes % _ALIGNED != 0, -item[1].itemsize))
    header: dict[str, Any] = {"__metadata__": {_KEY: file.stem}}
    end = 0
    for name, x in ordered:
        header[name] = {"dtype": _TYPES[x.dtype], "shape": list(x.shape), "data_offsets": [end, end := end + x.nbytes]}
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % _PAGE)
    scratch = ScratchFile(file)
    try:
        with scratch.path.open("wb") as opened:
            opened.write(struct.pack("<Q", len(text)) + text)
            for _, x in ordered:
                opened.write(x.detach().reshape(-1).view(torch.uint8).numpy().data)
        scratch.commit()
    finally:
        scratch.discard()
