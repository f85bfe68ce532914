"""Modules of a network that a compiled kernel computes in one pass over memory, where PyTorch takes three to eight.

    RMS norms                    x / √(mean x² + eps) · (weight + offset)
    activations                  x · σ(linear · x + cubic · x³)
    gated feed-forward layers    down(activation(gate(x)) · up(x))

There is no list of architectures: a module with matching parts is compared with its own forward, and replaced if the two agree
to rounding. Modules are replaced in a copy of the network (`models.transformer`), never in the user's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.ops import native
from chainrule.ops.rounding import same_but_rounding
from chainrule.ops.sealed import sealed, unless_memory

Forward = Callable[..., Any]

GELU = 2 * math.sqrt(2 / math.pi)
ACTIVATIONS = ((1.0, 0.0), (GELU, GELU * 0.044715), (1.702, 0.0))  # linear and cubic of SiLU, GELU by tanh, quick GELU
_PLAIN = (int, float, str, torch.dtype, type(None))
ROWS = 3  # of a trial
SCALES = (1e-4, 1e-2, 1.0, 30.0, 1e3, 1e4)  # of the trial's numbers: a clamp shows only in large ones, an eps in small ones
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2.0**-6}  # relative to the largest number: a few roundings


def replace_modules(trunk: nn.Module) -> list[nn.Module]:
    """Replace the modules that a kernel can compute in a trunk that belongs to the caller alone. Returns those modules."""
    replacements: list[tuple[nn.Module, Forward]] = []
    if native.supports(torch.zeros(1, dtype=torch.float32, device="cpu")):
        tried: dict[Any, int | None] = {}
        replacements = [(module, forward) for module in trunk.modules() if (forward := _replacement(module, tried))]
    for module, forward in replacements:  # after all trials: a layer is compared with its own parts unchanged
        module.forward = forward
    return [module for module, _ in replacements]


@sealed
def _replacement(module: nn.Module, tried: dict[Any, int | None]) -> Forward | None:
    """The forward of a kernel that agrees with the module's own; None if there is none.

    Only one module of each kind is tried: layers of a kind differ in their weights, not in the function they compute.
    """
    if "forward" in module.__dict__:  # replaced already
        return None
    candidates = list(_candidates(module))
    if not candidates:
        return None
    if (kind := _kind(module)) not in tried:
        agreeing = (at for at, (forward, width) in enumerate(candidates) if _agrees(module, forward, width))
        tried[kind] = next(agreeing, None)
    at = tried[kind]
    return None if at is None else candidates[at][0]


def _kind(module: nn.Module) -> Any:
    """Everything but the values of the weights that may decide which function a module computes."""
    settings = [
        (name, value if isinstance(value, _PLAIN) else id(value)) for name, value in vars(module).items() if name[0] != "_"
    ]
    weights = [(name, p.shape, p.dtype) for name, p in module.named_parameters(recurse=False)]
    return type(module), *settings, *weights, *((name, _kind(child)) for name, child in module.named_children())


def _candidates(module: nn.Module) -> Iterator[tuple[Forward, int]]:
    """Forwards that the module's parts suggest, each with the width of the module's input."""
    parameters, children = dict(module.named_parameters(recurse=False)), dict(module.named_children())
    if not children and parameters.keys() == {"weight"} and parameters["weight"].ndim == 1:
        eps = [e for name in ("variance_epsilon", "eps", "epsilon") if isinstance(e := getattr(module, name, None), float)]
        for offset in (0.0, 1.0) if eps else ():
            yield _norm(module, eps[0], offset), len(parameters["weight"])
    elif constants := _activation_of(module):
        yield _activation(module, *constants), 64
    elif children.keys() >= {"gate_proj", "up_proj", "down_proj", "act_fn"} and not parameters:
        constants, gate = _activation_of(children["act_fn"]), children["gate_proj"]
        if constants and isinstance(gate, nn.Linear):
            yield _gated(module, *constants), gate.in_features


def _norm(module: nn.Module, eps: float, offset: float) -> Forward:
    own = module.forward

    def forward(x: Tensor, *others: Any, **more: Any) -> Any:
        weight: Any = module.weight
        if others or more or not native.supports(x, weight):
            return own(x, *others, **more)
        return native.rms_norm(x, weight, eps, offset)

    return forward


def _activation(module: nn.Module, linear: float, cubic: float) -> Forward:
    own = module.forward

    def forward(x: Tensor) -> Tensor:
        return native.gate(x, None, linear, cubic) if native.supports(x) else own(x)

    return forward


def _gated(module: Any, linear: float, cubic: float) -> Forward:
    own = module.forward

    def forward(x: Tensor, *others: Any, **more: Any) -> Any:
        if others or more or not native.supports(x):
            return own(x, *others, **more)
        gate, up = module.gate_proj(x), module.up_proj(x)
        if not native.supports(gate, up):
            return own(x)
        return module.down_proj(native.gate(gate, up, linear, cubic, out=gate))

    return forward


def _activation_of(module: nn.Module) -> tuple[float, float] | None:
    """The constants of an activation x · σ(linear · x + cubic · x³); None for others. float32 distinguishes kinds of GELU."""
    if type(module).__module__ not in ("transformers.activations", "torch.nn.modules.activation"):
        return None
    x = torch.linspace(-9, 9, 64, dtype=torch.float32, device="cpu")
    try:
        own = module(x)
    except Exception as error:  # it takes more than one tensor
        unless_memory(error)
        return None
    return next((c for c in ACTIVATIONS if _close(native.gate(x, None, *c), own)), None)


def _agrees(module: nn.Module, forward: Forward, width: int) -> bool:
    """Whether a forward agrees with the module's own on numbers of all sizes, in an input of several dimensions."""
    dtype = next((p.dtype for p in module.parameters()), torch.float32)
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, 1, width, generator=draw, dtype=torch.float32, device="cpu")
    x = (x * torch.tensor(SCALES, dtype=torch.float32, device="cpu")[:, None]).to(dtype)  # all sizes in one call
    try:
        return _close(forward(x), module(x))
    except Exception as error:  # the module may need other arguments
        unless_memory(error)
        return False


def _close(result: Any, own: Any) -> bool:
    """Whether they agree to rounding, relative to the largest number of each column of rows, with the same infinities."""
    if not isinstance(own, Tensor) or own.dtype not in TOLERANCE or (result.dtype, result.shape) != (own.dtype, own.shape):
        return False
    return same_but_rounding(result.float(), own.float(), TOLERANCE[own.dtype], (0, -1) if own.ndim > 1 else (0,))
