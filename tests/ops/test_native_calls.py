"""Arguments of the compiled kernels: the C code checks nothing, so everything is checked before it is called."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from chainrule.ops import native
from chainrule.ops.library import build
from chainrule.ops.native import tables

pytestmark = pytest.mark.skipif(not native.status(), reason=f"no compiled kernels: {native.status().reason}")


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)


def path(rows: int = 3, share: int = 2) -> dict[str, Any]:
    """Arguments of `native.attention`: the rows of one path, with two groups of heads."""
    return {
        "query_HRD": draw(2 * share, rows, 8),
        "key_KGD": draw(rows, 2, 8, seed=1),
        "value_KGD": draw(rows, 2, 8, seed=2),
        "table_B6": np.array([[0, rows, 0, 0, 0, 0]]),
        "task_A2": np.array([[0, lane] for lane in range(0, rows * share, native.queries())]),
        "slots": np.arange(rows),
        "scaling": 0.5,
        "window": 0,
        "softcap": 0.0,
    }


@pytest.fixture(params=[torch.float64, torch.bfloat16])
def other_default(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield
    torch.set_default_dtype(before)


def outputs_of_all_kernels() -> list[Tensor]:
    logits, out = draw(5, 70), torch.zeros(3, 9, dtype=torch.float32)
    native.few_rows(draw(3, 8), draw(9, 8, seed=1), out)
    return [
        *native.moments(logits),
        native.count_greater(logits, logits[:, 3]),
        *native.attention(**path(40)),
        native.rms_norm(logits, draw(70), 1e-6),
        native.gate(logits, None, 1.0, 0.0),
        out,
    ]


@pytest.mark.usefixtures("other_default")
def test_the_defaults_of_torch_have_no_effect():
    now = torch.get_default_dtype()
    with torch.device("meta"):
        found = [*native.moments(draw_on_cpu(5, 70)), native.attention(**on_cpu(path))[1]]
    assert [(x.dtype, x.device.type) for x in found] == [(torch.float32, "cpu")] * 5
    found = outputs_of_all_kernels()
    torch.set_default_dtype(torch.float32)
    assert all(map(torch.equal, found, outputs_of_all_kernels()))
    torch.set_default_dtype(now)


def draw_on_cpu(*shape: int) -> Tensor:
    with torch.device("cpu"):
        return draw(*shape)


def on_cpu(make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    with torch.device("cpu"):
        return make()


class Scaled(Tensor):
    """A tensor whose memory does not hold its values."""


NOT_PLAIN = {
    "a subclass": lambda x: x.as_subclass(Scaled),
    "sparse": lambda x: x.to_sparse(),
    "on another device": lambda x: x.to("meta"),
    "a negated view": lambda x: torch._neg_view(x),
    "of mkldnn": lambda x: x.to_mkldnn(),
    "with gradients": lambda x: x.requires_grad_(),
}


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_only_plain_tensors_are_supported(name: str):
    x, y, other = draw(8, 8), draw(8, 8), NOT_PLAIN[name](draw(8, 8))
    assert native.supports(x, y) == native.supports_rows(x) == native.supports_few(x, y) is True
    assert not native.supports(other)
    assert not native.supports(x, other)
    assert not native.supports_rows(other)
    assert not native.supports_few(other, y)
    assert not native.supports_few(x, other)
    with pytest.raises(ValueError, match=r"plain, contiguous torch.float32 tensor on the CPU"):
        native.gate(other, None, 1.0, 0.0)
    with pytest.raises(ValueError, match="logits_MV must be a plain float32 matrix"):
        native.moments(other)
    with pytest.raises(ValueError, match="out_MN must be a plain float32 matrix"):
        native.few_rows(x, y, other)


def test_parameters_are_plain():
    with torch.no_grad():
        assert native.supports(nn.Parameter(draw(8, 8)), draw(8, 8))


@pytest.mark.parametrize("name", NOT_PLAIN)
@pytest.mark.parametrize("which", ["query_HRD", "key_KGD", "value_KGD"])
def test_attention_takes_plain_tensors_only(name: str, which: str):
    arguments = path()
    qkv = [arguments["query_HRD"], arguments["key_KGD"], arguments["value_KGD"]]
    assert native.supports_attention(*qkv)
    arguments[which] = NOT_PLAIN[name](arguments[which])
    assert not native.supports_attention(arguments["query_HRD"], arguments["key_KGD"], arguments["value_KGD"])


def test_attention_of_one_path_is_right():
    for rows in (1, 3, 100):
        arguments = path(rows)
        out, lse = native.attention(**arguments)
        key, value = (arguments[name].double().repeat_interleave(2, 1).transpose(0, 1) for name in ("key_KGD", "value_KGD"))
        score = (arguments["query_HRD"].double() @ key.mT * 0.5).masked_fill(torch.ones(rows, rows).triu(1).bool(), -torch.inf)
        torch.testing.assert_close(out.double(), (score.softmax(-1) @ value).transpose(0, 1), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(lse.double(), score.logsumexp(-1).T, rtol=1e-5, atol=1e-6)


def test_a_window_longer_than_any_path_hides_nothing():
    for window in (2**30, 2**31, 2**32 + 1, 2**40):  # depths are 32-bit integers in the kernel
        assert torch.equal(native.attention(**path(100) | {"window": window})[0], native.attention(**path(100))[0])


WRONG = {
    "heads": ({"query_HRD": draw(3, 3, 8)}, "H a multiple of G"),
    "width of a query": ({"query_HRD": draw(4, 3, 9)}, "must be H × R × D"),
    "rows of values": ({"value_KGD": draw(2, 2, 8)}, "must be H × R × D"),
    "groups of values": ({"value_KGD": draw(3, 1, 8)}, "must be H × R × D"),
    "width of values": ({"value_KGD": draw(3, 2, 7)}, "multiple of 8"),
    "width of heads": ({"query_HRD": draw(4, 3, 257), "key_KGD": draw(3, 2, 257)}, "1 to 256 wide"),
    "dimensions": ({"key_KGD": draw(3, 16)}, "three dimensions"),
    "type": ({"key_KGD": draw(3, 2, 8).bfloat16()}, "key_KGD must be a plain, contiguous torch.float32"),
    "double": ({"query_HRD": draw(4, 3, 8).double()}, "not of torch.float64"),
    "gaps": ({"key_KGD": draw(3, 2, 16)[..., :8]}, "key_KGD must be a plain, contiguous"),
    "gaps in a query": ({"query_HRD": draw(4, 8, 3).mT}, "queries, keys and values must be plain"),
    "window": ({"window": -1}, "a window is 0"),
    "rows outside": ({"table_B6": np.array([[0, 4, 0, 0, 0, 0]])}, "tile 0 has rows outside the 3 rows"),
    "first row outside": ({"table_B6": np.array([[-1, 3, 0, 0, 0, 0]])}, "tile 0 has rows outside the 3 rows"),
    "no rows": ({"table_B6": np.array([[0, 0, 0, 0, 0, 0]])}, "tile 0 has rows outside the 3 rows"),
    "rows beyond counting": ({"table_B6": np.array([[2**62, 2**62, 0, 0, 0, 0]])}, "tile 0 has rows outside the 3 rows"),
    "depth": ({"table_B6": np.array([[0, 3, -1, 0, 0, 0]])}, "tile 0 has depths outside"),
    "depth beyond counting": ({"table_B6": np.array([[0, 3, 2**40, 0, 0, 0]])}, "tile 0 has depths outside"),
    "far": ({"table_B6": np.array([[0, 3, 0, 2, 2, 0]])}, "tile 0 has far keys outside the 3 entries"),
    "far before": ({"table_B6": np.array([[0, 3, 0, -1, 1, 0]])}, "tile 0 has far keys outside the 3 entries"),
    "near": ({"table_B6": np.array([[0, 3, 0, 0, 0, 1]])}, "tile 0 has near keys outside the 3 entries"),
    "near by depth": ({"table_B6": np.array([[0, 3, 1, 0, 0, 0]])}, "tile 0 has near keys outside the 3 entries"),
    "near before": ({"table_B6": np.array([[0, 3, 0, 0, 0, -1]])}, "tile 0 has near keys outside the 3 entries"),
    "columns of the table": ({"table_B6": np.array([[0, 3, 0, 0, 0]])}, "table_B6 must be int64"),
    "tile of a task": ({"task_A2": np.array([[1, 0]])}, "task 0 has a tile outside the 1 tiles"),
    "lane of a task": ({"task_A2": np.array([[0, 6]])}, "task 0 has a first lane outside its tile, with 2 lanes per row"),
    "lane before": ({"task_A2": np.array([[0, -1]])}, "task 0 has a first lane outside its tile, with 2 lanes per row"),
    "a row left out": ({"task_A2": np.array([[0, 2]])}, "row 0 is computed 0 times"),
    "no task": ({"task_A2": np.zeros((0, 2), np.int64)}, "row 0 is computed 0 times"),
    "a row twice": ({"task_A2": np.array([[0, 0], [0, 2]])}, "row 1 is computed 2 times"),
    "place": ({"slots": np.array([0, 1, 3])}, "slots names the key 3, and there are 3"),
    "place before": ({"slots": np.array([0, -1, 2])}, "slots has -1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_attention_refuses_arguments_that_do_not_match(name: str):
    change, message = WRONG[name]
    native.attention(**path())
    with pytest.raises(ValueError, match=re.escape(message)):
        native.attention(**path() | change)


def test_tables_are_checked_once_for_all_layers(monkeypatch: pytest.MonkeyPatch):
    arguments, checked = path(), []
    monkeypatch.setattr(tables, "_check_tiles", lambda *_: checked.append(1))
    native.attention(**arguments)
    native.attention(**arguments | {"task_A2": arguments["task_A2"].copy()})
    assert checked == [1]
    with pytest.raises(ValueError, match="slots names the key 2"):  # the number of keys is checked for each layer
        native.attention(**arguments | {"key_KGD": draw(2, 2, 8), "value_KGD": draw(2, 2, 8)})
    native.attention(**arguments | {"table_B6": arguments["table_B6"].copy()})
    assert checked == [1, 1]


def test_padding_of_the_positions_is_not_read():
    padded = path() | {"slots": np.array([0, 1, 2, 99, -5])}
    assert torch.equal(native.attention(**padded)[0], native.attention(**path())[0])


def resident() -> int:
    """Bytes of memory in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_threads_free_their_memory_when_they_end():
    arguments = path(70) | {"query_HRD": draw(4, 70, 256), "key_KGD": draw(70, 2, 256), "value_KGD": draw(70, 2, 256)}

    def attend_in_threads(count: int) -> None:
        for _ in range(count):
            thread = threading.Thread(target=native.attention, kwargs=arguments)
            thread.start()
            thread.join()

    attend_in_threads(30)
    before = resident()
    attend_in_threads(150)  # 100 KB each if it leaked
    assert resident() - before < 150 * 30_000


def refused(message: str, function: Callable[..., Any], *arguments: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        function(*arguments)


def test_norms_need_a_weight_for_each_number():
    refused("a weight for each number", native.rms_norm, draw(2, 8), draw(7), 1e-6)
    refused("a weight for each number", native.rms_norm, draw(2, 8), draw(1, 8), 1e-6)
    refused("a weight for each number", native.rms_norm, draw(2, 0), draw(0), 1e-6)
    refused("weight_D must be", native.rms_norm, draw(2, 8), draw(8).bfloat16(), 1e-6)


def test_gates_need_equal_shapes():
    refused("one shape", native.gate, draw(2, 8), draw(2, 7), 1.0, 0.0)
    refused("one shape", native.gate, draw(2, 8), None, 1.0, 0.0, draw(8))
    refused("out must be", native.gate, draw(2, 8), None, 1.0, 0.0, draw(2, 8).double())
    refused("out must be", native.gate, draw(2, 8), None, 1.0, 0.0, draw(8, 2).T)
    refused("out must be", native.gate, draw(2, 8), None, 1.0, 0.0, draw(1, 8).expand(2, 8))


def test_counts_need_a_bound_for_each_row():
    logits = draw(3, 8)
    refused("a number for each of 3 rows", native.count_greater, logits, draw(2))
    refused("a number for each of 3 rows", native.count_greater, logits, draw(3, 1))
    refused("than_M must be", native.count_greater, logits, draw(3).double())
    refused("with contiguous rows", native.count_greater, draw(8, 3).T, draw(3))
    refused("with contiguous rows", native.moments, draw(8, 3).T)
    refused("with contiguous rows", native.set_sums, draw(8, 3).T, torch.zeros(8, dtype=torch.uint8), 1)
    refused("uint8 and 3 numbers", native.set_sums, draw(8, 3), torch.zeros(4, dtype=torch.uint8), 1)
    refused("uint8 and 3 numbers", native.set_sums, draw(8, 3), torch.zeros(3, dtype=torch.int64), 1)
    refused("1 to 8 sets, not 9", native.set_sums, draw(8, 3), torch.zeros(3, dtype=torch.uint8), 9)


def test_products_need_an_output_of_the_right_shape():
    x, weight = draw(3, 8), draw(9, 8)
    for out in (draw(3, 8), draw(2, 9), draw(9), draw(1, 3, 9)):
        with pytest.raises(ValueError, match="must be"):
            native.few_rows(x, weight, out)
    refused("out_MN must be", native.few_rows, x, weight, draw(3, 9).double())
    refused("out_MN must be", native.few_rows, x, weight, draw(9, 3).T)
    refused("the rows of out overlap", native.few_rows, x, weight, draw(1, 9).expand(3, 9))
    refused("M × K, N × K", native.few_rows, x, draw(9, 7), draw(3, 9))
    refused("at least 4 rows", native.few_rows, x, draw(3, 8), draw(3, 3))


def test_matrices_need_matching_shapes():
    x, weight, out = draw(6, 8), draw(8, 9), draw(6, 9)
    refused("M × K, K × N", native.matmul, x, draw(7, 9), None, out)
    refused("M × K, N × K", native.matmul, x, draw(9, 7).T, None, out)
    refused("weight must be a plain, contiguous", native.matmul, x, draw(8, 18)[:, ::2], None, out)
    refused("a number for each of 9 columns", native.matmul, x, weight, draw(8), out)
    refused("bias_N must be", native.matmul, x, weight, draw(9).double(), out)
    refused("the rows of out overlap", native.matmul, x, weight, None, draw(1, 9).expand(6, 9))


def test_the_vendor_of_the_processor_decides_on_products(monkeypatch: pytest.MonkeyPatch):
    """MKL, by Intel, leaves out AVX-512 on processors of others."""
    listed = build._listed
    for line, ours in (("vendor_id\t: GenuineIntel", False), ("vendor_id\t: AuthenticAMD", True)):
        monkeypatch.setattr(build, "_listed", lambda names, line=line: [line] if names == "vendor_id" else listed(names))
        kernels = build.status.__wrapped__()
        assert kernels.matmul is ours
        monkeypatch.setattr(build, "status", lambda kernels=kernels: kernels)
        assert native.supports_matmul(draw(3, 8), draw(8, 9)) is ours
        monkeypatch.undo()


def test_sums_have_terms():
    refused("at least one term, not 0", native.in_lanes, draw(3, 8), draw(9, 8), draw(3, 9), 0)


@pytest.mark.skipif(not native.status().product, reason="no product of bfloat16 factors here")
def test_products_of_bfloat16_need_matching_shapes():
    x, weight = draw(6, 8).bfloat16(), draw(9, 8).bfloat16()
    refused("out_MN must be", native.product, x, weight, draw(6, 9).bfloat16())
    refused("M × K, N × K", native.product, x, weight, draw(6, 8))
    refused("an even number of terms", native.product, x[:, :7].contiguous(), weight[:, :7].contiguous(), draw(6, 9))


def test_a_call_without_kernels_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(build, "status", lambda: build.Kernels(False, "left out"))
    with pytest.raises(RuntimeError, match="no compiled kernels, which supports"):
        native.gate(draw(8), None, 1.0, 0.0)
