"""Choice among a closed set of texts, by their probabilities normalised within the set."""

from __future__ import annotations

import math

import numpy as np
import torch

from chainrule.errors import InputError
from chainrule.generation.options import Options
from chainrule.generation.result import Generated
from chainrule.results.batch import Ranked

_UNUSED = ("max_tokens", "num_beams", "budget", "stop")


def choose_among(ranked: list[Ranked], options: Options) -> list[Generated]:
    """The most probable candidates, or samples of them. ranked: most probable first. Raises InputError."""
    unused = [name for name in _UNUSED if getattr(options, name) not in (None, ())]
    if unused:
        raise InputError(f"{unused[0]}= has no effect on a choice among texts, which are taken whole: leave it out")
    ranked = list({r.score.request.key: r for r in reversed(ranked)}.values())[::-1]  # without duplicates
    if not ranked or ranked[0].logprob == -math.inf:
        raise InputError(
            "every text to choose among is impossible under this model" if ranked else "there is no text to choose among"
        )
    if options.method != "sample":
        if options.count > len(ranked):
            raise InputError(f"n={options.count} is more than the {len(ranked)} different texts to choose among")
        return [_generated(r, options, len(ranked)) for r in ranked[: options.count]]
    seed = options.chosen_seed()
    ids, logq_M = options.transform(torch.tensor([r.logprob_within_set for r in ranked], dtype=torch.float64, device="cpu"))
    kept = range(len(ranked)) if ids is None else ids.tolist()
    q_M = np.exp(logq_M.numpy())
    draws = [np.random.default_rng([seed, i]).choice(len(kept), p=q_M / q_M.sum()) for i in range(options.count)]
    return [_generated(ranked[kept[m]], options, len(ranked), float(logq_M[m]), seed) for m in draws]


def _generated(r: Ranked, options: Options, size: int, logprob: float | None = None, seed: int | None = None) -> Generated:
    how = f"normalised within the set of {size} texts"
    return Generated.of(
        r.score,
        method=options.method,
        finish="among",
        running_logprobs=r.score.logprobs,
        sampling=", ".join(filter(None, (how, str(options.transform)))),
        sampling_logprob=r.logprob_within_set if logprob is None else logprob,
        seed=seed,
    )
