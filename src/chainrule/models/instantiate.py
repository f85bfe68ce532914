"""Creation of networks from the config and tensors of a checkpoint, or from a .gguf file. No code of a checkpoint runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from chainrule.errors import ModelError, require
from chainrule.models.bounds import bounded
from chainrule.models.checkpoint import Checkpoint
from chainrule.models.damage import check_numbers, refusing
from chainrule.models.gguf_header import read_header

NetworkClass = Callable[[Any], type | None]  # the class of transformers for a config; None: it has none


def read_gguf(file: Path, dtype: str) -> Any:
    """The network of a .gguf file, with weights widened to `dtype`, as an ordinary model that can be saved.

    Raises ModelError.
    """
    require("gguf", f"reading {file}", ModelError)
    from transformers import AutoModelForCausalLM, GgufConfig

    with refusing(str(file)):
        metadata, extent = read_header(file)
        _check_gguf(metadata)
        check_numbers({key: value for key, value in metadata.items() if not key.startswith("general.")}, extent)
        options: dict[str, Any] = {"gguf_file": str(file.absolute()), "quantization_config": GgufConfig(dequantize=True)}
        bars = nullcontext() if sys.stderr.isatty() else redirect_stderr(StringIO())  # progress bars only on a terminal
        # The source is this folder, which has no adapter, so that transformers does not read one next to the .gguf file.
        with bars, bounded(extent):
            lm = _from_pretrained(AutoModelForCausalLM, str(file), str(Path(__file__).parent), dtype, **options)
    if hasattr(lm.config, "quantization_config"):
        del lm.config.quantization_config  # the weights are no longer quantized
    lm.hf_quantizer = None
    lm.config._name_or_path = lm.name_or_path = file.stem
    return lm


def _check_gguf(metadata: dict[str, Any]) -> None:
    if metadata.get("general.type") == "adapter":
        raise ValueError(
            "it is an adapter, but chainrule scores whole models; merge it into its base model (llama-export-lora)"
        )
    if (parts := metadata.get("split.count", 1)) != 1:
        raise ValueError(f"it is one of {parts} parts; merge them into one file (llama-gguf-split --merge)")


def build(checkpoint: Checkpoint, dtype: str, network_class: NetworkClass) -> Any:
    """The network that the config describes, with the tensors as its weights."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(str(checkpoint.folder), trust_remote_code=False, local_files_only=True)
    _refuse_empty(config)
    kind, config = _class_of(config, network_class)
    # The source is None: without a folder, transformers cannot load further files.
    options: dict[str, Any] = {"config": config, "state_dict": checkpoint.tensors}
    if dtype == "float64":  # grouped products of experts do not support it
        options["experts_implementation"] = "eager"
    with bounded(checkpoint.extent, packed="quantization_config" in checkpoint.config):
        lm = _from_pretrained(kind, checkpoint.label, None, dtype, **options)
    lm.config._name_or_path = lm.name_or_path = str(checkpoint.folder)
    return lm


def _class_of(config: Any, network_class: NetworkClass) -> tuple[Any, Any]:
    """The class of the network, and the config of its text. Raises ValueError if there is no such class."""
    kind: Any = network_class(config)
    if kind is None:
        raise ValueError(
            "it needs code from the checkpoint, but chainrule never runs such code"
            if getattr(config, "auto_map", None)
            else "it is not a causal language model (transformers has no next-token head for it)"
        )
    text = config.sub_configs.get("text_config")
    if text is not None and kind.config_class == text:  # a model of images and texts; as in transformers' AutoModel
        whole, config = config, config.get_text_config()
        if (packed := getattr(whole, "quantization_config", None)) is not None:
            config.quantization_config = packed
    return kind, config


def _refuse_empty(config: Any) -> None:
    """Raises ValueError for sizes below 1. Without layers, a network would be built that ignores the weights of layers."""
    config = config.get_text_config(decoder=True)
    for name in ("num_hidden_layers", "hidden_size", "vocab_size"):
        if isinstance(value := getattr(config, name, 1), int) and value < 1:
            raise ValueError(f"its config says {name} = {value}; download the checkpoint again")


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
            f"{label} is not a complete language model: {type(lm).__name__} needs weights that it does not have "
            f"({len(missing)} missing, such as {missing[0]}), and random ones would give meaningless numbers"
        )
    return lm
