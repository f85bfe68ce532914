"""The floor: the time of the model's own matrix products alone, by the fastest kernel of this machine.

Every linear layer of the trunk, and the head, runs on N rows with weights in one dtype. Attention, norms and softmax are left
out. No scorer that runs each token through the dense model with these kernels can be faster. Trunk and head each use their
fastest kernel and number of rows, and the head its fastest width of a vocabulary tile. The kernels: PyTorch's product, oneDNN's
(which PyTorch has for compiled models), and in float32 chainrule's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from chainrule.ops import native

ROWS = (512, 768, 1024, 1536, 2048)
WHOLE = 1 << 30
TILES = (4096, WHOLE)  # columns of the head at a time: a tile, or all
At = tuple[int, int, str]  # rows, columns of a tile, kernel
Kernel = Callable[[Tensor, Tensor, Tensor], object]  # of rows, a weight and the result


def _of_pytorch(x: Tensor, weight_IO: Tensor, out: Tensor) -> None:
    torch.mm(x, weight_IO, out=out)


def _of_onednn(x: Tensor, weight_IO: Tensor, out: Tensor) -> None:
    torch.ops.mkldnn._linear_pointwise(x, weight_IO.T, None, "none", [], "")


def _of_chainrule(x: Tensor, weight_IO: Tensor, out: Tensor) -> None:
    native.matmul(x, weight_IO, None, out)


KERNELS: dict[str, Kernel] = {"PyTorch": _of_pytorch, "oneDNN": _of_onednn, "chainrule": _of_chainrule}


class Products:
    """``best``: the fastest (rows, tile, kernel) of trunk and head. ``search``: the rows/s of all that were tried."""

    def __init__(self, model: Path, dtype: str) -> None:
        disable_progress_bar()
        network = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype))
        head, trunk = network.get_output_embeddings(), network.base_model
        layers = [layer for layer in trunk.modules() if isinstance(layer, torch.nn.Linear)]
        self.weights_IO = {"trunk": [layer.weight.detach().T for layer in layers], "head": [head.weight.detach().T]}
        wide = dtype == "float32" and bool(native.status())
        kernels = [name for name in KERNELS if name != "chainrule" or wide]
        tried = {
            "trunk": [(rows, WHOLE, kernel) for kernel in kernels for rows in ROWS],
            "head": [(rows, tile, kernel) for kernel in kernels for rows in ROWS for tile in TILES],
        }
        rates = {part: {at: at[0] / min(self._pass(part, *at).times(2)[1:]) for at in tried[part]} for part in tried}
        self.best = {part: max(rate, key=rate.__getitem__) for part, rate in rates.items()}
        self.search = {part: named(rate) for part, rate in rates.items()}
        self.passes = {part: self._pass(part, *at) for part, at in self.best.items()}
        self.sample()  # warm-up

    def sample(self, passes: int = 2) -> dict[str, float]:
        """The current seconds per row in the trunk and in the head: means over some passes."""
        return {part: mean(products.times(passes)) / self.best[part][0] for part, products in self.passes.items()}

    def _pass(self, part: str, rows: int, tile: int, kernel: str) -> Pass:
        weights_IO = [weight for weight_IO in self.weights_IO[part] for weight in weight_IO.split(tile, dim=1)]
        return Pass(weights_IO, rows, KERNELS[kernel])


class Pass:
    """The products of ``rows`` rows with ``weights_IO``, with all memory allocated in advance, but for oneDNN's results."""

    def __init__(self, weights_IO: list[Tensor], rows: int, kernel: Kernel) -> None:
        like = {"dtype": weights_IO[0].dtype}
        self.weights_IO, self.kernel = weights_IO, kernel
        self.inputs = {size: torch.randn(rows, size).to(**like) for size in {weight.shape[0] for weight in weights_IO}}
        self.outputs = {size: torch.zeros(rows, size, **like) for size in {weight.shape[1] for weight in weights_IO}}

    @torch.inference_mode()
    def times(self, passes: int) -> list[float]:
        """Seconds of each pass."""
        times = []
        for _ in range(passes):
            start = time.perf_counter()
            for weight_IO in self.weights_IO:
                self.kernel(self.inputs[weight_IO.shape[0]], weight_IO, self.outputs[weight_IO.shape[1]])
            times.append(time.perf_counter() - start)
        return times


def named(rates: dict[At, float]) -> dict[str, float]:
    """The rates, each named by its kernel, its rows, and the columns of a tile if the head is cut into tiles."""
    return {
        f"{kernel}, {rows}" + ("" if tile == WHOLE else f", tiles of {tile}"): round(rate, 1)
        for (rows, tile, kernel), rate in rates.items()
    }


def seconds(samples: Iterable[dict[str, float]], rows: int, read: int) -> float:
    """Seconds for ``rows`` rows of the trunk and ``read`` rows of the head, by the mean of ``samples``."""
    samples = list(samples)
    trunk, head = (mean(sample[part] for sample in samples) for part in ("trunk", "head"))
    return rows * trunk + read * head
