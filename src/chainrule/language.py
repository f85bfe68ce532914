"""The façade people hold: load a model, score in any order, rank, ask for a conditional, explain, grow and fill in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np
import torch

from chainrule._checks import is_whole
from chainrule.basis import Basis
from chainrule.engine.embeddings import embedded
from chainrule.engine.plan import Body, plan
from chainrule.engine.predictors.base import Place
from chainrule.engine.predictors.registry import orderless
from chainrule.errors import InputError, short
from chainrule.forest.permutations import is_several
from chainrule.generation import Generated, Options
from chainrule.results import Conditional, Explanation, Mixture, Mixtures, PseudoScore, Ranked, Score, Scores
from chainrule.results.batch import within_set
from chainrule.results.pseudo import pseudo_scores
from chainrule.scoring.assemble import Settings, score_requests
from chainrule.scoring.in_order import Orders
from chainrule.text.arguments import as_ids, each, many
from chainrule.text.reading import Reading
from chainrule.text.requests import Request, requests

if TYPE_CHECKING:
    from chainrule.verify import Report


def load(
    name: str | Path | None = None,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    start: str | int = "auto",
    threads: int | None = None,
) -> LanguageModel:
    """Load a language model: a packaged one ("smollm2-135m", the default), a folder, a .gguf file, or a hub id.

    `dtype` is float32, bfloat16, float16, float64, or "auto": bfloat16 where the machine computes in it, else float32.
    `start` is "auto", "bos", "eos", "given" or a token id. `threads`: how many to compute with (default: the cores that
    this process may use). Only safetensors and GGUF are read, and no code that comes with a checkpoint is run. On load a
    probe finds the fastest way through the network that agrees with its own forward. A checkpoint may be of a causal model, a
    masked one (BERT …), a two-stream one (XLNet), or an any-order model. Raises ModelError with the remedy.
    """
    from chainrule.models.damage import refusing
    from chainrule.models.load import load_model
    from chainrule.text.tokenizer import Tokenizer

    model, source = load_model(name, dtype=dtype, device=device, threads=threads)
    if source.is_file():
        tokenizer = Tokenizer.load(str(source.parent), gguf_file=source.name)
    else:
        tokenizer = Tokenizer.load(str(source))
    with refusing(str(name or source)):  # the trial is the first to run it
        return LanguageModel(model, tokenizer, start=start)


class LanguageModel(Basis):
    """A model, its tokenizer and its start policy. Everything it returns is in nats unless a name says otherwise."""

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
        if self._engine is None:
            raise InputError(f"{self._no_next_token()}; it takes token ids and masks, and no embeddings: give token ids")
        if options.get("order") is not None or not self.causal:
            raise InputError("embeddings are scored left to right under causal models: give token ids for any other order")
        reading = Reading.of(options.pop("special", None), options.pop("context_special", None))
        request = embedded(self.model, self.tokenizer, text, context, embeddings, reading)
        return self._score([request], start, **options)[0]

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
        found = many(texts)
        return self._scored(found, each(context, len(found)), **options)

    def rank(self, context: Any, candidates: Any, **options: Any) -> list[Ranked]:
        """The candidates behind `context`, best first, each with log Pr(candidate | context). Options as in `score_batch`.

        `within_set` of each is its log probability given besides that it is one of these: normalised within the set.
        """
        if isinstance(candidates, str):
            raise InputError("rank takes a list of candidates; a single text is scored with score(text, context=...)")
        if is_several(options.get("order")):
            raise InputError("rank takes one order; in several, score the candidates with score_batch(..., context=...)")
        candidates = many(candidates, "candidates")
        scores = cast("Scores", self._scored(candidates, [context] * len(candidates), **options))
        order, share = np.argsort(-scores.logprob, kind="stable").tolist(), within_set(scores)
        return [Ranked(i, candidates[i], float(scores.logprob[i]), scores[i], float(share[i])) for i in order]

    def conditional(self, context: Any = None, *, start: str | int | None = None, special: str | None = None) -> Conditional:
        """The distribution of the token that comes next, behind `context` (a text or token ids; None: the first token).

        special: how the names of control symbols in the context are read, as in `score_batch`.
        """
        if self._engine is None:
            raise InputError(
                f"{self._no_next_token()}, and conditional() has none to give: ask for factors with score(), or for a text's "
                "pseudo-log-likelihood"
            )
        chosen, request = self._chosen(start), self._given(context, special)
        ids = np.zeros(0, np.int64) if request is None else request.ids
        if chosen.id is None and not len(ids):
            raise InputError("with a given start, the next token needs a context of one token at least")
        seen, most = len(ids) + (chosen.id is not None), self.model.max_rows
        if most is not None and seen > most:
            raise InputError(
                f"the context has {seen} embeddings, start symbol included, and the model takes {most}: shorten it"
            )
        if self.chain is not None:
            place = Place(np.append(ids, 0), np.arange(len(ids)), len(ids), chosen.id)
            return Conditional(self.chain.conditionals([place])[0], seen, chosen, self.tokenizer, self.model.name)
        body = Body(np.append(ids, 0), len(ids), chosen.id)  # the last token only marks the place that is asked about
        job = plan([body], self.model.max_rows, False, None)
        node = int(job.question.forest.parent_N[job.node_T[0]])
        logprobs = self.engine.distribution(job.question, node)
        return Conditional(logprobs, int(job.context_T[0]), chosen, self.tokenizer, self.model.name)

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
        found = many(texts)
        return self._pseudo(found, each(context, len(found)), **options)

    def explain(self, text: Any, *, context: Any = None, **options: Any) -> Explanation:
        """Each factor of a text, or of a `Score`, written out in the order of prediction, with the running product."""
        if isinstance(text, Mixture) or is_several(options.get("order")):
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
        """Grow a text behind `context` (a text or token ids; None: from the start symbol), token by token.

        method: "greedy" (default), "sample", "beam", or "best": the exactly most probable continuation of bounded length, by
            best-first search, with a certificate, or with a bound where `budget` contexts did not suffice.
        length: the most tokens (default 64, or what the model's context has room for). end: stop at the end symbol (default:
            where the model has one), which is then the last factor; False: it is a token like others; or the id of another.
            stop: a text, or texts, to stop at; the one that was reached is kept.
        samples: how many texts (a list comes back); without it, one. For "best" and "beam": the most probable ones.
        temperature, top_k, top_p, min_p, seed: for "sample"; applied in this order. beams, budget: for "beam" and "best".
        top: alternatives kept in each place. watch: called with each `Step` as the text grows.
        among: texts, of which one is chosen: the most probable, or, with "sample", by their probabilities normalised within
            the set (`altered_logprob`), which temperature and the like alter further. length, stop and beams have no say.
        order: fill the places of a text of `length` tokens in this order (as `score` takes it, one of them), by a model that
            predicts in any order. Such a model grows left to right without it. end and stop are for causal models.
        special: how the names of control symbols in the context and in `among` are read, as in `score_batch`.
        Returns `Generated`, each a Score of the raw model with the numbers that `score` gives. Raises InputError.
        """
        from chainrule.generation.choices import choose_among
        from chainrule.generation.generate import generate
        from chainrule.generation.infill import generate_in_order

        wanted, given, chosen = Options(**options), self._given(context, special), self._chosen(start)
        Settings(top=wanted.top).check(self.model.head.size)
        if among is not None:
            asked = {"start": start, "end": end, "order": order, "top": wanted.top, "special": special}
            made = choose_among(self.rank(context, among, **asked), wanted)
        elif self.causal and (order is None or (isinstance(order, str) and order == "left-to-right")):
            made = generate(self.engine, self.tokenizer, given, chosen, self._end(end), wanted)
        elif end is not None and end is not False:
            raise InputError("in an order the length of the text is given, so no end symbol is predicted: leave end= out")
        else:
            made = generate_in_order(self.any_order, self.tokenizer, given, chosen, order, wanted)
        return made if options.get("samples") is not None else made[0]

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

        wanted, chosen = Options(**options), self._chosen(start)
        Settings(top=wanted.top).check(self.model.head.size)
        reading = Reading.of(special)
        made = infill(self.any_order, self.tokenizer, template, lengths, chosen, order, wanted, reading)
        return made if options.get("samples") is not None else made[0]

    def verify(self, texts: Any = None, *, progress: Callable[[str, int, int], None] | None = None) -> Report:
        """Try on this model and machine, property by property, that the numbers are right; print it, or ask `passed`.

        texts: what to try it on (default: six short texts in several scripts; of any text at most 48 tokens are taken).
        progress: called with the name of the property that comes next, how many are done, and how many there are.
        The slow references are the model's own forwards: unpadded, one sequence at a time, in its own type, in float32 and,
        where memory allows, in float64. Raises InputError for texts that are none.
        """
        from chainrule.verify import verify

        if self._engine is None:
            raise InputError(f"{self._no_next_token()}; the properties that verify tries are those of causal models")
        return verify(self, texts if texts is None or isinstance(texts, str) else many(texts), progress)

    def embed(self, ids: Any) -> torch.Tensor:
        """The token embeddings of `ids`, T × D, as `score(embeddings=...)` takes them."""
        if self._engine is None:
            raise InputError(f"{self._no_next_token()}; it takes token ids and masks, so its embeddings serve for nothing here")
        request = requests([as_ids(ids)], None, None, self.model.embeddings)[0]
        embedding_TD = self.model.embed(torch.from_numpy(request.ids).to(self.model.device))
        return embedding_TD.detach().clone()  # not made in inference mode: what comes back may be written to

    def _scored(
        self,
        texts: list[Any],
        contexts: list[Any],
        *,
        start: str | int | None = None,
        order: Any = None,
        special: str | None = None,
        context_special: str | None = None,
        **options: Any,
    ) -> Scores | Mixtures:
        """`score_batch`, of items with a context each."""
        scores = self._score(self._requests(texts, contexts, special, context_special), start, order=order, **options)
        return Mixtures.of(scores, len(texts)) if order is not None and is_several(order) else scores

    def _requests(
        self, texts: list[Any], contexts: list[Any], special: str | None, context_special: str | None
    ) -> list[Request]:
        reading = Reading.of(special, context_special)
        return requests(texts, contexts, self.tokenizer, self.model.head.size, reading)

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
        return pseudo_scores(orderless(self.any_order), self.tokenizer, made, self.start, **options)

    def _score(
        self,
        made: list[Request],
        start: str | int | None,
        *,
        end: bool | int | None = None,
        order: Any = None,
        seed: int = 0,
        **options: Any,
    ) -> Scores:
        unknown, end_id = options.keys() - {option.name for option in fields(Settings)}, self._resolved_end(end)
        if unknown:
            raise TypeError(f"unknown option: {', '.join(map(repr, sorted(unknown)))}")
        if not is_whole(seed, 0):
            raise InputError(f"seed must be a whole number of 0 or more, not {short(seed)}")
        orders = None
        if self.chain is not None and not self.chain.causal and any(request.segments for request in made):
            raise InputError(
                f"pairs of texts are for causal models, not for {self.model.name}: give one of the two as context="
            )
        if order is not None or not self.causal:
            if end_id is not None and (order is not None or not (self.chain and self.chain.causal)):
                raise InputError(
                    "in an order the length of the text is given, so no end symbol is predicted: leave end= or order= out"
                )
            asked = "left-to-right" if order is None else order
            orders = partial(Orders.of, order=asked, seed=seed, chain=lambda: self.any_order, ordinary=self.causal)
        return score_requests(self.predictor, self.tokenizer, made, self._chosen(start), end_id, Settings(**options), orders)
