"""Loading of language models: by name, or from a model of transformers in memory."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.engine.predictors.registry import network_class, wrap
from chainrule.errors import ModelError, short
from chainrule.language import LanguageModel
from chainrule.models.damage import refusing
from chainrule.models.dtype import name_of
from chainrule.models.in_memory import take
from chainrule.models.load import load_model
from chainrule.models.locate import Located, locate_tokenizer
from chainrule.text.tokenizer import Tokenizer
from chainrule.text.types import StartPolicy

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load(
    model: str | Path | PreTrainedModel | None = None,
    tokenizer: str | Path | PreTrainedTokenizerBase | Tokenizer | None = None,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    start: StartPolicy | int = "auto",
    threads: int | None = None,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    adapter: str | Path | None = None,
) -> LanguageModel:
    """Load a language model by name, or take one of transformers that is in memory, which is not changed.

    model: a packaged model ("smollm2-135m", the default), a folder, a .gguf file, a hub id, or a model of transformers, also
        one that torch.compile returned. It may be causal, masked (BERT …), two-stream (XLNet) or any-order.
    tokenizer: a tokenizer of transformers, or the name of a folder, .gguf file or hub model that has one. Default: that of
        the model's folder or file; a model in memory has none and scores token ids only.
    device: "cpu" (the default), "cuda", "cuda:1" …; a model in memory stays where it is.
    dtype: float32 (the default), bfloat16, float16, float64, or "auto": bfloat16 if the device has arithmetic for it, else
        float32. A model in memory keeps its own.
    start: what the first token is conditioned on: "auto", "bos", "eos", "given" or a token id.
    threads: the number of threads of the process (default: the cores that it may use).
    revision: of a hub model: a branch, a tag or a commit (default: "main").
    cache_dir: the folder in which a hub model is kept (default: the hub's cache).
    adapter: the folder of a LoRA adapter of peft in safetensors, which is merged into the weights, in float32.

    Only safetensors and GGUF files are read, and no code from a checkpoint is run. On load, a probe finds the fastest
    strategy that agrees with the network's own forward. Raises ModelError with the remedy.
    """
    return _load(
        model, tokenizer, start, None, device=device, dtype=dtype, threads=threads, revision=revision, cache_dir=cache_dir,
        adapter=adapter,
    )  # fmt: skip


def load_shared(
    folder: str | Path, model: Any = None, tokenizer: Any = None, *, start: StartPolicy | int = "auto", **options: Any
) -> LanguageModel:
    """`load` in one of several processes, whose weights are one copy in memory, of a file in `folder`.

    All of them give the same existing folder, which the caller of the processes may remove once they have loaded the model.
    The numbers are those of `load`. If the weights cannot be shared, each process has its own; see `chainrule.models.mapped`.
    """
    return _load(model, tokenizer, start, Path(folder), **options)


def _load(
    model: Any,
    tokenizer: Any,
    start: StartPolicy | int,
    shared: Path | None,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    threads: int | None = None,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    adapter: str | Path | None = None,
) -> LanguageModel:
    if model is not None and not isinstance(model, str | Path):
        if revision is not None or cache_dir is not None:
            raise ModelError("revision= and cache_dir= are for models of the hub, but the model is in memory; omit them")
        if adapter is not None:
            raise ModelError("adapter= is for models of files, but the model is in memory; merge the adapter with peft first")
        loaded: Any = take(model, wrap, dtype=dtype, device=device, threads=threads)
        found = None if tokenizer is None else _tokenizer(tokenizer)
    else:
        given = None if tokenizer is None else _tokenizer(tokenizer)
        loaded, located = load_model(
            model,
            network_class,
            wrap,
            dtype="float32" if dtype is None else name_of(dtype),
            device="cpu" if device is None else str(device),
            threads=threads,
            revision=revision,
            cache_dir=cache_dir,
            adapter=adapter,
            shared=shared,
        )
        found = given or _own_tokenizer(located)
    with refusing(loaded.name):  # the probe runs the network for the first time
        return LanguageModel(loaded, found, start=start)


def _own_tokenizer(located: Located) -> Tokenizer | None:
    if located.kind == "gguf" and located.conversion is None:
        return Tokenizer.load(str(located.path.parent), gguf_file=located.path.name)
    return Tokenizer.load(str(located.conversion or located.path))


def _tokenizer(given: Any) -> Tokenizer:
    """The tokenizer that was passed in, as a copy that later changes of it do not affect, or the one of this name."""
    from transformers import PreTrainedTokenizerBase

    if isinstance(given, Tokenizer):
        return given
    if isinstance(given, PreTrainedTokenizerBase):
        return Tokenizer(deepcopy(given))
    if not isinstance(given, str | Path):
        inner = getattr(given, "tokenizer", None)
        remedy = "pass its .tokenizer" if inner is not None else "pass one of transformers, or the name of its folder"
        raise ModelError(f"tokenizer={short(given)} is a {type(given).__name__}, not a tokenizer of transformers; {remedy}")
    path = locate_tokenizer(given)
    gguf = path.is_file()
    found = Tokenizer.load(str(path.parent if gguf else path), gguf_file=path.name if gguf else None)
    if found is None:
        raise ModelError(f"there is no tokenizer in {str(given)!r}")
    return found
