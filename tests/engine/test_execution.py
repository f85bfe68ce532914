"""The two ways through a network: which places they compute, and where each factor is read."""

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
    """A network whose hidden state at a place says which symbols it has seen there: a number for the path down to it."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int]] = []
        self.forests = 0

    def hidden(self, embeddings_BTD: torch.Tensor, *, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        self.shapes.append(tuple(embeddings_BTD.shape[:2]))
        if attention_mask is not None:
            lengths = attention_mask.sum(1)
            assert (attention_mask == (torch.arange(attention_mask.shape[1]) < lengths[:, None])).all()  # padded on the right
        hidden, seen = torch.zeros_like(embeddings_BTD), torch.zeros(len(embeddings_BTD), 1, dtype=torch.float64)
        for t in range(embeddings_BTD.shape[1]):
            seen = torch.sin(seen * 7 + embeddings_BTD[:, t] + 1)
            hidden[:, t] = seen
        return hidden


def heard(symbols: tuple[int, ...]) -> float:
    seen = torch.zeros((), dtype=torch.float64)
    for symbol in symbols:
        seen = torch.sin(seen * 7 + symbol + 1)
    return float(seen)


def steps(forest: Forest, path: str, rows: int, wanted_N: np.ndarray | None = None) -> tuple[Echo, list]:
    model = Echo()
    embed = lambda node_R: torch.from_numpy(forest.symbol_N[node_R]).double()[:, None]  # noqa: E731
    wanted_N = forest.depth_N > 0 if wanted_N is None else wanted_N
    return model, list(STRATEGIES[path](model, forest, wanted_N, embed, rows))


@settings(max_examples=40)
@given(branching(longest=6), st.sampled_from(["batch", "single"]), st.sampled_from([1, 3, 16, 512]))
def test_each_factor_is_read_once_where_its_context_ends(sequences: list[list[int]], path: str, rows: int):
    forest = build(sequences)
    _, found = steps(forest, path, rows)
    assert sorted(n for step in found for n in step.node_F.tolist()) == np.flatnonzero(forest.depth_N > 0).tolist()
    for step in found:
        for row, node in zip(step.row_F.tolist(), step.node_F.tolist(), strict=True):
            assert float(step.hidden_RH[row]) == pytest.approx(heard(prefix_of(forest, int(forest.parent_N[node]))), abs=1e-12)


@settings(max_examples=40)
@given(branching(longest=6), st.sampled_from(["batch", "single"]))
def test_rows_ascend_and_every_context_is_new_once(sequences: list[list[int]], path: str):
    forest = build(sequences)
    _, found = steps(forest, path, 16)
    assert all(step.row_F.tolist() == sorted(step.row_F) for step in found)
    assert sum(step.new for step in found) == (forest.end_N > np.arange(len(forest)) + 1).sum()


@pytest.mark.parametrize("name", fixed())
def test_batches_are_bounded_and_of_like_length(name: str):
    forest = build(fixed()[name])
    model, found = steps(forest, "batch", 128)
    assert all(batch == 1 or batch * length <= 128 for batch, length in model.shapes)
    lengths = [length for _, length in model.shapes]
    assert lengths == sorted(lengths, reverse=True)
    assert [step.rows for step in found] == [batch * length for batch, length in model.shapes]


def test_one_at_a_time_is_never_padded():
    forest = build(fixed()["documents"])
    model, _ = steps(forest, "single", 512)
    assert [length for _, length in model.shapes] == sorted((4 + i + 1 for i in range(40)), reverse=True)
    assert {batch for batch, _ in model.shapes} == {1}


def test_only_the_contexts_that_no_other_extends_are_run():
    """<s> A B C and <s> A D: the contexts are <s>, <s> A, <s> A B, so a single sequence of three says it all."""
    model, _ = steps(build([[0, 1, 2, 3], [0, 1, 4]]), "batch", 512)
    assert model.shapes == [(1, 3)]


def test_what_is_not_wanted_is_not_read():
    forest = build([[0, 1, 2, 3], [0, 1, 4]])
    wanted_N = np.zeros(len(forest), bool)
    wanted_N[forest.path(1)[2]] = True
    _, found = steps(forest, "batch", 512, wanted_N)
    assert [step.node_F.tolist() for step in found] == [[int(forest.path(1)[2])]]
    assert lineage(forest, int(forest.path(1)[2]))[-2] == int(forest.path(0)[1])
