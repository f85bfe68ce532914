"""Each distinct pass runs once, with others of equal length, and each distinct conditional is read once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import entropy, log_softmax, rank, variance

from chainrule import ModelError
from chainrule.engine.predictors.forwards import PassBatch, Plan, Reader, Request, head_logprobs
from chainrule.engine.question import Settings
from chainrule.models.head import IdentityHead

V = 6
TEXTS = st.lists(st.integers(0, 2), min_size=1, max_size=4)
QUESTIONS = st.lists(st.tuples(TEXTS, st.integers(0, 3), st.integers(0, 1), st.integers(0, V - 1)), max_size=25)


class Echo:
    """A network whose logits at a position are random, seeded with its whole input."""

    name, device = "echo", torch.device("cpu")

    def __init__(self, spoilt: bool = False) -> None:
        self.ran: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
        self.shapes: list[tuple[int, int]] = []
        self.read, self.spoilt = 0, spoilt

    def run(self, batch: PassBatch) -> torch.Tensor:
        assert (np.diff(batch.pass_C) >= 0).all()
        assert np.unique(batch.pass_C).tolist() == list(range(len(batch.fed_BL)))
        self.shapes.append(batch.fed_BL.shape)
        self.ran += [(tuple(f), tuple(r)) for f, r in zip(batch.fed_BL.tolist(), batch.rank_BL.tolist(), strict=True)]
        self.read += len(batch.pass_C)
        rows = [logits_of(batch.fed_BL[p], batch.rank_BL[p], t) for p, t in zip(batch.pass_C, batch.target_C, strict=True)]
        return torch.from_numpy(np.stack(rows)) * (torch.nan if self.spoilt else 1)


def logits_of(fed: Any, ranks: Any, target: Any) -> np.ndarray:
    seed = [len(fed), int(target), *np.asarray(fed).tolist(), *np.asarray(ranks).tolist()]
    return np.random.default_rng(seed).normal(0, 2, V)


def requests_of(drawn: list) -> list[Request]:
    return [Request(np.array(text), np.full(len(text), ranks), target % len(text)) for text, target, ranks, _ in drawn]


def reader(echo: Echo) -> Reader:
    return Reader(echo, IdentityHead(V, torch.float64), echo.run, lambda length: 2 * length)


def plan(requests: list[Request]) -> Plan:
    return Plan.of(len(requests), requests.__getitem__)


@given(QUESTIONS, st.sampled_from([1, 5, 24, 1000]))
def test_every_factor_is_read_from_its_own_pass(drawn: list, rows: int):
    requests, token_N, echo, seen = requests_of(drawn), np.array([token for *_, token in drawn], np.int64), Echo(), []
    answer = reader(echo).answer(plan(requests), token_N, Settings(top=2, rows=rows, progress=lambda *p: seen.append(p)))
    want = [log_softmax(logits_of(*each)) for each in requests]
    for n, (logprob_V, token) in enumerate(zip(want, token_N.tolist(), strict=True)):
        assert answer.logprobs[n] == pytest.approx(logprob_V[token], abs=1e-12)
        assert answer.ranks[n] == rank(logprob_V, token)
        assert answer.entropies[n] == pytest.approx(entropy(logprob_V), abs=1e-12)
        assert answer.statistics.logprob_variances[n] == pytest.approx(variance(logprob_V), abs=1e-12)
        assert answer.top_ids[n].tolist() == np.argsort(-logprob_V)[:2].tolist()
    passes = {(tuple(a.fed_L.tolist()), tuple(a.rank_L.tolist())) for a in requests}
    conditionals = {(*key, a.target) for a, key in zip(requests, map(key_of, requests), strict=True)}
    assert sorted(echo.ran) == sorted(passes)
    assert (echo.read, answer.contexts) == (len(conditionals), len(conditionals))
    assert answer.rows == sum(2 * len(fed) for fed, _ in passes)
    assert all(count == 1 or count * 2 * length <= rows for count, length in echo.shapes)
    assert seen[-1:] == [(len(conditionals), len(conditionals))][: len(drawn)]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def key_of(request: Request) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return tuple(request.fed_L.tolist()), tuple(request.rank_L.tolist())


@given(QUESTIONS, st.sampled_from([1, 24]))
def test_whole_distributions(drawn: list, rows: int):
    requests, echo = requests_of(drawn), Echo()
    logprobs = reader(echo).conditionals(plan(requests), rows=rows)
    assert logprobs.shape == (len(requests), V)
    for row, each in zip(logprobs, requests, strict=True):
        np.testing.assert_allclose(row, log_softmax(logits_of(*each)), rtol=0, atol=1e-12)
    assert len(echo.ran) == len(set(map(key_of, requests)))


def test_passes_of_equal_length_run_together():
    requests = [
        Request(np.array(text), np.zeros(len(text), np.int64), 0) for text in ([1, 2], [0], [2, 1], [2, 2, 2], [1], [1, 2])
    ]
    echo = Echo()
    reader(echo).conditionals(plan(requests), rows=1000)
    assert echo.shapes == [(2, 1), (2, 2), (1, 3)]


def test_nan_is_an_error():
    requests = requests_of([([1, 2], 0, 0, 3)])
    with pytest.raises(ModelError, match="echo gave NaN for 1 of 1 factors"):
        reader(Echo(spoilt=True)).answer(plan(requests), np.array([3]), Settings())
    with pytest.raises(ModelError, match="echo gave NaN for 6 of 6 factors"):
        reader(Echo(spoilt=True)).conditionals(plan(requests), rows=None)


def test_the_log_probabilities_of_a_head():
    hidden = torch.from_numpy(np.random.default_rng(0).normal(0, 3, (5, V)))
    logprobs = head_logprobs(IdentityHead(V, torch.float64), hidden)
    np.testing.assert_allclose(logprobs, [log_softmax(row) for row in hidden.numpy()], rtol=0, atol=1e-12)
