"""`LanguageModel`, the public interface: score, rank, explain, generate, fill in and verify."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np
import torch

from chainrule.engine.embeddings import embedded
from chainrule.engine.engine import Engine
from chainrule.engine.predictors.base import Predictor
from chainrule.engine.predictors.in_order import EMBEDDINGS
from chainrule.engine.predictors.registry import kind_of, predictor_of
from chainrule.engine.question import Settings
from chainrule.errors import InputError, raise_unless
from chainrule.forest.permutations import names_several_orders
from chainrule.generation import Generated, Options
from chainrule.models.base import Model
from chainrule.models.dtype import name_of
from chainrule.ops import native
from chainrule.ops.native.build import Kernels
from chainrule.results import Conditional, Explanation, Mixture, Mixtures, PseudoScore, Ranked, Score, Scores
from chainrule.results.batch import logprobs_within_set
from chainrule.scoring.scorer import Scorer
from chainrule.text.arguments import as_ids, as_list, contexts_for
from chainrule.text.base import TokenizerLike
from chainrule.text.reading import Reading
from chainrule.text.requests import requests
from chainrule.text.start_end import Start
from chainrule.verdict import Verdict

if TYPE_CHECKING:
    from chainrule.verify import Report


class LanguageModel:
    """A model with its tokenizer and start symbol. Log probabilities are in nats unless a name gives another unit."""

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
        self.start: Start = self.predictor.start(start, self.tokenizer)

    @property
    def model(self) -> Any:
        """The network or table that maps tokens to embeddings, hidden states and logits: x → e → h → z."""
        return self.predictor.model

    @property
    def engine(self) -> Engine:
        """The engine, which scores forests. Raises InputError for models that have none, such as masked models."""
        raise_unless(self.predictor.accepts.engine)
        return cast("Any", self.predictor).engine

    @engine.setter
    def engine(self, engine: Engine) -> None:
        self.predictor = predictor_of(self.model, self.tokenizer, engine)

    @property
    def _scorer(self) -> Scorer:
        return Scorer(self.predictor, self.tokenizer, self.start)

    @property
    def invariant(self) -> Verdict:
        """Whether the bits of a factor are the same alone and in any batch; true or false, with a `reason`."""
        return self.predictor.invariance

    @property
    def kernels(self) -> Kernels:
        """Whether kernels compiled on this machine are in use; true or false, with a `reason`."""
        if not kind_of(self.model).network or self.model.device.type != "cpu":
            return Kernels(False, "the compiled kernels are for networks on the CPU")
        return native.status()

    def __repr__(self) -> str:
        network = getattr(self.model, "own", getattr(self.model, "lm", self.model))
        return (
            f"LanguageModel({self.model.name!r}: {type(network).__name__}, {name_of(self.model.dtype)} on "
            f"{self.model.device}, {self.predictor.strategy} strategy, start {self.start.policy})"
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
        """log Pr of one text, pair of texts (a, b), or sequence of token ids, with every factor.

        context: a text or token ids before the text, for Pr(text | context).
        embeddings: T × D, used in place of the embeddings of the token ids. The ids may be left out if every row is a row
            of the model's embedding table. The model adds positions itself.
        start: the start symbol for this call, in place of the model's default.
        Options: order, seed, end, top, window, stride, rows, special, context_special, progress, as in `score_batch`.
        Raises InputError for input that cannot be scored.
        """
        if embeddings is None:
            if text is None:
                raise InputError("there is nothing to score: give a text, token ids, or embeddings")
            return self._scorer.score_texts([text], [context], start=start, **options)[0]
        raise_unless(self.predictor.accepts.embeddings)
        if options.get("order") is not None:
            raise InputError(EMBEDDINGS)
        reading = Reading.of(options.pop("special", None), options.pop("context_special", None))
        request = embedded(self.model, self.tokenizer, text, context, embeddings, reading)
        return self._scorer.score([request], start=start, **options)[0]

    @overload
    def score_batch(self, texts: Any, *, order: None = None, **options: Any) -> Scores: ...
    @overload
    def score_batch(self, texts: Any, *, order: Any, **options: Any) -> Scores | Mixtures: ...
    def score_batch(self, texts: Any, *, context: Any = None, **options: Any) -> Scores | Mixtures:
        """Score many sequences, in input order. Shared prefixes are computed once.

        texts: a list, tuple, generator, NumPy array, pandas or Polars Series, or Arrow array. Its items are texts, sequences
            of token ids (each a list, tuple, array or tensor), or pairs of texts.
        context: one context for all texts, or one for each; a missing value means no context.
        order: the order in which the tokens are predicted: a permutation of their positions 0, 1 …, "left-to-right",
            "right-to-left" or "random". The length is given then, and the context comes first. Several orders ("random:8",
            or a list of orders) return `Mixtures`: each text in every order. seed: of random orders.
        window: the largest number of embeddings to condition on (default: the model's own limit). A longer text is scored in
            overlapping windows, each `stride` tokens further (default: half a window). Every token is scored exactly once,
            and every window begins with the start symbol; `contexts` has the number of embeddings that each factor is
            conditioned on. window=False refuses longer texts.
        start: the start symbol for this call, in place of the model's default.
        end: True or an id adds the factor of the end symbol.
        top: the number of alternatives to keep at each position.
        rows: the number of contexts to compute at a time. progress: called with (done, total).
        special: how names of control symbols in a text, such as <|endoftext|>, are read: "text" (as plain text; the default,
            with a warning) or "parse" (as the symbols). context_special: the same for contexts (default: as `special`).
            `Score.special` and `Score.context_special` record the choice for texts that contain such names.
        """
        if isinstance(texts, str):
            raise InputError("score_batch takes a list of texts; for one text use score")
        items = as_list(texts)
        return self._scorer.score_texts(items, contexts_for(context, len(items)), **options)

    def rank(self, context: Any, candidates: Any, **options: Any) -> list[Ranked]:
        """The candidates after `context`, most probable first, each with log Pr(candidate | context).

        `logprob_within_set` is the log probability normalised over the candidates. Options as in `score_batch`.
        """
        if isinstance(candidates, str):
            raise InputError("rank takes a list of candidates; a single text is scored with score(text, context=...)")
        if names_several_orders(options.get("order")):
            raise InputError("rank takes one order; in several, score the candidates with score_batch(..., context=...)")
        candidates = as_list(candidates, "candidates")
        scores = cast("Scores", self._scorer.score_texts(candidates, [context] * len(candidates), **options))
        order, share = np.argsort(-scores.logprob, kind="stable").tolist(), logprobs_within_set(scores)
        return [Ranked(i, candidates[i], float(scores.logprob[i]), scores[i], float(share[i])) for i in order]

    def conditional(self, context: Any = None, *, start: str | int | None = None, special: str | None = None) -> Conditional:
        """The distribution of the next token after `context` (a text or token ids; None: of the first token).

        special: how names of control symbols in the context are read, as in `score_batch`.
        """
        return self._scorer.conditional(context, start, special)

    def pseudo_log_likelihood(self, text: Any, *, context: Any = None, **options: Any) -> PseudoScore:
        """Σ log Pr(x_i | all other tokens) of one text: a score, not a probability. See `pseudo_log_likelihoods`."""
        return self._scorer.pseudo([text], [context], **options)[0]

    def pseudo_log_likelihoods(self, texts: Any, *, context: Any = None, **options: Any) -> list[PseudoScore]:
        """The pseudo-log-likelihoods of many texts, under a masked model, or a causal model with a tiny vocabulary.

        texts, context: as in `score_batch`. Every term is conditioned on the context, and the context has no terms.
        within_words: also hide the tokens to the right within the same word.
        Options: rows, special, context_special, progress, as in `score_batch`.
        Raises InputError for input that cannot be scored, and for other models.
        """
        if isinstance(texts, str):
            raise InputError("pseudo_log_likelihoods takes a list of texts; for one text use pseudo_log_likelihood")
        items = as_list(texts)
        return self._scorer.pseudo(items, contexts_for(context, len(items)), **options)

    def explain(self, text: Any, *, context: Any = None, **options: Any) -> Explanation:
        """The factors of a text, or of a `Score`, in the order of prediction, with the running product."""
        if isinstance(text, Mixture) or names_several_orders(options.get("order")):
            raise InputError("explain takes one order; for a mixture, explain one of its scores: explain(mixture[0])")
        if not isinstance(text, Score):
            return Explanation(self.score(text, context=context, **options))
        if context is not None or options:
            raise InputError("a score is explained as it is: pass context=, order= and other options to score instead")
        return Explanation(text)

    @overload
    def generate(self, context: Any = ..., *, n: None = None, **options: Any) -> Generated: ...
    @overload
    def generate(self, context: Any = ..., *, n: int, **options: Any) -> list[Generated]: ...
    def generate(
        self,
        context: Any = None,
        *,
        n: int | None = None,
        among: Any = None,
        order: Any = None,
        end: bool | int | None = None,
        start: str | int | None = None,
        special: str | None = None,
        **options: Any,
    ) -> Generated | list[Generated]:
        """Generate a text after `context` (a text or token ids; None: from the start symbol), one token at a time.

        method: "greedy" (default), "sample", "beam" or "best". "best" finds the most probable continuation of bounded length
            by best-first search, with a certificate, or with a bound if `budget` contexts do not suffice.
        max_tokens: the largest number of tokens (default: 64, or as many as fit into the model's context).
        end: stop at the end symbol, whose factor is then the last (the default if the model has one); False: treat it as any
            other token; or the id of another end symbol. stop: one or more texts to stop at; the text reached is kept.
        n: the number of texts; a list is returned. For "best" and "beam": the most probable ones.
        temperature, top_k, top_p, min_p, seed: for "sample", applied in this order. num_beams, budget: for "beam" and "best".
        top: the number of alternatives to keep at each position. on_token: called with each `Step`.
        among: texts to choose from: the most probable, or, with "sample", one drawn by the probabilities normalised over the
            texts (`sampling_logprob`), after temperature and the like. max_tokens, stop and num_beams have no effect.
        order: fill the positions of a text of `max_tokens` tokens in this order (one order, as in `score_batch`), by a model
            that predicts in any order. Without it, such a model generates from left to right. end and stop need a causal model.
        special: how names of control symbols in the context and in `among` are read, as in `score_batch`.
        Returns `Generated`: a Score with the same numbers as `score` gives. Raises InputError.
        """
        from chainrule.generation.choices import choose_among
        from chainrule.generation.generate import generate

        chosen, how = self._scorer.start(start), Options(n=n, **options)
        request = self._scorer.context(context, special)
        Settings(top=how.top).check(self.model.head.size)
        if among is not None:
            ranked = self.rank(context, among, start=start, end=end, order=order, top=how.top, special=special)
            texts = choose_among(ranked, how)
        else:
            texts = generate(self._scorer, request, chosen, end, order, how)
        return texts[0] if n is None else texts

    @overload
    def infill(self, template: Any, lengths: Any = ..., *, n: None = None, **options: Any) -> Generated: ...
    @overload
    def infill(self, template: Any, lengths: Any = ..., *, n: int, **options: Any) -> list[Generated]: ...
    def infill(
        self,
        template: Any,
        lengths: Sequence[int] | None = None,
        *,
        n: int | None = None,
        order: Any = None,
        start: str | int | None = None,
        special: str | None = None,
        **options: Any,
    ) -> Generated | list[Generated]:
        """Fill the blanks of a text, given the rest, by a model that predicts in any order.

        template: "The ____ sat on the ____", or token ids with None at the positions to fill. Spaces around a blank belong
            to the text: for tokens that begin with their space, write "The____ sat".
        lengths: the number of tokens of each blank (default: 1). order: the order of the tokens of all blanks.
        special: how names of control symbols in the template are read, as in `score_batch`.
        Options as in `generate`. `text` of the result is the whole text; its factors are those of the blanks.
        Raises InputError.
        """
        from chainrule.generation.infill import infill

        how, chosen, reading = Options(n=n, **options), self._scorer.start(start), Reading.of(special)
        Settings(top=how.top).check(self.model.head.size)
        texts = infill(self.predictor.any_order, self.tokenizer, template, lengths, chosen, order, how, reading)
        return texts[0] if n is None else texts

    def verify(self, texts: Any = None, *, progress: Callable[[str, int, int], None] | None = None) -> Report:
        """Check the numbers on this model and machine, one property at a time. Print the report, or read its `passed`.

        texts: texts to check (default: six short texts in several scripts); at most 48 tokens of each are used.
        progress: called with (name of the next property, done, total).
        The references are the model's own forward passes: unpadded, one sequence at a time, in its own dtype, in float32
        and, if memory allows, in float64. Raises InputError for texts that are empty.
        """
        from chainrule.verify import verify

        raise_unless(self.predictor.accepts.left_to_right)
        return verify(self, texts if texts is None or isinstance(texts, str) else as_list(texts), progress)

    def embed(self, ids: Any) -> torch.Tensor:
        """The token embeddings of `ids`, T × D, as `score(embeddings=...)` takes them."""
        raise_unless(self.predictor.accepts.embed)
        request = requests([as_ids(ids)], None, None, self.model.embeddings)[0]
        embedding_TD = self.model.embed(torch.from_numpy(request.ids).to(self.model.device))
        return embedding_TD.detach().clone()  # a tensor outside inference mode, which may be modified
