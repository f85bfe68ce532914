"""Factors in any order by a masked model: each is read at the mask symbol at its position, with all later positions masked.

    Pr(x_σt | e_σ0 … e_σt−1) = softmax of z at position σt of  [CLS] … x_σ0 … [MASK] … x_σ1 … [MASK] … [SEP]

One pass gives one factor, because tokens not yet predicted must be masked. So a text of L tokens takes L passes, which run
together. Tokens that cannot occur, such as the mask symbol and the frame, are left out before the log-sum-exp.

Shapes: B texts, L positions of a text, C conditionals, M rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from chainrule._types import Floats, Ints
from chainrule.engine.head.asked import NONE, AskedTokens
from chainrule.engine.predictors.base import YES, Cloze, Steps, Support, check_clozes
from chainrule.engine.predictors.forwards import NOT_INVARIANT, PassBatch, Plan, Reader, Request, head_logprobs, logprobs
from chainrule.engine.predictors.in_order import InOrder, accepts_in_order
from chainrule.engine.question import DEFAULTS, Answer, Settings
from chainrule.engine.selfcheck.probe import check_unchanged, settings
from chainrule.engine.selfcheck.reference import (
    LONG,
    MAX_SHARE,
    SAFE_SHARE,
    context_effect,
    distance,
    tolerance,
    unexplained_error,
)
from chainrule.errors import InputError, ModelError
from chainrule.forest.permutations import OrderedSequence
from chainrule.models.base import Head
from chainrule.models.masked import MaskedModel
from chainrule.ops.matmul import ROWS
from chainrule.ops.sealed import sealed
from chainrule.text.base import TokenizerLike
from chainrule.text.mask_template import MaskTemplate, resolve_mask_template
from chainrule.text.start_end import Start, masked_start
from chainrule.verdict import Verdict

TEXTS, LENGTH = 3, 14  # of the check on load, which also uses longer texts


class MaskedPredictor(InOrder):
    """The chain rule in any order, by a masked model. The start symbol is that of the frame; `start_id` is ignored."""

    strategy = "masked"

    def __init__(self, model: MaskedModel, template: MaskTemplate) -> None:
        self.model, self.template = model, template
        self.accepts = accepts_in_order(model.name, self.strategy, YES)
        self.support = Support(template.excluded, template.description)
        if len(template.excluded) >= model.head.size:
            raise ModelError(f"{model.name} has no token that can occur: {template.description}")
        name = template.token
        self.how = (
            f"positions not yet predicted are masked ({name(template.mask)}, id {template.mask}), between "
            f"{name(template.before)} and {name(template.after)}"
        )
        self._reader = Reader(model, SupportedHead(model.head, template.excluded), self._run, self._width)
        self._allowed = np.ones(max(model.embeddings, model.head.size), bool)
        self._allowed[template.excluded] = False
        self._allowed[model.head.size :] = False
        self.reason = f"agrees with the model's own forward to {self._check_model():.1e} nats"

    @classmethod
    def of(cls, model: MaskedModel, tokenizer: TokenizerLike | None) -> MaskedPredictor:
        """The predictor of a model. Raises ModelError if its symbols are unknown, or if it differs from its own forward."""
        sizes = {"vocab_size": model.head.size, "embeddings": model.embeddings}
        return cls(model, resolve_mask_template(tokenizer, model.symbols, **sizes, model=model.name))

    @property
    def invariance(self) -> Verdict:
        return NOT_INVARIANT

    def start(self, requested: str | int, tokenizer: TokenizerLike | None) -> Start:
        return masked_start(requested, self.template.before, self.template.token(self.template.before))

    def answer_in_order(
        self, sequences: list[OrderedSequence], settings: Settings = DEFAULTS, asked: AskedTokens = NONE
    ) -> Answer:
        """Every factor of every sequence, in the order of prediction; see `InOrder`."""
        for item, ordered in enumerate(sequences):
            self._check(ordered.ids_L, ordered.fed_L, item)
        steps = Steps(sequences)
        return self._answer(steps, steps.token_N, settings, asked)

    def answer(self, clozes: Sequence[Cloze], token_N: Ints, settings: Settings = DEFAULTS) -> Answer:
        """The factors of single tokens at single positions; see `InOrder`."""
        self._check_all(clozes)
        for item, (cloze, token) in enumerate(zip(clozes, token_N, strict=True)):
            self._check(np.array([token]), np.zeros(1, np.int64), item, cloze.target)
        return self._answer(clozes, token_N, settings)

    def conditionals(self, clozes: list[Cloze], *, rows: int | None = None, temperature: float = 1.0) -> Floats:
        """log Pr(v | seen) for every v of the vocabulary, B × V; −inf for tokens that cannot occur."""
        self._check_all(clozes)
        return self._reader.conditionals(self._plan(clozes), rows=rows, temperature=temperature)

    def _answer(self, clozes: Sequence[Cloze], token_N: Ints, how: Settings, asked: AskedTokens = NONE) -> Answer:
        return self._reader.answer(self._plan(clozes), token_N, how, asked)

    def _plan(self, clozes: Sequence[Cloze]) -> Plan:
        return Plan.of(len(clozes), lambda n: self._request(clozes[n]))

    def _request(self, cloze: Cloze) -> Request:
        fed_L = np.full(len(cloze.ids_L), self.template.mask, np.int64)
        fed_L[cloze.seen] = cloze.ids_L[cloze.seen]
        return Request(fed_L, np.zeros(0, np.int64), cloze.target)

    def _run(self, batch: PassBatch, model: MaskedModel | None = None) -> Tensor:
        hidden_BTH = (model or self.model).hidden(torch.from_numpy(self._with_frame(batch.fed_BL)))
        return hidden_BTH[torch.from_numpy(batch.pass_C), torch.from_numpy(batch.target_C + 1)]

    def _with_frame(self, fed_BL: Ints) -> Ints:
        edge = lambda id: np.full((len(fed_BL), 1), id)  # noqa: E731
        return np.concatenate([edge(self.template.before), fed_BL, edge(self.template.after)], 1)

    def _width(self, length: int) -> int:
        return length + 2

    def _check_all(self, clozes: Sequence[Cloze]) -> None:
        check_clozes(clozes)
        for item, cloze in enumerate(clozes):
            self._check(cloze.ids_L, cloze.seen, item)

    def _check(self, ids_L: Ints, read: Ints, item: int, position: int | None = None) -> None:
        """Raises InputError if the text is too long, or if a token at the positions `read` cannot occur.

        position: the position to name in the message, if `ids_L` is a single token of a text.
        """
        most = self.model.max_rows
        if most is not None and self._width(len(ids_L)) > most:
            raise InputError(
                f"the text has {len(ids_L)} tokens, {self._width(len(ids_L))} with "
                f"{self.template.token(self.template.before)} and {self.template.token(self.template.after)}, and the model "
                f"takes {most}: shorten it, or score it in parts",
                item,
            )
        ids = ids_L[read]
        wrong = np.flatnonzero(
            (ids < 0) | (ids >= len(self._allowed)) | ~self._allowed[np.clip(ids, 0, len(self._allowed) - 1)]
        )
        if len(wrong):
            position, id = int(read[wrong[0]]) if position is None else position, int(ids[wrong[0]])
            raise InputError(
                f"token {self.template.token(id)!r} (id {id}) at position {position} cannot occur in a text of this model; "
                f"leave it out ({self.support.description})",
                item,
            )

    @sealed
    def _check_model(self) -> float:
        """The largest difference of a factor from the model's own forward, in nats. Raises ModelError if they differ.

        The check uses short and longer texts, since some networks attend only to parts of long texts, even random ones
        (Reformer).
        """
        with self.model.temporary_trial() as trial:
            return self._checked_error(trial)

    def _checked_error(self, trial: MaskedModel) -> float:
        model, draw, worst = self.model, np.random.default_rng(0), 0.0
        before = settings(trial)
        longest = (model.max_rows or LONG + 2) - 2
        for texts, length in dict.fromkeys((texts, min(length, longest)) for texts, length in ((TEXTS, LENGTH), (2, LONG))):
            fed_BL = draw.choice(np.flatnonzero(self._allowed[: model.head.size]), (texts, length))
            fed_BL[draw.random(fed_BL.shape) < 0.5] = self.template.mask
            error, safe, limit = self._error(trial, fed_BL)
            measure = lambda model, fed_BL=fed_BL: self._error(model, fed_BL)[0]  # noqa: E731
            if (off := unexplained_error(model, error, safe, limit, measure)) > 0:
                raise ModelError(
                    f"{model.title} cannot be scored exactly here: its trunk on several texts and its head on single "
                    f"positions are off by {off:.2g} nats from its own forward of one text of {length} tokens"
                )
            worst = max(worst, error)
        check_unchanged(trial, before)
        return worst

    def _error(self, trial: MaskedModel, fed_BL: Ints) -> tuple[float, float, float]:
        """The error of the factors of these texts, and the errors up to which rounding explains, and may explain it; nats."""
        texts, length = fed_BL.shape
        pass_C, target_C = np.divmod(np.arange(fed_BL.size), length)
        try:
            own_CV = np.concatenate(
                [logprobs(trial.own_logits(torch.from_numpy(row_T))[1:-1]) for row_T in self._with_frame(fed_BL)]
            )
            logprob_CV = head_logprobs(trial.head, self._run(PassBatch(fed_BL, fed_BL, pass_C, target_C), trial))
        except Exception as error:
            raise self.model.failed("does not run on token ids alone", error) from error
        own_BTV = own_CV.reshape(texts, length, -1)
        effect = max(context_effect(own_BTV[0], other_TV) for other_TV in own_BTV[1:])
        safe, limit = (tolerance(share, effect, own_CV) for share in (SAFE_SHARE, MAX_SHARE))
        return distance(logprob_CV, own_CV), safe, limit


class SupportedHead:
    """A head with logits of −inf for tokens that cannot occur, so that the probabilities of the others sum to 1."""

    def __init__(self, head: Head, left_out: Ints) -> None:
        self.head, self.left_out = head, torch.from_numpy(left_out)
        self.size, self.tile, self.dtype = head.size, head.tile, head.dtype

    def write(self, hidden_MH: Tensor, first: int, logits_MV: Tensor, rows: int = ROWS) -> None:
        self.head.write(hidden_MH, first, logits_MV, rows)
        in_tile = (self.left_out >= first) & (self.left_out < first + logits_MV.shape[1])
        logits_MV[:, self.left_out[in_tile] - first] = -torch.inf
