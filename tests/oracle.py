"""Slow, obvious references for the fast paths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from chainrule.forest import Chunk, Forest

Prefix = tuple[int, ...]


def most_probable_ids(logits: Sequence[float], count: int) -> list[int]:
    """The ids of the most probable tokens: by logit, and of equal ones by id."""
    return sorted(range(len(logits)), key=lambda id: (-logits[id], id))[:count]


def distinct_prefixes(sequences: Sequence[Sequence[int]]) -> set[Prefix]:
    """The nodes of the forest of `sequences`, each as the path that leads to it."""
    return {tuple(s[: i + 1]) for s in sequences for i in range(len(s))}


def distinct_contexts(sequences: Sequence[Sequence[int]]) -> set[Prefix]:
    """The contexts that the network has to compute: the prefixes with a token after them."""
    return {tuple(s[:i]) for s in sequences for i in range(1, len(s))}


def prefix_of(forest: Forest, node: int) -> Prefix:
    """The symbols of the path to `node`, including its own."""
    above = prefix_of(forest, int(forest.parent_N[node])) if forest.parent_N[node] >= 0 else ()
    return (*above, int(forest.symbol_N[node]))


def lineage(forest: Forest, node: int, window: int | None = None) -> list[int]:
    """The nodes that `node` attends to: its ancestors, root first, and itself. In a window, only the last `window`."""
    nodes = []
    while node >= 0:
        nodes.append(node)
        node = int(forest.parent_N[node])
    return (nodes if window is None else nodes[:window])[::-1]


def carried(parts: Iterator[Chunk]) -> Iterator[tuple[Chunk, list[int]]]:
    """Each chunk with the nodes whose keys are in the buffers while it runs: the carried path, then its own rows."""
    path: list[int] = []
    for chunk in parts:
        assert len(path) == chunk.path
        yield chunk, [*path, *chunk.node_R.tolist()]
        path = [*path[: chunk.keep], *chunk.node_R[chunk.carry].tolist()]


def attended(chunk: Chunk, keys: list[int], window: int | None = None) -> dict[int, list[int]]:
    """The node of every row of a chunk, with the nodes visible to it: far and near, each row once in every call.

    keys: the nodes whose keys are in the buffers, as `carried` returns them.
    """
    seen: dict[int, list[int]] = {}
    for far in chunk.tiles.far:
        far = far if window is None else far.within(window)
        shown_QK = np.zeros((0, 0), bool) if far is None else far.visible(window or 10**9)
        for row, shown in zip([] if far is None else far.row_Q.tolist(), shown_QK, strict=True):
            assert int(chunk.node_R[row]) not in seen
            seen[int(chunk.node_R[row])] = [keys[k] for k in far.slot_K[shown]]
    once = []
    for near in chunk.tiles.near:
        for b, shown_QK in enumerate(near.visible(window)):
            for q in range(near.count_B[b]):
                node = int(chunk.node_R[near.row_BQ[b, q]])
                once.append(node)
                seen[node] = seen.get(node, []) + [keys[k] for k in near.slot_BK[b][shown_QK[q]]]
    assert sorted(once) == sorted(chunk.node_R.tolist())
    return seen


@torch.inference_mode()
def conditionals(lm: Any, ids: Sequence[int]) -> np.ndarray:
    """log Pr(· | ids[:i + 1]) for every position i, T × V, by the model's own forward of this sequence alone."""
    input_ids = torch.tensor([list(map(int, ids))], device=next(lm.parameters()).device)
    return lm(input_ids=input_ids, use_cache=False).logits[0].double().log_softmax(-1).cpu().numpy()


def factors(lm: Any, ids: Sequence[int]) -> np.ndarray:
    """log Pr(ids[i] | ids[:i]) for i = 1 …; ids[0] is the start symbol or given."""
    return conditionals(lm, ids[:-1])[np.arange(len(ids) - 1), list(ids[1:])]


def factors_in_windows(
    lm: Any, ids: Sequence[int], contexts: Sequence[int], start: int | None, positions: Iterable[int]
) -> np.ndarray:
    """Factors of tokens of `ids`, each by one forward of as many embeddings as `contexts` says.

    contexts: the length of the context of each scored token; these are the last tokens of `ids`. positions: the indices in
    `contexts` of the factors to compute.
    """
    logprobs, first = [], len(ids) - len(contexts)
    for i in positions:
        token, seen = first + i, contexts[i]
        before = [*ids[token - seen : token]] if start is None else [start, *ids[token - seen + 1 : token]]
        assert len(before) == seen
        logprobs.append(conditionals(lm, before)[-1, ids[token]])
    return np.array(logprobs)


def log_softmax(logits: Sequence[float]) -> np.ndarray:
    """By its definition, in float64."""
    z = np.asarray(logits, np.float64)
    return z - z.max() - np.log(np.exp(z - z.max()).sum())


def rank(logprobs: np.ndarray, token: int) -> int:
    """1 for the most probable token. Equally probable tokens have the same rank."""
    return sum(other > logprobs[token] for other in logprobs) + 1


def entropy(logprobs: np.ndarray) -> float:
    """In nats, with 0 · log 0 = 0."""
    return -sum(np.exp(p) * p for p in logprobs if p > -np.inf)


def variance(logprobs: np.ndarray) -> float:
    """Of log Pr under the distribution itself, in nats², with 0 · log 0 = 0."""
    mean = -entropy(logprobs)
    return sum(np.exp(p) * (p - mean) ** 2 for p in logprobs if p > -np.inf)


@torch.inference_mode()
def masked_conditional(own: Any, ids: Sequence[int], seen: Iterable[int], target: int, frame: Any, possible: Any) -> np.ndarray:
    """log Pr(· at `target` | the positions `seen`), V: the own forward of one masked text, with a softmax over `possible`.

    frame: the ids of the symbols (before, after, mask).
    """
    before, after, mask = frame
    text = [int(ids[p]) if p in set(map(int, seen)) else mask for p in range(len(ids))]
    logits = own(input_ids=torch.tensor([[before, *text, after]])).logits[0, target + 1].double().numpy()
    logprob_V = np.full(len(logits), -np.inf)
    logprob_V[list(possible)] = log_softmax(logits[list(possible)])
    return logprob_V


@torch.inference_mode()
def two_stream_conditional(own: Any, ids: Sequence[int], seen: Sequence[int], target: int) -> np.ndarray:
    """log Pr(· at `target` | the positions `seen`, in this order), V, by the own forward with one query."""
    size, dtype = len(ids), own.dtype
    hidden, query = torch.ones(1, size, size, dtype=dtype), torch.zeros(1, 1, size, dtype=dtype)
    for t, position in enumerate(seen):
        for other in seen[:t]:
            hidden[0, int(position), int(other)] = 0
        hidden[0, target, int(position)] = 0
    query[0, 0, target] = 1
    logits = own(torch.tensor([list(map(int, ids))]), perm_mask=hidden, target_mapping=query, use_mems=False).logits[0, 0]
    return logits.double().log_softmax(-1).numpy()


def marginal_conditional(
    joint: dict[tuple[int, ...], float], ids: Sequence[int], seen: Sequence[int], target: int
) -> np.ndarray:
    """log Pr(· at `target` | the positions `seen`), V, by summing the probabilities of whole texts."""
    agree = {text: p for text, p in joint.items() if all(text[s] == ids[s] for s in seen)}
    size = max(max(text) for text in joint) + 1
    sums = np.array([sum(p for text, p in agree.items() if text[target] == v) for v in range(size)])
    with np.errstate(divide="ignore"):
        return np.log(sums / sums.sum()) if sums.sum() else np.full(size, -np.inf)


@torch.inference_mode()
def conditionals_in_order(own: Any, ids: Sequence[int], order: Sequence[int], start: int) -> np.ndarray:
    """log Pr(· | the positions before it in the order) of each token of a text, in the order of prediction, L × V, by the
    any-order model's own forward of this sequence alone."""
    logits = own(torch.tensor([[start, *map(int, ids)]]), torch.tensor([list(map(int, order))])).logits[0]
    return logits.double().log_softmax(-1).numpy()


def factors_in_order(own: Any, ids: Sequence[int], order: Sequence[int], start: int) -> np.ndarray:
    """log Pr of each token of a text for an order of prediction, in the order of the text."""
    logprobs = conditionals_in_order(own, ids, order, start)[np.arange(len(ids)), [ids[position] for position in order]]
    return logprobs[np.argsort(order)]
