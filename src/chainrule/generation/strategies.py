"""The methods of generation, run on a decoding tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.engine.decoding.base import DecodingTree
from chainrule.generation.hypothesis import Hypothesis, Report, StoppingCriteria
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


def run(tree: DecodingTree, criteria: StoppingCriteria, options: Options, report: Report) -> Outcome:
    """Generate by `options.method`."""
    if options.method == "greedy":
        return Outcome([greedy(tree, criteria, options.top, report)[0]], {"method": "greedy"})
    if options.method == "beam":
        hypotheses = beam(tree, criteria, options.width, report)[: options.count]
        return Outcome(hypotheses, {"method": f"beam of {options.width}"})
    if options.method == "best":
        hypotheses, certificate = best(tree, criteria, options.count, options.width, options.max_contexts, report)
        return Outcome(hypotheses, {"method": "best"}, certificate)
    seed = options.chosen_seed()
    hypotheses = sample(tree, criteria, options.top, report, options.count, seed, options.transform)
    return Outcome(hypotheses, {"method": "sample", "sampling": str(options.transform), "seed": seed})


def reporter(options: Options, tokenizer: TokenizerLike | None, before: int) -> Report:
    """A function that passes each new token to `options.on_token`. before: number of embeddings of the prefix."""
    on_token, name = options.on_token, token_formatter(tokenizer)
    if on_token is None:
        return lambda *_: None

    def report(sample: int, hypothesis: Hypothesis) -> None:
        alternatives = []
        if hypothesis.statistics:
            last_token = hypothesis.statistics[-1]
            pairs = zip(last_token.top_ids[0].tolist(), last_token.top_logprobs[0].tolist(), strict=True)
            alternatives = [Alternative(name(id), id, logprob) for id, logprob in pairs]
        step, last = len(hypothesis.ids) - 1, hypothesis.ids[-1]
        on_token(Step(sample, step, before + step, name(last), last, hypothesis.logprobs[-1], hypothesis.logprob, alternatives))

    return report
