"""Loading of language models by name."""

from __future__ import annotations

from pathlib import Path

from chainrule.engine.predictors.registry import network_class, wrap
from chainrule.language import LanguageModel
from chainrule.models.damage import refusing
from chainrule.models.load import load_model
from chainrule.text.tokenizer import Tokenizer
from chainrule.text.types import StartPolicy


def load(
    name: str | Path | None = None,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    start: StartPolicy | int = "auto",
    threads: int | None = None,
) -> LanguageModel:
    """Load a language model: a packaged one ("smollm2-135m", the default), a folder, a .gguf file, or a hub id.

    `dtype` is float32, bfloat16, float16, float64, or "auto": bfloat16 if the device has arithmetic for it, else float32.
    `start` is "auto", "bos", "eos", "given" or a token id. `threads` is the number of threads (default: the cores that this
    process may use). Only safetensors and GGUF files are read, and no code from a checkpoint is run. On load, a probe finds
    the fastest strategy that agrees with the network's own forward. The model may be causal, masked (BERT …), two-stream
    (XLNet) or any-order. Raises ModelError with the remedy.
    """
    model, located = load_model(name, network_class, wrap, dtype=dtype, device=device, threads=threads)
    if located.kind == "gguf" and located.conversion is None:
        tokenizer = Tokenizer.load(str(located.path.parent), gguf_file=located.path.name)
    else:
        tokenizer = Tokenizer.load(str(located.conversion or located.path))
    with refusing(located.name):  # the probe runs the network for the first time
        return LanguageModel(model, tokenizer, start=start)
