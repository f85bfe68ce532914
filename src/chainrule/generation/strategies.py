"""The methods of generation, run on a decoding tree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.engine.decoding.base import DecodingTree
from chainrule.generation.hypothesis import Hypothesis, Steps, StoppingCriteria
from chainrule.generation.options import Options
from chainrule.generation.result import Step
from chainrule.generation.sampling import greedy, sample
from chainrule.generation.search import Certificate, beam, best
from chainrule.results.conditional import Alternative
from chainrule.text.base import TokenizerLike, token_formatter


@dataclass(frozen=True)
class Outcome:
    """The finished hypotheses, and how they were generated."""

    hypotheses: list[Hypothesis]
    method: dict[str, Any]  # fields of each `Generated`
    certificate: Certificate | None = None

    def fields_of(self, hypothesis: Hypothesis) -> dict[str, Any]:
        """The fields of a `Generated` that say how it was generated."""
        sampling = float(np.sum(hypothesis.sampling_logprobs)) if hypothesis.sampling_logprobs else None
        own = {"finish": hypothesis.finish, "running_logprobs": np.array(hypothesis.logprobs), "sampling_logprob": sampling}
        return self.method | own | {"certificate": self.certificate}


def run(tree: DecodingTree, criteria: StoppingCriteria, options: Options) -> Steps[Outcome]:
    """Generate by `options.method`."""
    if options.method == "greedy":
        return Outcome((yield from greedy(tree, criteria, options.top)), {"method": "greedy"})
    if options.method == "beam":
        hypotheses = yield from beam(tree, criteria, options.width)
        return Outcome(hypotheses[: options.count], {"method": f"beam of {options.width}"})
    if options.method == "best":
        hypotheses, certificate = yield from best(tree, criteria, options.count, options.width, options.max_contexts)
        return Outcome(hypotheses, {"method": "best"}, certificate)
    seed = options.chosen_seed()
    hypotheses = yield from sample(tree, criteria, options.top, options.count, seed, options.transform)
    return Outcome(hypotheses, {"method": "sample", "sampling": str(options.transform), "seed": seed})


def reporter(options: Options, tokenizer: TokenizerLike | None, before: int) -> Callable[[int, Hypothesis], None]:
    """A function that passes each new token to `options.on_token`. before: number of embeddings of the prefix."""
    on_token, step_of = options.on_token, stepper(tokenizer, before)
    if on_token is None:
        return lambda *_: None
    return lambda sample, hypothesis: on_token(step_of(sample, hypothesis))


def stepper(tokenizer: TokenizerLike | None, before: int) -> Callable[[int, Hypothesis], Step]:
    """A function that makes the `Step` of a new token. before: number of embeddings of the prefix."""
    name = token_formatter(tokenizer)

    def step_of(sample: int, hypothesis: Hypothesis) -> Step:
        alternatives = []
        if hypothesis.statistics:
            last_token = hypothesis.statistics[-1]
            pairs = zip(last_token.top_ids[0].tolist(), last_token.top_logprobs[0].tolist(), strict=True)
            alternatives = [Alternative(name(id), id, logprob) for id, logprob in pairs]
        step, last = len(hypothesis.ids) - 1, hypothesis.ids[-1]
        logprobs = hypothesis.logprobs[-1], hypothesis.logprob
        return Step(sample, step, before + step, name(last), last, *logprobs, alternatives, hypothesis.finish)

    return step_of
