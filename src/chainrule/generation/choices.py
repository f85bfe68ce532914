"""Growing one of a closed set of texts: by their probabilities, normalised within the set."""

from __future__ import annotations

import math

import numpy as np
import torch

from chainrule.errors import InputError
from chainrule.generation.options import Options
from chainrule.generation.result import Generated
from chainrule.results.batch import Ranked

_NO_USE = ("max_tokens", "num_beams", "budget", "stop")


def choose_among(ranked: list[Ranked], options: Options) -> list[Generated]:
    """The most probable of the candidates, or samples of them; `ranked` is best first."""
    useless = [name for name in _NO_USE if getattr(options, name) not in (None, ())]
    if useless:
        raise InputError(f"{useless[0]}= has no use among a closed set of texts: each is taken whole")
    ranked = list({r.score.request.key: r for r in reversed(ranked)}.values())[::-1]  # one of each sequence of tokens
    if not ranked or ranked[0].logprob == -math.inf:
        raise InputError(
            "none of the texts to choose among is possible under this model" if ranked else "there is no text to choose among"
        )
    if options.method != "sample":
        if options.count > len(ranked):
            raise InputError(f"{options.count} different texts were asked for, and there are {len(ranked)} to choose among")
        return [_generated(r, options, len(ranked)) for r in ranked[: options.count]]
    seed = options.chosen_seed()
    ids, logq_M = options.transform(torch.tensor([r.within_set for r in ranked], dtype=torch.float64, device="cpu"))
    left = range(len(ranked)) if ids is None else ids.tolist()
    share_M = np.exp(logq_M.numpy())
    draws = [np.random.default_rng([seed, i]).choice(len(left), p=share_M / share_M.sum()) for i in range(options.count)]
    return [_generated(ranked[left[m]], options, len(ranked), float(logq_M[m]), seed) for m in draws]


def _generated(r: Ranked, options: Options, many: int, drawn: float | None = None, seed: int | None = None) -> Generated:
    how = f"normalised within the set of {many} texts"
    return Generated.of(
        r.score,
        method=options.method,
        finish="among",
        running_logprobs=r.score.logprobs,
        sampling=", ".join(filter(None, (how, str(options.transform)))),
        sampling_logprob=r.within_set if drawn is None else drawn,
        seed=seed,
    )
