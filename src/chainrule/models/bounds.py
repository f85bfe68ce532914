"""Limits on the size of a network that a damaged or hostile config asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import get_ident

from torch import Tensor, nn
from torch.nn.modules import module

from chainrule.models.damage import AGAIN, Extent


@contextmanager
def bounded(extent: Extent, packed: bool = False) -> Iterator[None]:
    """Raises ValueError while this thread builds a network, as soon as the network is far larger than the files can fill.

    transformers builds on the meta device and allocates memory afterwards, also for weights that the files lack. Tied heads
    are built separately, so a few times the elements of the files are allowed; packed elements hold several weights each.
    """
    thread, modules, elements, bytes_ = get_ident(), 0, 0, 0
    most_modules = 20_000 + 16 * extent.tensors
    most_elements = (1 << 24) + extent.elements * (64 if packed else 4)
    most_bytes = (1 << 30) + extent.elements * 8  # computed tables

    def check(what: str, count: int, most: int) -> None:
        if count > most:
            raise ValueError(f"its config asks for more {what} than its weights can fill (over {most:,}); {AGAIN}")

    def on_module(owner: nn.Module, name: str, added: nn.Module | None) -> None:
        nonlocal modules
        if get_ident() == thread:
            modules += 1
            check("layers and parts", modules, most_modules)

    def on_parameter(owner: nn.Module, name: str, added: nn.Parameter | None) -> None:
        nonlocal elements
        if get_ident() == thread and added is not None:
            elements += added.numel()
            check("numbers", elements, most_elements)

    def on_buffer(owner: nn.Module, name: str, added: Tensor | None) -> None:
        nonlocal bytes_
        if get_ident() == thread and added is not None:
            bytes_ += added.numel() * added.element_size()
            check("bytes of tables", bytes_, most_bytes)

    with ExitStack() as hooks:
        hooks.enter_context(module.register_module_module_registration_hook(on_module))
        hooks.enter_context(module.register_module_parameter_registration_hook(on_parameter))
        hooks.enter_context(module.register_module_buffer_registration_hook(on_buffer))
        yield
