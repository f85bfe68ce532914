"""A decoder that predicts the places of a text in any order: the identity order is an ordinary causal model.

The network runs in permuted time. At step t it is fed with token, place, and the place that comes next:

    token(x_σt) + position(σ_t) + target(σ_{t+1})        behind the start symbol's row, token(s) + target(σ_0)

so the distribution of x_σ0 is read behind the start symbol, that of x_σ1 behind x_σ0, and so on: one forward an order. What
the trunk itself counts as positions are steps. The idea is that of σ-GPT (arXiv 2404.09562).

Shapes: B sequences, L places of a text, T rows, D width of an embedding, V vocabulary, N nodes.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from chainrule._checks import is_whole
from chainrule.errors import InputError, ModelError
from chainrule.models.causal import PretrainedModel, RunConfig
from chainrule.models.transformer import sharing_weights

_SYMBOLS = ("bos_token_id", "eos_token_id", "pad_token_id")


class AnyOrderConfig(PreTrainedConfig):
    """The config of the trunk, and how many places a text may have."""

    model_type = "chainrule_any_order"
    sub_configs = {"trunk": AutoConfig}  # noqa: RUF012  # pyrefly: ignore[bad-override]  (as all of transformers do)

    trunk: Any = None  # a config of transformers, or a dictionary with its model_type
    places: int = 1

    def __post_init__(self, **kwargs: Any) -> None:
        if isinstance(self.trunk, dict):
            self.trunk = AutoConfig.for_model(**self.trunk)
        if not is_whole(self.places, 1):
            raise ModelError(f"places must be a whole number of 1 or more, not {self.places!r}")
        if self.trunk is not None:
            self.tie_word_embeddings = getattr(self.trunk, "tie_word_embeddings", False)
            kwargs = {name: getattr(self.trunk, name, None) for name in _SYMBOLS} | kwargs
        super().__post_init__(**kwargs)


class AnyOrderForCausalLM(PreTrainedModel):
    """Any decoder of transformers that takes embeddings, with places and targets added to those of its tokens."""

    config_class = AnyOrderConfig
    base_model_prefix = "lm"

    def __init__(self, config: AnyOrderConfig) -> None:
        super().__init__(config)
        self.lm = AutoModelForCausalLM.from_config(config.trunk)
        width = self.lm.get_input_embeddings().weight.shape[1]
        self.position = nn.Embedding(config.places, width)
        self.target = nn.Embedding(config.places, width)
        self.post_init()

    @classmethod
    def from_causal(cls, lm: Any, places: int) -> AnyOrderForCausalLM:
        """Around a causal model, whose weights are copied. Places and targets are 0 at first: it is that model still."""
        model = cls(AnyOrderConfig(trunk=deepcopy(lm.config), places=places)).to(lm.dtype)
        model.lm.load_state_dict(lm.state_dict())
        nn.init.zeros_(model.position.weight)
        nn.init.zeros_(model.target.weight)
        return model.to(lm.device).train(lm.training)

    def get_input_embeddings(self) -> nn.Module:
        return self.lm.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        return self.lm.get_output_embeddings()

    def placed(self, token_N: Tensor, position_N: Tensor, target_N: Tensor) -> Tensor:
        """What the trunk is fed with, N × D: a token, the place it stands in, the place asked about (−1: none)."""
        embedding_ND = self.lm.get_input_embeddings()(token_N)
        for table, place_N in ((self.position, position_N), (self.target, target_N)):
            embedding_ND = embedding_ND + table(place_N.clamp_min(0)) * (place_N >= 0)[..., None]
        return embedding_ND

    def forward(
        self, input_ids: Tensor, order: Tensor | None = None, labels: Tensor | None = None, **options: Any
    ) -> CausalLMOutput:
        """Logits in the order of prediction, B × L × V: those at step t are of the token in place order[t].

        input_ids: B × (1 + L), the start symbol and then the text, place by place. The last token of an order conditions
            nothing, and is not fed.
        order: B × L, a permutation of 0 … L − 1 for each sequence (default: left to right).
        labels: as input_ids; the loss is the mean negative log probability of those that are not −100, the start's left out.
        """
        batch, length = input_ids.shape[0], input_ids.shape[1] - 1
        order = self._checked(self._left_to_right(batch, length) if order is None else order, batch, length)
        token_BT = torch.cat([input_ids[:, :1], input_ids[:, 1:].gather(1, order)[:, :-1]], 1)
        position_BT = nn.functional.pad(order[:, :-1], (1, 0), value=-1)
        logits = self.lm(inputs_embeds=self.placed(token_BT, position_BT, order), use_cache=False, **options).logits
        loss = None
        if labels is not None:
            loss = nn.functional.cross_entropy(logits.flatten(0, 1).float(), labels[:, 1:].gather(1, order).flatten())
        return CausalLMOutput(loss=loss, logits=logits)

    def _left_to_right(self, batch: int, length: int) -> Tensor:
        return torch.arange(length, dtype=torch.int64, device=self.device).expand(batch, -1)

    def _checked(self, order: Tensor, batch: int, length: int) -> Tensor:
        """The order on the model's device. Raises InputError for one that is no permutation, or that is too long."""
        if not 1 <= length <= self.config.places:
            raise InputError(f"a text of {length} tokens does not fit into the {self.config.places} places of the model")
        order = order.to(self.device)
        wanted = self._left_to_right(batch, length)
        if order.shape != wanted.shape or not torch.equal(order.sort(-1).values, wanted):
            raise InputError(
                f"order must hold a permutation of the places 0 … {length - 1} for each of {batch} sequences, not numbers of "
                f"shape {tuple(order.shape)} such as {order.flatten()[:8].tolist()}"
            )
        return order


class AnyOrderModel(PretrainedModel):
    """The inner causal model, run as any other, fed with placed tokens."""

    def __init__(self, own: AnyOrderForCausalLM, name: str, run_config: RunConfig | None = None) -> None:
        super().__init__(own.lm, name, run_config)
        self.own, self.places = own, own.config.places

    def _constructor_arguments(self) -> tuple[Any, ...]:
        return self.own, self.name, self.run_config

    def trial(self, dtype: torch.dtype = torch.float32) -> PretrainedModel:  # pyrefly: ignore[bad-override]  (of its trunk)
        return PretrainedModel(sharing_weights(self.lm, self.name, dtype), self.name)

    @property
    def max_tokens(self) -> int:
        """The longest text, in tokens, behind a start symbol: the last token of an order is never fed."""
        return self.places if self.max_rows is None else min(self.places, self.max_rows)

    def placed(self, token_N: Tensor, position_N: Tensor, target_N: Tensor) -> Tensor:
        """What the trunk is fed with, N × D: tokens, their places (−1 for the start symbol), the places asked about."""
        return self.own.placed(*(each.to(self.device) for each in (token_N, position_N, target_N)))


AutoConfig.register(AnyOrderConfig.model_type, AnyOrderConfig)
AutoModelForCausalLM.register(AnyOrderConfig, AnyOrderForCausalLM)
