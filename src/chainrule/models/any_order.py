"""A decoder that predicts the tokens of a text in any order. With the identity order it is an ordinary causal model.

The network runs in permuted time. The input of step t is a token, its position, and the position of the next token:

    token(x_σt) + position(σ_t) + target(σ_{t+1})        after the row of the start symbol, token(s) + target(σ_0)

The distribution of x_σ0 is read at the start symbol, that of x_σ1 at x_σ0, and so on, so one forward gives all factors of an
order. The positions of the trunk itself are the steps. The idea is that of σ-GPT (arXiv 2404.09562).

Shapes: B sequences, L positions of a text, T rows, D width of an embedding, V vocabulary, N nodes.
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
from chainrule.ops.transfer import together

_SYMBOLS = ("bos_token_id", "eos_token_id", "pad_token_id")


class AnyOrderConfig(PreTrainedConfig):
    """The config of the trunk, and the number of positions (`places`) of the longest text."""

    model_type = "chainrule_any_order"
    sub_configs = {"trunk": AutoConfig}  # noqa: RUF012  # pyrefly: ignore[bad-override]  (as in transformers)

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
    """Any decoder of transformers that takes embeddings, with those of positions and targets added to those of tokens."""

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
        """An any-order model with a copy of a causal model as its trunk. `places` is the number of positions of a text.

        The embeddings of positions and targets are initially 0, so that it computes the same as the causal model.
        """
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
        """The input of the trunk, N × D, from tokens, their positions, and the positions to predict (−1 for none)."""
        embedding_ND = self.lm.get_input_embeddings()(token_N)
        for table, index_N in ((self.position, position_N), (self.target, target_N)):
            embedding_ND = embedding_ND + table(index_N.clamp_min(0)) * (index_N >= 0)[..., None]
        return embedding_ND

    def forward(
        self, input_ids: Tensor, order: Tensor | None = None, labels: Tensor | None = None, **options: Any
    ) -> CausalLMOutput:
        """Logits in the order of prediction, B × L × V: those at step t predict the token at position order[t].

        input_ids: B × (1 + L), the start symbol and then the text from left to right. The last token of an order is not part
            of the input, since no token follows it.
        order: B × L, a permutation of 0 … L − 1 for each sequence (default: left to right).
        labels: as input_ids. The loss is the mean negative log probability of the labels other than −100, without that of
            the start symbol.
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
        """The order on the model's device. Raises InputError if it is not a permutation or too long."""
        if not 1 <= length <= self.config.places:
            raise InputError(f"a text of {length} tokens does not fit into the {self.config.places} positions of the model")
        order = order.to(self.device)
        ascending = self._left_to_right(batch, length)
        if order.shape != ascending.shape or not torch.equal(order.sort(-1).values, ascending):
            raise InputError(
                f"order must be a permutation of the positions 0 … {length - 1} for each of {batch} sequences, not numbers of "
                f"shape {tuple(order.shape)} such as {order.flatten()[:8].tolist()}"
            )
        return order


class AnyOrderModel(PretrainedModel):
    """The inner causal model, run like any other, with positions and targets added to its input embeddings."""

    def __init__(self, own: AnyOrderForCausalLM, name: str, run_config: RunConfig | None = None) -> None:
        super().__init__(own.lm, name, run_config)
        self.own, self.places = own, own.config.places

    def _constructor_arguments(self) -> tuple[Any, ...]:
        return self.own, self.name, self.run_config

    def trial(self, dtype: torch.dtype = torch.float32) -> PretrainedModel:  # pyrefly: ignore[bad-override]  (of its trunk)
        return PretrainedModel(sharing_weights(self.lm, self.name, dtype), self.name)

    @property
    def max_tokens(self) -> int:
        """The longest text after a start symbol, in tokens. The last token of an order is never part of the input."""
        return self.places if self.max_rows is None else min(self.places, self.max_rows)

    def placed(self, token_N: Tensor, position_N: Tensor, target_N: Tensor) -> Tensor:
        """The input of the trunk, N × D, from tokens, their positions (−1 for the start symbol), and those to predict."""
        return self.own.placed(*together([token_N, position_N, target_N], self.device))


AutoConfig.register(AnyOrderConfig.model_type, AnyOrderConfig)
AutoModelForCausalLM.register(AnyOrderConfig, AnyOrderForCausalLM)
