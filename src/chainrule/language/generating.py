"""The methods that generate: a continuation, at once or in steps, and the blanks of a text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

from chainrule.engine.question import Settings
from chainrule.generation import Generated, Options, Step, Stream
from chainrule.generation.choices import choose_among
from chainrule.generation.generate import generate
from chainrule.generation.infill import infill
from chainrule.generation.options import Method
from chainrule.generation.stream import stream
from chainrule.language.comparing import Comparing
from chainrule.text.reading import Reading, Special
from chainrule.text.types import Column, Context, OneOrder, StartPolicy, Texts


class Generating(Comparing):
    """`generate`, `stream` and `infill`."""

    # fmt: off
    @overload
    def generate(
        self, context: Context | None = None, *, method: Method = "greedy", max_tokens: int | None = None, n: None = None,
        among: Texts | None = None, stop: str | Column[str] = (), end: bool | int | None = None,
        temperature: float | None = None, top_k: int | None = None, top_p: float | None = None, min_p: float | None = None,
        seed: int | None = None, num_beams: int | None = None, budget: int | None = None, top: int = 0,
        order: OneOrder | str | None = None, start: StartPolicy | int | None = None, special: Special | None = None,
        on_token: Callable[[Step], None] | None = None,
    ) -> Generated: ...
    @overload
    def generate(
        self, context: Context | None = None, *, method: Method = "greedy", max_tokens: int | None = None, n: int,
        among: Texts | None = None, stop: str | Column[str] = (), end: bool | int | None = None,
        temperature: float | None = None, top_k: int | None = None, top_p: float | None = None, min_p: float | None = None,
        seed: int | None = None, num_beams: int | None = None, budget: int | None = None, top: int = 0,
        order: OneOrder | str | None = None, start: StartPolicy | int | None = None, special: Special | None = None,
        on_token: Callable[[Step], None] | None = None,
    ) -> list[Generated]: ...
    def generate(
        self, context: Context | None = None, *, method: Method = "greedy", max_tokens: int | None = None,
        n: int | None = None, among: Texts | None = None, stop: str | Column[str] = (), end: bool | int | None = None,
        temperature: float | None = None, top_k: int | None = None, top_p: float | None = None, min_p: float | None = None,
        seed: int | None = None, num_beams: int | None = None, budget: int | None = None, top: int = 0,
        order: OneOrder | str | None = None, start: StartPolicy | int | None = None, special: Special | None = None,
        on_token: Callable[[Step], None] | None = None,
    ) -> Generated | list[Generated]:
        # fmt: on
        """Generate a text after a context, one token at a time. Returns `Generated`: a Score with the numbers of `score`.

        context: a text or token ids; None: from the start symbol.
        method: "greedy" (default), "sample", "beam" or "best". "best" finds the most probable continuation of bounded length
            by best-first search, with a certificate, or with a bound if `budget` contexts do not suffice.
        max_tokens: the largest number of tokens (default: 64, or as many as fit into the model's context).
        n: the number of texts; a list is returned. For "best" and "beam": the most probable ones.
        among: texts to choose from: the most probable, or, with "sample", one drawn by the probabilities normalised over the
            texts (`sampling_logprob`), after temperature and the like. Without max_tokens, stop and num_beams.
        stop: one or more texts to stop at; the text reached is kept.
        end: stop at the end symbol, whose factor is then the last (the default if the model has one); False: treat it as any
            other token; or the id of another end symbol.
        temperature: for "sample": divide the logits by it.
        top_k: for "sample", after temperature: keep this number of tokens.
        top_p: for "sample", after top_k: keep the most probable tokens that reach this probability.
        min_p: for "sample", after top_p: keep tokens of this share of the largest probability.
        seed: for "sample" (default: a random one, which the result holds), and for a random order.
        num_beams: the width of the beam of "beam" and "best" (default: 4).
        budget: the largest number of contexts that "best" computes (default: 2000).
        top: the number of alternatives to keep at each position.
        order: fill the positions of a text of `max_tokens` tokens in this order, by a model that predicts in any order: a
            permutation of 0, 1 …, "left-to-right", "right-to-left" or "random". Without it, such a model generates from left
            to right. end and stop need a causal model.
        start: the start symbol for this call, in place of the model's default: "bos", "eos", "given" or a token id.
        special: how names of control symbols, such as <|endoftext|>, are read: "text" (default, with a warning) or "parse".
        on_token: called with each `Step`.
        Raises InputError for options that do not fit together or to the model.
        """
        chosen, how = self.scorer.start(start), Options(
            method=method, max_tokens=max_tokens, n=n, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
            seed=seed, num_beams=num_beams, budget=budget, stop=stop, top=top, on_token=on_token,
        )  # fmt: skip
        request = self.scorer.context(context, special)
        Settings(top=top).check(self.model.head.size)
        if among is not None:
            ranked = self.rank(context, among, start=start, end=end, order=order, top=top, special=special)
            texts = choose_among(ranked, how)
        else:
            texts = generate(self.scorer, request, chosen, end, order, how)
        return texts[0] if n is None else texts

    # fmt: off
    def stream(
        self, context: Context | None = None, *, method: Method = "greedy", max_tokens: int | None = None,
        n: int | None = None, stop: str | Column[str] = (), end: bool | int | None = None, temperature: float | None = None,
        top_k: int | None = None, top_p: float | None = None, min_p: float | None = None, seed: int | None = None,
        num_beams: int | None = None, budget: int | None = None, top: int = 0, start: StartPolicy | int | None = None,
        special: Special | None = None,
    ) -> Stream:
        # fmt: on
        """Generate as `generate` does, from left to right, one `Step` at a time. Returns `Stream`, an iterator of steps.

        The steps may be taken between other uses of the model, and need not be taken to the end. The last step of each sample
        has its `finish`; after all steps, `Stream.texts` are the texts. If `invariant`, the factors of the steps have the bits
        of `score`; few texts then take 1.1 to 1.4 times as long as by `generate`, which scores them at the end.

        context: a text or token ids; None: from the start symbol.
        method: "greedy" (default), "sample", "beam" or "best", as in `generate`. A beam or search gives the last token of its
            best hypothesis so far, which the next step may replace.
        max_tokens: the largest number of tokens (default: 64, or as many as fit into the model's context).
        n: the number of texts (default: 1). For "best" and "beam": the most probable ones.
        stop: one or more texts to stop at; the text reached is kept.
        end: stop at the end symbol, whose factor is then the last (the default if the model has one); False: treat it as any
            other token; or the id of another end symbol.
        temperature: for "sample": divide the logits by it.
        top_k: for "sample", after temperature: keep this number of tokens.
        top_p: for "sample", after top_k: keep the most probable tokens that reach this probability.
        min_p: for "sample", after top_p: keep tokens of this share of the largest probability.
        seed: for "sample" (default: a random one, which the result holds).
        num_beams: the width of the beam of "beam" and "best" (default: 4).
        budget: the largest number of contexts that "best" computes (default: 2000).
        top: the number of alternatives to keep at each position.
        start: the start symbol for this call, in place of the model's default: "bos", "eos", "given" or a token id.
        special: how names of control symbols, such as <|endoftext|>, are read: "text" (default, with a warning) or "parse".
        Raises InputError, before the first step, for options that do not fit together or to the model.
        """
        chosen, how = self.scorer.start(start), Options(
            method=method, max_tokens=max_tokens, n=n, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
            seed=seed, num_beams=num_beams, budget=budget, stop=stop, top=top,
        )  # fmt: skip
        Settings(top=top).check(self.model.head.size)
        return stream(self.scorer, self.scorer.context(context, special), chosen, end, how)

    # fmt: off
    @overload
    def infill(
        self, template: str | Sequence[int | None], lengths: int | Column[int] | None = None, *, method: Method = "greedy",
        n: None = None, temperature: float | None = None, top_k: int | None = None, top_p: float | None = None,
        min_p: float | None = None, seed: int | None = None, num_beams: int | None = None, budget: int | None = None,
        top: int = 0, order: OneOrder | str | None = None, start: StartPolicy | int | None = None,
        special: Special | None = None, on_token: Callable[[Step], None] | None = None,
    ) -> Generated: ...
    @overload
    def infill(
        self, template: str | Sequence[int | None], lengths: int | Column[int] | None = None, *, method: Method = "greedy",
        n: int, temperature: float | None = None, top_k: int | None = None, top_p: float | None = None,
        min_p: float | None = None, seed: int | None = None, num_beams: int | None = None, budget: int | None = None,
        top: int = 0, order: OneOrder | str | None = None, start: StartPolicy | int | None = None,
        special: Special | None = None, on_token: Callable[[Step], None] | None = None,
    ) -> list[Generated]: ...
    def infill(
        self, template: str | Sequence[int | None], lengths: int | Column[int] | None = None, *, method: Method = "greedy",
        n: int | None = None, temperature: float | None = None, top_k: int | None = None, top_p: float | None = None,
        min_p: float | None = None, seed: int | None = None, num_beams: int | None = None, budget: int | None = None,
        top: int = 0, order: OneOrder | str | None = None, start: StartPolicy | int | None = None,
        special: Special | None = None, on_token: Callable[[Step], None] | None = None,
    ) -> Generated | list[Generated]:
        # fmt: on
        """Fill the blanks of a text, given the rest, by a model that predicts in any order.

        Returns `Generated`: its `text` is the whole text, and its factors are those of the blanks.

        template: "The ____ sat on the ____", or token ids with None at the positions to fill. Spaces around a blank belong
            to the text: for tokens that begin with their space, write "The____ sat".
        lengths: the number of tokens of each blank (default: 1).
        method: "greedy" (default), "sample", "beam" or "best", as in `generate`.
        n: the number of texts; a list is returned. For "best" and "beam": the most probable ones.
        temperature: for "sample": divide the logits by it.
        top_k: for "sample", after temperature: keep this number of tokens.
        top_p: for "sample", after top_k: keep the most probable tokens that reach this probability.
        min_p: for "sample", after top_p: keep tokens of this share of the largest probability.
        seed: for "sample" (default: a random one, which the result holds), and for a random order.
        num_beams: the width of the beam of "beam" and "best" (default: 4).
        budget: the largest number of contexts that "best" computes (default: 2000).
        top: the number of alternatives to keep at each position.
        order: the order of the tokens of all blanks: a permutation of 0, 1 …, "left-to-right" (default), "right-to-left" or
            "random".
        start: the start symbol for this call, in place of the model's default: "bos", "eos", "given" or a token id.
        special: how names of control symbols, such as <|endoftext|>, are read: "text" (default, with a warning) or "parse".
        on_token: called with each `Step`.
        Raises InputError for options that do not fit together or to the model.
        """
        chosen, reading, how = self.scorer.start(start), Reading.of(special), Options(
            method=method, n=n, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, seed=seed,
            num_beams=num_beams, budget=budget, top=top, on_token=on_token,
        )  # fmt: skip
        Settings(top=top).check(self.model.head.size)
        texts = infill(self.predictor.any_order, self.tokenizer, template, lengths, chosen, order, how, reading)
        return texts[0] if n is None else texts
