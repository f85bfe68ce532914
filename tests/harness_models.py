"""Tiny models in folders, for the harness: five families of networks and tokenizers, with and without start and end symbols."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as tf
from text_zoo import byte_level, byte_level_backend, byte_level_template, llama, unigram, wrap
from tokenizers import processors

from chainrule.text import Tokenizer

CONTEXT = 96
TEMPLATE = (
    "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


def with_start() -> Tokenizer:
    """SentencePiece that puts <s> before every text, as Llama's."""
    hf = copy.deepcopy(llama().hf)
    hf.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", hf.bos_token_id)]
    )
    return Tokenizer(hf)


def end_only() -> Tokenizer:
    """Byte-level, with one symbol between texts and none before, as GPT-NeoX's and Qwen's."""
    return wrap(byte_level_backend(("<|endoftext|>",)), eos_token="<|endoftext|>")


def unigram_with_end() -> Tokenizer:
    """SentencePiece Unigram with an end symbol and no start symbol."""
    hf = copy.deepcopy(unigram().hf)
    hf.add_special_tokens({"eos_token": "</s>"})
    return Tokenizer(hf)


def _sizes(**options: Any) -> dict[str, Any]:
    return {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4} | options


FAMILIES: dict[str, tuple[Callable[[], Tokenizer], Callable[..., Any]]] = {
    "llama, byte level": (
        byte_level,
        lambda **k: tf.LlamaConfig(**_sizes(num_key_value_heads=2), max_position_embeddings=CONTEXT, **k),
    ),
    "mistral, SentencePiece, <s>": (
        with_start,
        lambda **k: tf.MistralConfig(**_sizes(num_key_value_heads=2), max_position_embeddings=CONTEXT, sliding_window=7, **k),
    ),
    "qwen3, byte level, <s> and </s>": (
        byte_level_template,
        lambda **k: tf.Qwen3Config(**_sizes(num_key_value_heads=2, head_dim=8), max_position_embeddings=CONTEXT, **k),
    ),
    "gpt2, byte level, no start": (
        end_only,
        lambda **k: tf.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=CONTEXT, **k),
    ),
    "gpt_neox, Unigram, no start": (
        unigram_with_end,
        lambda **k: tf.GPTNeoXConfig(**_sizes(), max_position_embeddings=CONTEXT, **k),
    ),
}


def write(family: str, folder: Path) -> Path:
    """The model and the tokenizer of a family, in a folder; with a chat template."""
    make, config = FAMILIES[family]
    tokenizer = make()
    torch.manual_seed(0)
    symbols = {"bos_token_id": tokenizer.bos_id, "eos_token_id": tokenizer.eos_id, "pad_token_id": None}
    network = tf.AutoModelForCausalLM.from_config(config(vocab_size=len(tokenizer.hf), **symbols)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    network.save_pretrained(folder)
    hf = copy.deepcopy(tokenizer.hf)
    hf.chat_template = TEMPLATE
    hf.save_pretrained(folder)
    return folder
