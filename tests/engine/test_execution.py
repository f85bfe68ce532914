"""The strategies for running a network: the positions that they compute, and the row from which each factor is read."""

import numpy as np
import pytest
import torch
from forests import branching, build, fixed
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import lineage, prefix_of

from chainrule.engine.engine import STRATEGIES
from chainrule.forest import Forest


class Echo:
    """A network whose hidden state at a position is a number computed from all symbols up to it."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int]] = []
        self.forests = 0

    def hidden(self, embeddings_BTD: torch.Tensor, *, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        self.shapes.append(tuple(embeddings_BTD.shape[:2]))
        if attention_mask is not None:
            lengths = attention_mask.sum(1)
            assert (attention_mask == (torch.arange(attention_mask.shape[1]) < lengths[:, None])).all()  # padded on the right
        hidden, state = torch.zeros_like(embeddings_BTD), torch.zeros(len(embeddings_BTD), 1, dtype=torch.float64)
        for t in range(embeddings_BTD.shape[1]):
            state = torch.sin(state * 7 + embeddings_BTD[:, t] + 1)
            hidden[:, t] = state
        return hidden


def number_of(symbols: tuple[int, ...]) -> float:
    """The hidden state of `Echo` after these symbols."""
    state = torch.zeros((), dtype=torch.float64)
    for symbol in symbols:
        state = torch.sin(state * 7 + symbol + 1)
    return float(state)


def run(forest: Forest, strategy: str, rows: int, wanted_N: np.ndarray | None = None) -> tuple[Echo, list]:
    model = Echo()
    embed = lambda node_R: torch.from_numpy(forest.symbol_N[node_R]).double()[:, None]  # noqa: E731
    wanted_N = forest.depth_N > 0 if wanted_N is None else wanted_N
    jobs = STRATEGIES[strategy](model, forest, wanted_N, embed, rows).jobs
    return model, [part for job in jobs for part in job()]


@settings(max_examples=40)
@given(branching(longest=6), st.sampled_from(["batch", "single"]), st.sampled_from([1, 3, 16, 512]))
def test_each_factor_is_read_once_at_the_end_of_its_context(sequences: list[list[int]], strategy: str, rows: int):
    forest = build(sequences)
    _, parts = run(forest, strategy, rows)
    assert sorted(n for part in parts for n in part.node_F.tolist()) == np.flatnonzero(forest.depth_N > 0).tolist()
    for part in parts:
        for row, node in zip(part.row_F.tolist(), part.node_F.tolist(), strict=True):
            assert float(part.hidden_RH[row]) == pytest.approx(
                number_of(prefix_of(forest, int(forest.parent_N[node]))), abs=1e-12
            )


@settings(max_examples=40)
@given(branching(longest=6), st.sampled_from(["batch", "single"]))
def test_rows_ascend_and_each_context_counts_as_new_once(sequences: list[list[int]], strategy: str):
    forest = build(sequences)
    _, parts = run(forest, strategy, 16)
    assert all(part.row_F.tolist() == sorted(part.row_F) for part in parts)
    assert sum(part.new for part in parts) == (forest.end_N > np.arange(len(forest)) + 1).sum()


@pytest.mark.parametrize("name", fixed())
def test_batches_are_bounded_and_sorted_by_length(name: str):
    forest = build(fixed()[name])
    model, parts = run(forest, "batch", 128)
    assert all(batch == 1 or batch * length <= 128 for batch, length in model.shapes)
    lengths = [length for _, length in model.shapes]
    assert lengths == sorted(lengths, reverse=True)
    assert [part.rows for part in parts] == [batch * length for batch, length in model.shapes]


def test_the_single_strategy_never_pads():
    forest = build(fixed()["documents"])
    model, _ = run(forest, "single", 512)
    assert [length for _, length in model.shapes] == sorted((4 + i + 1 for i in range(40)), reverse=True)
    assert {batch for batch, _ in model.shapes} == {1}


def test_a_context_that_is_a_prefix_of_another_is_not_run_separately():
    """<s> A B C and <s> A D: the contexts are <s>, <s> A and <s> A B, so one sequence of three covers them."""
    model, _ = run(build([[0, 1, 2, 3], [0, 1, 4]]), "batch", 512)
    assert model.shapes == [(1, 3)]


def test_unwanted_factors_are_not_read():
    forest = build([[0, 1, 2, 3], [0, 1, 4]])
    wanted_N = np.zeros(len(forest), bool)
    wanted_N[forest.path(1)[2]] = True
    _, parts = run(forest, "batch", 512, wanted_N)
    assert [part.node_F.tolist() for part in parts] == [[int(forest.path(1)[2])]]
    assert lineage(forest, int(forest.path(1)[2]))[-2] == int(forest.path(0)[1])
