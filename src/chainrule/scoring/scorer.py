"""Scores from what users pass: texts, contexts and options, checked and converted for one model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule._checks import is_whole
from chainrule.engine.predictors.base import Predictor
from chainrule.engine.question import Item, Settings
from chainrule.errors import InputError, of_one_text, raise_unless, short
from chainrule.forest.permutations import names_several_orders
from chainrule.models.identity import identity_of
from chainrule.results.batch import Scores
from chainrule.results.conditional import Conditional
from chainrule.results.mixture import Mixtures
from chainrule.results.pseudo import PseudoScore
from chainrule.scoring.assemble import count_contexts, score_requests
from chainrule.scoring.pseudo import pseudo_scores
from chainrule.text.arguments import is_empty
from chainrule.text.base import TokenizerLike
from chainrule.text.reading import LITERAL, Reading
from chainrule.text.requests import Request, requests
from chainrule.text.start_end import Start, resolve_end


@dataclass(frozen=True, eq=False)
class Scorer:
    """A predictor with its tokenizer and start symbol. Every method raises InputError for input that it cannot use."""

    predictor: Predictor
    tokenizer: TokenizerLike | None
    default_start: Start

    @property
    def vocab_size(self) -> int:
        """The number of token ids."""
        return self.predictor.model.head.size

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The ids of all end symbols of the tokenizer and the model, that of `end(True)` first."""
        of_model = self.predictor.model.eos_id
        ids = [self.tokenizer.eos_id if self.tokenizer else None, *(of_model if isinstance(of_model, list) else [of_model])]
        return tuple(dict.fromkeys(id for id in ids if id is not None and 0 <= id < self.vocab_size))

    def start(self, requested: str | int | None) -> Start:
        """The start symbol requested; None: the default."""
        return self.default_start if requested is None else self.predictor.start(requested, self.tokenizer)

    def end(self, requested: bool | int | None) -> int | None:
        """The id of the end symbol requested; None: no end factor."""
        eos = self.tokenizer.eos_id if self.tokenizer else None
        return resolve_end(requested, vocab_size=self.vocab_size, tokenizer_eos=eos, config_eos=self.predictor.model.eos_id)

    def requests(self, texts: list[Any], contexts: list[Any], reading: Reading = LITERAL) -> list[Request]:
        """One request for each text after its context."""
        return requests(texts, contexts, self.tokenizer, self.vocab_size, reading)

    def context(self, context: Any, special: str | None = None) -> Request | None:
        """The request whose ids are one context, a text or a sequence of token ids; None if it is empty."""
        reading = Reading.of(special)
        if is_empty(context):
            return None
        with of_one_text():
            request = requests([context], None, self.tokenizer, self.vocab_size, reading)[0]
        if request.segments:
            raise InputError("the context must be one text or one sequence of token ids, not a pair of texts")
        return request

    def score(
        self,
        requests: list[Request],
        settings: Settings,
        *,
        start: str | int | None,
        end: bool | int | None,
        order: Any = None,
        seed: int = 0,
        targets: Sequence[Any] = (),
    ) -> Scores:
        """Score the requests; in several orders, each request once for every order. targets: of each request."""
        end_id = self.end(end)
        if not is_whole(seed, 0):
            raise InputError(f"seed must be a whole number of 0 or more, not {short(seed)}")
        accepts = self.predictor.accepts
        if not accepts.pairs and any(request.segments for request in requests):
            raise InputError(accepts.pairs.reason)
        if end_id is not None and (order is not None or not accepts.end_symbol):
            raise InputError(
                "in an order the length of the text is given, so no end symbol is predicted: leave end= or order= out"
            )
        if settings.last_n is not None and (order is not None or any(request.segments for request in requests)):
            raise InputError("last_n= takes the last tokens of one text, left to right: leave it out for a pair or an order")
        chosen, of_texts = self.start(start), {"order": order, "seed": seed, "targets": targets}
        return score_requests(self.predictor, self.tokenizer, requests, chosen, end_id, settings, **of_texts)

    def count(
        self, texts: list[str], settings: Settings, reading: Reading, *, end: bool | int | None = None
    ) -> tuple[int, int]:
        """The numbers of tokens of texts, and of their distinct contexts, which are what scoring them computes."""
        requests = self.requests(texts, [None] * len(texts), reading)
        return count_contexts(self.predictor, self.tokenizer, requests, self.default_start, self.end(end), settings)

    def score_texts(
        self,
        texts: list[Any],
        contexts: list[Any],
        settings: Settings,
        reading: Reading,
        *,
        start: str | int | None,
        end: bool | int | None,
        order: Any,
        seed: int,
        targets: Sequence[Any] = (),
    ) -> Scores | Mixtures:
        """Score texts, each after its context; in several orders, as mixtures."""
        requests = self.requests(texts, contexts, reading)
        scores = self.score(requests, settings, start=start, end=end, order=order, seed=seed, targets=targets)
        return Mixtures.of(scores, len(texts)) if names_several_orders(order) else scores

    def pseudo(
        self,
        texts: list[Any],
        contexts: list[Any],
        settings: Settings,
        reading: Reading,
        *,
        within_words: bool,
    ) -> list[PseudoScore]:
        """The pseudo-log-likelihood of every text."""
        requests, predictor = self.requests(texts, contexts, reading), self.predictor
        raise_unless(predictor.accepts.pseudo)
        return pseudo_scores(
            predictor.any_order, self.tokenizer, requests, self.default_start, settings, within_words=within_words
        )

    def conditional(
        self, context: Any, start: str | int | None = None, special: str | None = None, temperature: float = 1.0
    ) -> Conditional:
        """The distribution of the token after a context; without one, of the first token."""
        raise_unless(self.predictor.accepts.next_token)
        Settings(temperature=temperature).check(self.vocab_size)
        chosen, request = self.start(start), self.context(context, special)
        ids = np.zeros(0, np.int64) if request is None else request.ids
        if chosen.id is None and not len(ids):
            raise InputError("with a given start, the next token needs a context of one token at least")
        model, embeddings = self.predictor.model, len(ids) + (chosen.id is not None)
        if model.max_rows is not None and embeddings > model.max_rows:
            raise InputError(
                f"the context has {embeddings} embeddings, start symbol included, and the model takes {model.max_rows}: "
                "shorten it"
            )
        [logprob_V] = self.predictor.next_token([Item(ids, 0, chosen.id)], temperature=temperature)
        special = None if request is None else request.special
        return Conditional(logprob_V, embeddings, chosen, self.tokenizer, identity_of(model), special, float(temperature))
