"""The floor: the model's own matrix products and nothing else, as fast as PyTorch does them here.

Every linear layer of the trunk, and the head, runs on N rows with weights in the dtype given, into memory allocated
before; attention, norms and softmax are left out. No scorer that runs each token through the dense model can be faster.
Trunk and head each take the number of rows that is best for them, and the head the width of vocabulary tile.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from statistics import mean

import torch
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

ROWS = (512, 768, 1024, 1536, 2048)
WHOLE = 1 << 30
TILES = (4096, WHOLE)  # columns of the head at a time: a part, or all


class Products:
    """``best`` says with which (rows, tile) trunk and head are fastest; ``search`` what was tried, in rows/s."""

    def __init__(self, model: Path, dtype: str) -> None:
        disable_progress_bar()
        network = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype))
        head, trunk = network.get_output_embeddings(), network.base_model
        layers = [layer for layer in trunk.modules() if isinstance(layer, torch.nn.Linear)]
        self.weights_IO = {"trunk": [layer.weight.detach().T for layer in layers], "head": [head.weight.detach().T]}
        tried = {"trunk": [(rows, WHOLE) for rows in ROWS], "head": [(rows, tile) for rows in ROWS for tile in TILES]}
        rates = {part: {at: at[0] / min(self._pass(part, *at).times(2)[1:]) for at in tried[part]} for part in tried}
        self.best = {part: max(found, key=found.__getitem__) for part, found in rates.items()}
        self.search = {part: named(found) for part, found in rates.items()}
        self.passes = {part: self._pass(part, *at) for part, at in self.best.items()}
        self.sample()  # to warm up

    def sample(self, passes: int = 2) -> dict[str, float]:
        """Seconds a row takes in the trunk and in the head, now: the mean of some passes."""
        return {part: mean(found.times(passes)) / self.best[part][0] for part, found in self.passes.items()}

    def _pass(self, part: str, rows: int, tile: int) -> Pass:
        return Pass([weight for weight_IO in self.weights_IO[part] for weight in weight_IO.split(tile, dim=1)], rows)


class Pass:
    """``weights_IO`` times ``rows`` rows, with all memory at hand."""

    def __init__(self, weights_IO: list[torch.Tensor], rows: int) -> None:
        like = {"dtype": weights_IO[0].dtype}
        self.weights_IO = weights_IO
        self.inputs = {size: torch.randn(rows, size).to(**like) for size in {weight.shape[0] for weight in weights_IO}}
        self.outputs = {size: torch.zeros(rows, size, **like) for size in {weight.shape[1] for weight in weights_IO}}

    @torch.inference_mode()
    def times(self, passes: int) -> list[float]:
        """Seconds of each pass."""
        found = []
        for _ in range(passes):
            start = time.perf_counter()
            for weight_IO in self.weights_IO:
                torch.mm(self.inputs[weight_IO.shape[0]], weight_IO, out=self.outputs[weight_IO.shape[1]])
            found.append(time.perf_counter() - start)
        return found


def named(rates: dict[tuple[int, int], float]) -> dict[str, float]:
    """By rows, and the columns of a tile where the head is cut into tiles."""
    return {f"{rows}" if tile == WHOLE else f"{rows}, tiles of {tile}": round(rate, 1) for (rows, tile), rate in rates.items()}


def seconds(samples: Iterable[dict[str, float]], rows: int, read: int) -> float:
    """What ``rows`` rows of the trunk and ``read`` rows of the head would take, by the mean of ``samples``."""
    samples = list(samples)
    trunk, head = (mean(sample[part] for sample in samples) for part in ("trunk", "head"))
    return rows * trunk + read * head
