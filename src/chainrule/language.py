"""The façade: score in any order, rank, ask for a conditional, explain, generate, fill in and verify."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np
import torch

from chainrule._checks import is_whole
from chainrule.engine.embeddings import embedded
from chainrule.engine.engine import Engine
from chainrule.engine.predictors.base import Predictor
from chainrule.engine.predictors.in_order import EMBEDDINGS
from chainrule.engine.predictors.registry import kind_of, predictor_of
from chainrule.engine.question import Item, Settings
from chainrule.errors import InputError, short
from chainrule.forest.permutations import names_several_orders
from chainrule.generation import Generated, Options
from chainrule.models.base import Model
from chainrule.models.dtype import name_of
from chainrule.ops import native
from chainrule.ops.native.build import Kernels
from chainrule.results import Conditional, Explanation, Mixture, Mixtures, PseudoScore, Ranked, Score, Scores
from chainrule.results.batch import within_set
from chainrule.scoring.assemble import score_requests
from chainrule.scoring.pseudo import pseudo_scores
from chainrule.text.arguments import as_ids, as_list, contexts_for, is_empty
from chainrule.text.base import TokenizerLike
from chainrule.text.reading import Reading
from chainrule.text.requests import Request, requests
from chainrule.text.start_end import Start, resolve_end
from chainrule.verdict import Verdict

if TYPE_CHECKING:
    from chainrule.verify import Report


class LanguageModel:
    """A model, its tokenizer and its start policy. Everything it returns is in nats unless a name says otherwise."""

    def __init__(
        self,
        model: Model,
        tokenizer: TokenizerLike | None = None,
        *,
        start: str | int = "auto",
        engine: Engine | None = None,
    ) -> None:
        self.tokenizer = kind_of(model).own_tokenizer(model) if tokenizer is None else tokenizer
        self.predictor: Predictor = predictor_of(model, self.tokenizer, engine)
        self.start = self._start(start)

    @property
    def model(self) -> Any:
        """The network or table, x → e → h → z."""
        return self.predictor.model

    @property
    def engine(self) -> Engine:
        """What scores forests. Raises InputError for a model without a next token, which has none."""
        if not (accepted := self.predictor.accepts.engine):
            raise InputError(accepted.reason)
        return cast("Any", self.predictor).engine

    @engine.setter
    def engine(self, engine: Engine) -> None:
        self.predictor = predictor_of(self.model, self.tokenizer, engine)

    @property
    def invariant(self) -> Verdict:
        """Whether a factor has the same bits alone, in any batch, order and chunk; true or false, with its `reason`."""
        return self.predictor.invariance

    @property
    def kernels(self) -> Kernels:
        """Whether kernels compiled on this machine run beside PyTorch's; true or false, with its `reason`."""
        if not kind_of(self.model).network or self.model.device.type != "cpu":
            return Kernels(False, "the compiled kernels are for networks on the CPU")
        return native.status()

    def __repr__(self) -> str:
        network = getattr(self.model, "own", getattr(self.model, "lm", self.model))
        return (
            f"LanguageModel({self.model.name!r}: {type(network).__name__}, {name_of(self.model.dtype)} on "
            f"{self.model.device}, {self.predictor.strategy} path, start {self.start.policy})"
        )

    @overload
    def score(self, text: Any = ..., *, order: None = None, **options: Any) -> Score: ...
    @overload
    def score(self, text: Any = ..., *, order: Any, **options: Any) -> Score | Mixture: ...
    def score(
        self,
        text: Any = None,
        *,
        context: Any = None,
        embeddings: Any = None,
        start: str | int | None = None,
        **options: Any,
    ) -> Score | Mixture:
        """log Pr of one text, pair of texts (a, b), or sequence of token ids, and every factor of it.

        context: a text or token ids that stand before it and are given: Pr(text | context).
        embeddings: T × D, used in place of the embeddings of the token ids (which may be left out where every row is a
            row of the model's own table). Positions are added by the model.
        start: another start policy than the model's.
        Options: order, seed, end, top, window, stride, rows, special, context_special, progress, as in `score_batch`.
        Raises InputError for what cannot be scored.
        """
        if embeddings is None:
            if text is None:
                raise InputError("there is nothing to score: give a text, token ids, or embeddings")
            return self._scored([text], [context], start=start, **options)[0]
        if not (accepted := self.predictor.accepts.embeddings):
            raise InputError(accepted.reason)
        if options.get("order") is not None:
            raise InputError(EMBEDDINGS)
        reading = Reading.of(options.pop("special", None), options.pop("context_special", None))
        request = embedded(self.model, self.tokenizer, text, context, embeddings, reading)
        return self._score([request], start=start, **options)[0]

    @overload
    def score_batch(self, texts: Any, *, order: None = None, **options: Any) -> Scores: ...
    @overload
    def score_batch(self, texts: Any, *, order: Any, **options: Any) -> Scores | Mixtures: ...
    def score_batch(self, texts: Any, *, context: Any = None, **options: Any) -> Scores | Mixtures:
        """Score many sequences; shared prefixes are computed once, and the order of input is kept.

        texts: a list, tuple, generator, NumPy array, pandas or Polars Series or Arrow array of texts, of sequences of token
            ids (each a list, tuple, array or tensor), or of pairs of texts; taken by position.
        context: one for all, or such a sequence with one for each, where a missing value is no context.
        order: in which the tokens to be scored are predicted: a permutation of their places 0, 1 …, "left-to-right",
            "right-to-left" or "random". The length is given then, and a context comes first. Several orders ("random:8", or a
            list of orders) give `Mixtures`, each text in every one of them. seed: of random orders.
        window: the most embeddings to condition on (default: the model's own context); a longer text is scored in windows
            that move on by `stride` tokens (default: half a window), every token exactly once, the start symbol at the
            head of every window; `contexts` records what each factor saw. window=False refuses longer texts instead.
        start: another start policy than the model's. end: True or an id adds the end symbol's factor. top: how many
            alternatives to keep in each place. rows: contexts computed at a time. progress: called with (done, in all).
        special: how the names of control symbols in a text are read, such as <|endoftext|>: "text" (as they stand, the
            default, with a warning where there are any) or "parse" (as the symbols). context_special: the same for contexts
            (default: as special). The result says it where there were any (`Score.special`, `Score.context_special`).
        """
        if isinstance(texts, str):
            raise InputError("score_batch takes a list of texts; for one text use score")
        found = as_list(texts)
        return self._scored(found, contexts_for(context, len(found)), **options)

    def rank(self, context: Any, candidates: Any, **options: Any) -> list[Ranked]:
        """The candidates behind `context`, best first, each with log Pr(candidate | context). Options as in `score_batch`.

        `within_set` of each is its log probability given besides that it is one of these: normalised within the set.
        """
        if isinstance(candidates, str):
            raise InputError("rank takes a list of candidates; a single text is scored with score(text, context=...)")
        if names_several_orders(options.get("order")):
            raise InputError("rank takes one order; in several, score the candidates with score_batch(..., context=...)")
        candidates = as_list(candidates, "candidates")
        scores = cast("Scores", self._scored(candidates, [context] * len(candidates), **options))
        order, share = np.argsort(-scores.logprob, kind="stable").tolist(), within_set(scores)
        return [Ranked(i, candidates[i], float(scores.logprob[i]), scores[i], float(share[i])) for i in order]

    def conditional(self, context: Any = None, *, start: str | int | None = None, special: str | None = None) -> Conditional:
        """The distribution of the token that comes next, behind `context` (a text or token ids; None: the first token).

        special: how the names of control symbols in the context are read, as in `score_batch`.
        """
        if not (accepted := self.predictor.accepts.next_token):
            raise InputError(accepted.reason)
        chosen, request = self._chosen(start), self._context(context, special)
        ids = np.zeros(0, np.int64) if request is None else request.ids
        if chosen.id is None and not len(ids):
            raise InputError("with a given start, the next token needs a context of one token at least")
        seen, most = len(ids) + (chosen.id is not None), self.model.max_rows
        if most is not None and seen > most:
            raise InputError(
                f"the context has {seen} embeddings, start symbol included, and the model takes {most}: shorten it"
            )
        [logprob_V] = self.predictor.next_token([Item(ids, 0, chosen.id)])
        return Conditional(logprob_V, seen, chosen, self.tokenizer, self.model.name)

    def pseudo_log_likelihood(self, text: Any, *, context: Any = None, **options: Any) -> PseudoScore:
        """Σ log Pr(x_i | all other tokens) of one text: a score, and no probability. See `pseudo_log_likelihoods`."""
        return self._pseudo([text], [context], **options)[0]

    def pseudo_log_likelihoods(self, texts: Any, *, context: Any = None, **options: Any) -> list[PseudoScore]:
        """The pseudo-log-likelihood of many texts, by a masked model, or by a causal one on a tiny vocabulary.

        texts, context: as in `score_batch`; a context is always seen, and never a term.
        within_words: hide the tokens to the right within the same word as well.
        Options: rows, special, context_special, progress, as in `score_batch`. Raises InputError for what cannot be scored,
        and for other models.
        """
        if isinstance(texts, str):
            raise InputError("pseudo_log_likelihoods takes a list of texts; for one text use pseudo_log_likelihood")
        found = as_list(texts)
        return self._pseudo(found, contexts_for(context, len(found)), **options)

    def explain(self, text: Any, *, context: Any = None, **options: Any) -> Explanation:
        """Each factor of a text, or of a `Score`, written out in the order of prediction, with the running product."""
        if isinstance(text, Mixture) or names_several_orders(options.get("order")):
            raise InputError("explain writes one order out: give one, or explain a score of the mixture: explain(mixture[0])")
        if not isinstance(text, Score):
            return Explanation(self.score(text, context=context, **options))
        if context is not None or options:
            raise InputError("a score is explained as it is: give context=, order= and other options when it is made")
        return Explanation(text)

    def generate(
        self,
        context: Any = None,
        *,
        among: Any = None,
        order: Any = None,
        end: bool | int | None = None,
        start: str | int | None = None,
        special: str | None = None,
        **options: Any,
    ) -> Generated | list[Generated]:
        """Generate a text after `context` (a text or token ids; None: from the start symbol), token by token.

        method: "greedy" (default), "sample", "beam", or "best": the exactly most probable continuation of bounded length, by
            best-first search, with a certificate, or with a bound where `budget` contexts did not suffice.
        max_tokens: the most tokens (default 64, or as many as fit into the model's context).
        end: stop at the end symbol (default: where the model has one), which is then the last factor; False: it is a token
            like others; or the id of another.
            stop: a text, or texts, to stop at; the one that was reached is kept.
        n: how many texts (a list comes back); without it, one. For "best" and "beam": the most probable ones.
        temperature, top_k, top_p, min_p, seed: for "sample"; applied in this order. num_beams, budget: for "beam" and "best".
        top: alternatives kept in each place. on_token: called with each `Step` as the text grows.
        among: texts, of which one is chosen: the most probable, or, with "sample", by their probabilities normalised within
            the set (`sampling_logprob`), which temperature and the like alter further. max_tokens, stop and num_beams have no
            effect.
        order: fill the places of a text of `max_tokens` tokens in this order (one order, as `score` takes it), by a model
            that predicts in any order. Such a model grows left to right without it. end and stop are for causal models.
        special: how the names of control symbols in the context and in `among` are read, as in `score_batch`.
        Returns `Generated`, each a Score of the raw model with the numbers that `score` gives. Raises InputError.
        """
        from chainrule.generation.choices import choose_among
        from chainrule.generation.generate import generate

        chosen, how = self._chosen(start), Options(**options)
        request = self._context(context, special)
        Settings(top=how.top).check(self.model.head.size)
        if among is not None:
            ranked = self.rank(context, among, start=start, end=end, order=order, top=how.top, special=special)
            texts = choose_among(ranked, how)
        else:
            texts = generate(self.predictor, self.tokenizer, request, chosen, end, order, how)
        return texts if options.get("n") is not None else texts[0]

    def infill(
        self,
        template: Any,
        lengths: Sequence[int] | None = None,
        *,
        order: Any = None,
        start: str | int | None = None,
        special: str | None = None,
        **options: Any,
    ) -> Generated | list[Generated]:
        """Fill the blanks of a text, given all the rest, by a model that predicts in any order.

        template: "The ____ sat on the ____", or token ids with None in the places to fill. Spaces around a blank belong to
            the text: with tokens that begin with their space, write "The____ sat".
        lengths: how many tokens each blank takes (default: one). order: of the blanks' tokens, among themselves.
        special: how the names of control symbols in the template are read, as in `score_batch`.
        Options as in `generate`. The result's `text` is the whole text, its factors are those of the blanks. Raises InputError.
        """
        from chainrule.generation.infill import infill

        how, chosen, reading = Options(**options), self._chosen(start), Reading.of(special)
        Settings(top=how.top).check(self.model.head.size)
        texts = infill(self.predictor.any_order, self.tokenizer, template, lengths, chosen, order, how, reading)
        return texts if options.get("n") is not None else texts[0]

    def verify(self, texts: Any = None, *, progress: Callable[[str, int, int], None] | None = None) -> Report:
        """Try on this model and machine, property by property, that the numbers are right; print it, or ask `passed`.

        texts: what to try it on (default: six short texts in several scripts; of any text at most 48 tokens are taken).
        progress: called with the name of the property that comes next, how many are done, and how many there are.
        The slow references are the model's own forwards: unpadded, one sequence at a time, in its own type, in float32 and,
        where memory allows, in float64. Raises InputError for texts that are none.
        """
        from chainrule.verify import verify

        if not (accepted := self.predictor.accepts.left_to_right):
            raise InputError(accepted.reason)
        return verify(self, texts if texts is None or isinstance(texts, str) else as_list(texts), progress)

    def embed(self, ids: Any) -> torch.Tensor:
        """The token embeddings of `ids`, T × D, as `score(embeddings=...)` takes them."""
        if not (accepted := self.predictor.accepts.embed):
            raise InputError(accepted.reason)
        request = requests([as_ids(ids)], None, None, self.model.embeddings)[0]
        embedding_TD = self.model.embed(torch.from_numpy(request.ids).to(self.model.device))
        return embedding_TD.detach().clone()  # not made in inference mode: what comes back may be written to

    def _scored(
        self,
        texts: list[Any],
        contexts: list[Any],
        *,
        special: str | None = None,
        context_special: str | None = None,
        **options: Any,
    ) -> Scores | Mixtures:
        """`score_batch`, of items with a context each."""
        scores = self._score(self._requests(texts, contexts, special, context_special), **options)
        return Mixtures.of(scores, len(texts)) if names_several_orders(options.get("order")) else scores

    def _score(
        self,
        requests: list[Request],
        *,
        start: str | int | None = None,
        end: bool | int | None = None,
        order: Any = None,
        seed: int = 0,
        **options: Any,
    ) -> Scores:
        unknown, end_id = options.keys() - {option.name for option in fields(Settings)}, self._end(end)
        if unknown:
            raise TypeError(f"unknown option: {', '.join(map(repr, sorted(unknown)))}")
        if not is_whole(seed, 0):
            raise InputError(f"seed must be a whole number of 0 or more, not {short(seed)}")
        accepts = self.predictor.accepts
        if not accepts.pairs and any(request.segments for request in requests):
            raise InputError(accepts.pairs.reason)
        if end_id is not None and (order is not None or not accepts.end_symbol):
            raise InputError(
                "in an order the length of the text is given, so no end symbol is predicted: leave end= or order= out"
            )
        settings, chosen = Settings(**options), self._chosen(start)
        return score_requests(self.predictor, self.tokenizer, requests, chosen, end_id, settings, order=order, seed=seed)

    def _pseudo(
        self,
        texts: list[Any],
        contexts: list[Any],
        *,
        special: str | None = None,
        context_special: str | None = None,
        **options: Any,
    ) -> list[PseudoScore]:
        made = self._requests(texts, contexts, special, context_special)
        if not (accepted := self.predictor.accepts.pseudo):
            raise InputError(accepted.reason)
        return pseudo_scores(self.predictor.any_order, self.tokenizer, made, self.start, **options)

    def _requests(
        self, texts: list[Any], contexts: list[Any], special: str | None, context_special: str | None
    ) -> list[Request]:
        reading = Reading.of(special, context_special)
        return requests(texts, contexts, self.tokenizer, self.model.head.size, reading)

    def _context(self, context: Any, special: str | None) -> Request | None:
        """One text or one sequence of token ids before what is asked for; None for none."""
        reading = Reading.of(special)
        if is_empty(context):
            return None
        request = requests([context], None, self.tokenizer, self.model.head.size, reading)[0]
        if request.segments:
            raise InputError("what stands before is one text or one sequence of token ids, not a pair of texts")
        return request

    def _start(self, requested: str | int) -> Start:
        return self.predictor.start(requested, self.tokenizer)

    def _chosen(self, start: str | int | None) -> Start:
        return self.start if start is None else self._start(start)

    def _end(self, requested: bool | int | None) -> int | None:
        eos = self.tokenizer.eos_id if self.tokenizer else None
        return resolve_end(requested, vocab_size=self.model.head.size, tokenizer_eos=eos, config_eos=self.model.eos_id)
