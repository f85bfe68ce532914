"""Three strategies for running a network over a forest. All give the same factors.

    forest   the contexts of the whole forest in preorder, one chunk at a time: each distinct context is computed once
    batch    root-to-leaf contexts through the model's own forward, right-padded (state-space models, relative biases …)
    single   as batch, one sequence at a time, for models whose results padding would change

Each gives jobs: parts of the forest that do not depend on each other. A job yields hidden states, with the factors to be read
from them.

Shapes: R rows, B sequences, T positions, D width of an embedding, H of a hidden state, F factors, N nodes of the forest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from chainrule._types import Bools, Ints
from chainrule.engine.attention.joined import JoinedLayout
from chainrule.engine.attention.kv_cache import Kept, KVCache
from chainrule.engine.attention.layout import Layout, RowsLayout
from chainrule.engine.prefixes.reuse import Reuse
from chainrule.forest import Chunk, Forest
from chainrule.forest.chunks import Rows
from chainrule.forest.parts import Part, joined, parts
from chainrule.models.base import Model
from chainrule.ops.matmul import pads_rows
from chainrule.ops.transfer import sent

Embed = Callable[[Ints], Tensor]  # nodes of the forest → their embeddings


@dataclass(frozen=True)
class HiddenStates:
    """Hidden states of R rows. Factor f belongs to node_F[f] and is read from row row_F[f]; `row_F` ascends."""

    hidden_RH: Tensor
    row_F: Ints
    node_F: Ints
    rows: int  # rows that were computed, padding included
    new: int  # contexts that were computed for the first time


@dataclass(frozen=True)
class CachedPrefix:
    """The first rows of a forest, all on one path, computed earlier or by other threads. Their keys and values are in `cache`,
    root first."""

    cache: KVCache
    rows: int


class Jobs(NamedTuple):
    """Parts of a forest, and how many of them to compute at a time so that `threads` threads take the least time."""

    jobs: list[Callable[[], Iterator[HiddenStates]]]
    workers: int = 1


def forest_jobs(
    model: Model,
    forest: Forest,
    wanted_N: Bools,
    embed: Embed,
    rows: int,
    threads: int = 1,
    cached_prefix: CachedPrefix | None = None,
    reuse: Reuse | None = None,
) -> Jobs:
    """Parts of the contexts in preorder. `cached_prefix` is above all of them, and they are then one part. `reuse` has rows
    that need not be computed; their factors are a job of their own."""
    all_rows = Rows.of(forest, wanted_N)
    if cached_prefix is not None:
        return Jobs([partial(_run_chunks, model, all_rows, embed, rows, cached_prefix)])
    known_R = None if reuse is None else reuse.known_N[all_rows.node_R]
    of_parts, workers = parts(all_rows, rows, threads, width=model.width, padded=pads_rows(model), known_R=known_R)
    jobs = [] if reuse is None else _known_jobs(all_rows, reuse)
    if reuse is not None and (together := joined(of_parts, rows, threads)) is not None:
        groups, workers = together
        return Jobs([*jobs, *(partial(_run_joined, model, group, embed, reuse) for group in groups)], workers)
    for part in of_parts:
        cache = KVCache(int(part.rows.depth_R.max(initial=0)) + rows, len(part.bounds) - 1, _kept_above(part, reuse))
        for first, stop in pairwise(part.bounds):
            jobs.append(partial(_run_segment, model, part.rows, embed, rows, CachedPrefix(cache, first), stop, reuse))
    return Jobs(jobs, workers)


def _known_jobs(all_rows: Rows, reuse: Reuse) -> list[Callable[[], Iterator[HiddenStates]]]:
    """A job that gives the hidden states of known rows, if factors are to be read from them."""
    factor_F = np.flatnonzero(reuse.known_N[all_rows.node_R[all_rows.row_F]])
    row_U, row_F = np.unique(all_rows.row_F[factor_F], return_inverse=True)

    def known() -> Iterator[HiddenStates]:
        yield HiddenStates(reuse.hidden(all_rows.node_R[row_U]), row_F, all_rows.node_F[factor_F], 0, 0)

    return [known] if len(factor_F) else []


def _kept_above(part: Part, reuse: Reuse | None) -> list[Kept]:
    """The keys and values of the known rows above a part."""
    known = part.bounds[0]
    return [] if reuse is None or not known else reuse.above(int(part.rows.node_R[known - 1])).kept


def _run_joined(model: Model, group: list[Part], embed: Embed, reuse: Reuse) -> Iterator[HiddenStates]:
    """Parts of a chunk each, in one run of the network: the weights are read once for all of them."""
    chunks = [part.rows.chunk(part.bounds[0], part.bounds[-1], np.arange(part.bounds[0]))[0] for part in group]
    size = sum(chunk.path + len(chunk) for chunk in chunks)
    cache = KVCache(size, above=[kept for part in group for kept in _kept_above(part, reuse)])
    layout = JoinedLayout(chunks, cache, model.device)
    depth_R, node_R = (np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in ("depth_R", "node_R"))
    hidden_RH = run_rows(model, depth_R, layout, embed(node_R))
    for chunk, first in zip(chunks, layout.first_rows, strict=True):
        reuse.take(chunk, hidden_RH[first : first + len(chunk)], cache, layout.path + first)
    row_F = np.concatenate([chunk.row_F + first for chunk, first in zip(chunks, layout.first_rows, strict=True)])
    node_F = np.concatenate([chunk.node_F for chunk in chunks])
    yield HiddenStates(hidden_RH, row_F, node_F, len(depth_R), sum(chunk.new for chunk in chunks))
    cache.release()


def _run_segment(
    model: Model, part: Rows, embed: Embed, rows: int, above: CachedPrefix, stop: int, reuse: Reuse | None
) -> Iterator[HiddenStates]:
    yield from _run_chunks(model, part, embed, rows, above, stop, reuse)
    above.cache.release()


def _run_chunks(
    model: Model,
    part: Rows,
    embed: Embed,
    rows: int,
    above: CachedPrefix,
    stop: int | None = None,
    reuse: Reuse | None = None,
) -> Iterator[HiddenStates]:
    """Chunks of `rows` contexts, after the rows above them and before `stop`. The path is cached between chunks."""
    for chunk in part.chunks(rows, above.rows, stop):
        hidden_RH = run_chunk(model, chunk, Layout(chunk, above.cache, model.device), embed(chunk.node_R), reuse)
        yield HiddenStates(hidden_RH, chunk.row_F, chunk.node_F, len(chunk), chunk.new)


def run_chunk(model: Model, chunk: Chunk, layout: Layout, inputs_RD: Tensor, reuse: Reuse | None = None) -> Tensor:
    """Hidden states of the rows of a chunk, R × H. Afterwards the cache holds the path of the next chunk."""
    hidden_RH = run_rows(model, chunk.depth_R, layout, inputs_RD)
    if reuse is not None:
        reuse.take(chunk, hidden_RH, layout.cache, chunk.path)
    layout.cache.keep_path(chunk)
    return hidden_RH


def run_rows(model: Model, depth_R: Ints, layout: RowsLayout, inputs_RD: Tensor, *, same_bits: bool = True) -> Tensor:
    """Hidden states of rows at these depths, R × H. The caller decides which of their keys and values the cache keeps."""
    position = sent(depth_R, model.device)[None]
    return layout.as_current(partial(model.hidden, inputs_RD[None], same_bits=same_bits, position_ids=position))[0]


def batch_jobs(
    model: Model, forest: Forest, wanted_N: Bools, embed: Embed, rows: int, threads: int = 1, *, padded: bool = True
) -> Jobs:
    """All contexts as one job. The bits of these models may depend on the number of threads, so there are no parts."""
    return Jobs([partial(run_batches, model, forest, wanted_N, embed, rows, padded=padded)])


def run_batches(
    model: Model, forest: Forest, wanted_N: Bools, embed: Embed, rows: int, *, padded: bool = True
) -> Iterator[HiddenStates]:
    """Batches of at most `rows` positions (or one sequence), longest first. A shared context is read only the first time."""
    factors = _factors_by_context(forest, wanted_N)
    read_N = np.zeros(len(forest), bool)
    for leaves in _batches(_last_contexts(forest), forest.depth_N, rows, padded):
        path_B = [np.append(forest.ancestors(leaf), leaf) for leaf in leaves]
        length = max(len(path) for path in path_B)
        node_BT = np.stack([np.pad(path, (0, length - len(path)), mode="edge") for path in path_B])
        real_BT = np.arange(length) < np.array([[len(path)] for path in path_B])
        mask_BT = sent(real_BT, model.device)
        options: dict[str, Any] = {} if real_BT.all() else {"attention_mask": mask_BT.long()}
        hidden_BTH = model.hidden(embed(node_BT.reshape(-1)).unflatten(0, node_BT.shape), **options)
        row_F, node_F, new = _unread_factors(path_B, length, read_N, factors)
        yield HiddenStates(hidden_BTH.flatten(0, 1), row_F, node_F, node_BT.size, new)


def _factors_by_context(forest: Forest, wanted_N: Bools) -> dict[int, list[int]]:
    """The wanted children of each context that has any."""
    factors: dict[int, list[int]] = {}
    for node in np.flatnonzero(wanted_N).tolist():
        factors.setdefault(int(forest.parent_N[node]), []).append(node)
    return factors


def _last_contexts(forest: Forest) -> list[int]:
    """The contexts that are not a prefix of another context."""
    is_context_N = forest.end_N > np.arange(len(forest)) + 1
    extended_N = np.zeros(len(forest), bool)
    parents = forest.parent_N[is_context_N]
    extended_N[parents[parents >= 0]] = True
    return np.flatnonzero(is_context_N & ~extended_N).tolist()


def _batches(leaves: list[int], depth_N: Ints, rows: int, padded: bool) -> Iterator[list[int]]:
    leaves = sorted(leaves, key=lambda leaf: (-int(depth_N[leaf]), leaf))
    while leaves:
        count = max(1, rows // (int(depth_N[leaves[0]]) + 1)) if padded else 1
        yield leaves[:count]
        leaves = leaves[count:]


def _unread_factors(path_B: list[Ints], length: int, read_N: Bools, factors: dict[int, list[int]]) -> tuple[Ints, Ints, int]:
    """Rows and nodes of the factors whose contexts are new in this batch, and the number of new contexts. Updates `read_N`."""
    row_F, node_F, new = [], [], 0
    for b, path in enumerate(path_B):
        for t in np.flatnonzero(~read_N[path]).tolist():
            nodes = factors.get(int(path[t]), [])
            row_F += [b * length + t] * len(nodes)
            node_F += nodes
            new += 1
        read_N[path] = True
    return np.array(row_F, np.int64), np.array(node_F, np.int64), new
