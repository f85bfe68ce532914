"""The model of most tests, and of the damaged checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from text_zoo import byte_level
from transformers import LlamaConfig, LlamaForCausalLM


def tiny_llama(**options: Any) -> LlamaForCausalLM:
    """A random Llama for the byte-level tokenizer, with a context of 64."""
    tokenizer = byte_level()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokenizer.size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        bos_token_id=tokenizer.bos_id,
        eos_token_id=tokenizer.eos_id,
        initializer_range=0.3,
        **options,
    )
    return LlamaForCausalLM(config)


def save_tiny_llama(folder: Path) -> None:
    """Write a random Llama and its tokenizer to a folder."""
    tiny_llama().save_pretrained(folder)
    byte_level().hf.save_pretrained(folder)
