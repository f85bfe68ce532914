"""Masked language models of transformers (BERT and its like): Pr(x_i | the tokens that are not masked).

The network is transformers' own code, unchanged. Its trunk runs on whole texts of equal length, without padding. Its head
runs only at the positions to predict. The tokenizer defines the mask symbol and the frame of a text
(`chainrule.text.mask_template`).
"""

from __future__ import annotations

from typing import Any

from chainrule.models.transformer import Network


def is_masked(config: Any, architecture: str | None = None) -> bool:
    """Whether a config is that of a masked language model, by its architectures; without any, if its kind has no causal model.

    A discriminator (ELECTRA's) is also named …ForPreTraining. It has no head for tokens, so loading it raises an error.
    """
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    kind, names = config.model_type, [architecture] if architecture else config.architectures or []
    if kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES or config.is_encoder_decoder or getattr(config, "is_decoder", False):
        return False
    named = any(name.endswith(("ForMaskedLM", "ForPreTraining")) for name in names)
    return named or (not names and kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


class MaskedModel(Network):
    """A masked language model: it sees both sides of a mask symbol and predicts the token at its position."""
