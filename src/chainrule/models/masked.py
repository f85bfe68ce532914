"""Masked language models of transformers (BERT and its like): Pr(x_i | the places that are not masked).

The model is transformers' own code, unchanged. Its trunk runs on whole texts of one length, without padding; its head is
read at the places that are asked about, and nowhere else. Which symbols mask and frame a text, the tokenizer says
(`chainrule.text.mask_template`).
"""

from __future__ import annotations

from typing import Any

from chainrule.models.transformer import Network


def is_masked(config: Any, architecture: str | None = None) -> bool:
    """Whether a config is that of a masked language model: its architecture says so, or transformers knows no other use of it.

    A discriminator (ELECTRA's) says …ForPreTraining too; it lacks the head, which is found out as it is read.
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
    """A masked language model: sees both sides of a place, and predicts what stands behind the mask symbol there."""
