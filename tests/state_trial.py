"""Numbers under every state that a program, or a library beside, may set the process to; each state in a process of its own.

python tests/state_trial.py            # prints one JSON object: state → what came of it

Some of these states make code that does not shut them out write over memory, so each is tried in a fork. The numbers to be
had are those of this process before anything was set.
"""

from __future__ import annotations

import json
import locale
import os
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import snapshots
import torch
import transformers as tf
from kinds import KINDS, Numbers, everything, gap, same, save
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import chainrule

ASKED = ("forest", "wide", "bfloat16", "own head", "batch", "embeddings", "generating", "masked", "two-stream", "any-order",
         "sums", "table")  # fmt: skip
BESIDE_ASKED = ("forest", "wide", "own head", "batch", "masked", "any-order", "table")
SECONDS = 60
State = Callable[[], AbstractContextManager[Any]]


# States


class Doubling(TorchFunctionMode):
    """Somebody's mode that makes other numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        return found * 2 if func in (torch.nn.functional.linear, torch.mm, torch.addmm, torch.matmul) else found


class Widening(TorchFunctionMode):
    """Somebody's mode that makes new tensors in float64, where nobody says otherwise."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.empty, torch.zeros, torch.ones, torch.full, torch.tensor, torch.rand, torch.randn, torch.linspace):
            kwargs = {"dtype": torch.float64} | (kwargs or {})
        return func(*args, **(kwargs or {}))


class Looking(TorchDispatchMode):
    """Somebody's mode that changes nothing."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


class DoublingBelow(TorchDispatchMode):
    """One below PyTorch's functions that makes other numbers."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        return found * 2 if func in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default) else found


@contextmanager
def set_by(setter: Callable[..., Any], *values: Any, **others: Any) -> Iterator[None]:
    setter(*values, **others)  # for good: the process ends with the trial
    yield


def _precision(value: str) -> None:
    torch.backends.mkldnn.matmul.fp32_precision = value  # type: ignore[attr-defined]


def _deterministic() -> None:
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]


def _other_locale() -> None:
    for name in ("de_DE.UTF-8", "tr_TR.UTF-8", "fr_FR.UTF-8", "C"):
        try:
            locale.setlocale(locale.LC_ALL, name)
            return
        except locale.Error:
            continue


def _seed() -> None:
    torch.manual_seed(123)
    np.random.seed(5)  # noqa: NPY002


def counting() -> Any:
    return FlopCounterMode(display=False)


STATES: dict[str, State] = {
    "nothing": nullcontext,
    "default dtype float64": partial(set_by, torch.set_default_dtype, torch.float64),
    "default dtype float16": partial(set_by, torch.set_default_dtype, torch.float16),
    "default dtype bfloat16": partial(set_by, torch.set_default_dtype, torch.bfloat16),
    "default device meta": partial(set_by, torch.set_default_device, "meta"),
    "within device meta": lambda: torch.device("meta"),
    "within device cpu": lambda: torch.device("cpu"),
    "autocast bfloat16": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "autocast float16": lambda: torch.autocast("cpu", dtype=torch.float16),
    "no gradients": torch.no_grad,
    "gradients": torch.enable_grad,
    "inference mode": torch.inference_mode,
    "anomalies": torch.autograd.detect_anomaly,
    "a mode that doubles": Doubling,
    "a mode that widens": Widening,
    "a mode that counts": counting,
    "a dispatch mode": Looking,
    "seeds": partial(set_by, _seed),
    "another locale": partial(set_by, _other_locale),
    "NumPy raises": partial(set_by, np.seterr, all="raise"),
    "einsum unoptimised": lambda: torch.backends.opt_einsum.flags(enabled=False),
}
# States that cannot all be shut out: there must be the same bits, or a ChainruleError, or `invariant` must be false with a
# reason of its own, and the numbers right but for rounding.
LOOSE: dict[str, State] = {
    "matmul precision medium": partial(set_by, torch.set_float32_matmul_precision, "medium"),
    "matmul precision high": partial(set_by, torch.set_float32_matmul_precision, "high"),
    "oneDNN precision bf16": partial(set_by, _precision, "bf16"),
    "denormals flushed": partial(set_by, torch.set_flush_denormal, True),
    "deterministic": partial(set_by, _deterministic),
    "two threads": partial(set_by, torch.set_num_threads, 2),
    "oneDNN off": lambda: torch.backends.mkldnn.flags(enabled=False),
    "plain attention": lambda: sdpa_kernel(SDPBackend.MATH),
    "a dispatch mode that doubles": DoublingBelow,
}


OTHER_KERNELS = ("oneDNN off",)  # PyTorch then computes by other kernels, which round in another way: no reason is told

# What another thread does meanwhile


def _toggling(setter: Callable[[Any], Any], *values: Any) -> Callable[[Callable[[], bool]], None]:
    def work(goes_on: Callable[[], bool]) -> None:
        while goes_on():
            for value in values:
                setter(value)
                time.sleep(0.0002)
        setter(values[-1])

    return work


def _loading(goes_on: Callable[[], bool]) -> None:
    while goes_on():
        tf.AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.bfloat16)


def _loading_here(goes_on: Callable[[], bool]) -> None:
    while goes_on():
        chainrule.load(FOLDER, dtype="bfloat16")


BESIDE: dict[str, Callable[[Callable[[], bool]], None]] = {
    "default dtype float64": _toggling(torch.set_default_dtype, torch.float64, torch.float32),
    "default dtype bfloat16": _toggling(torch.set_default_dtype, torch.bfloat16, torch.float32),
    "default device meta": _toggling(torch.set_default_device, "meta", None),  # of its own thread
    "threads": _toggling(torch.set_num_threads, 2, 1),
    "from_pretrained in bfloat16": _loading,
    "chainrule.load in bfloat16": _loading_here,
}
LOOSE_BESIDE = ("threads",)
FOLDER = Path()


# The trial


def _compiled_network(kind: str) -> Numbers:
    made = KINDS[kind]
    found = everything(made.over(torch.compile(made.network(), backend="eager")), made.asks)
    return [*found[:-1], np.array([WANTED[kind][-1][0], *found[-1][1:]])]  # the network's class is another, of course


COMPILED = {"a compiled network": _compiled_network}


def examined(kind: str, wanted: Numbers, ask: Callable[[], Numbers]) -> dict[str, Any]:
    """What a kind says in the state that is in force now; whether the state is the same afterwards."""
    before = _process()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = ask()
    except Exception as error:
        told = isinstance(error, chainrule.ChainruleError)
        return {"raised": f"{type(error).__name__}: {str(error)[:200]}", "told": told, "left": []}
    left = snapshots.differences(before, _process())
    if same(found, wanted):
        return {"same": True, "left": left}
    told = found[-1][1:].tolist() if found[-1].dtype.kind == "U" else []
    return {"same": False, "off": gap(found[:-1], wanted[:-1]), "told": told[:1] == ["False"], "says": told, "left": left}


def _process() -> snapshots.State:
    try:
        return snapshots.process()
    except Exception:  # some states are none to look around in
        return {}


def in_state(state: State, when: str) -> dict[str, Any]:
    """Every kind under it, made before or within."""
    found = {}
    with state():
        for kind in ASKED:
            if state is counting and kind == "two-stream":  # its own hooks fail on XLNet in inference mode
                continue
            made = KINDS[kind]
            lm = LMS[kind]
            ask = (lambda lm=lm, made=made: everything(lm, made.asks)) if when == "after loading" else (
                lambda made=made: everything(made.make(), made.asks))  # fmt: skip
            found[kind] = examined(kind, WANTED[kind], ask)
    return found


def beside(work: Callable[[Callable[[], bool]], None], rounds: int = 10) -> dict[str, Any]:
    """Every kind again and again, while another thread does that."""
    goes_on, began = True, threading.Event()

    def run() -> None:
        began.set()
        work(lambda: goes_on)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    began.wait()
    found: dict[str, Any] = {}
    for kind in BESIDE_ASKED:
        asks = KINDS[kind].asks
        results = [examined(kind, WANTED[kind], lambda lm=LMS[kind], asks=asks: everything(lm, asks)) for _ in range(rounds)]
        wrong = [result for result in results if not result.get("same")]
        found[kind] = (wrong or results)[0] | {"wrong": len(wrong), "rounds": rounds, "left": []}
    goes_on = False
    thread.join(5)
    return found


def compiled(way: Callable[[str], Numbers]) -> dict[str, Any]:
    return {kind: examined(kind, WANTED[kind], lambda kind=kind: way(kind)) | {"left": []} for kind in ("forest",)}


def trials() -> dict[str, Callable[[], dict[str, Any]]]:
    found: dict[str, Callable[[], dict[str, Any]]] = {}
    for name, state in (STATES | LOOSE).items():
        for when in ("after loading", "before loading"):
            found[f"{name}, {when}"] = partial(in_state, state, when)
    for name, work in BESIDE.items():
        found[f"{name}, in another thread"] = partial(beside, work)
    for name, way in COMPILED.items():
        found[name] = partial(compiled, way)
    return found


def in_a_fork(trial: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What came of a trial; how it ended, where it died."""
    with tempfile.NamedTemporaryFile("r") as out:
        if not (child := os.fork()):
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                found = trial()
                Path(out.name).write_text(json.dumps(found))
            except BaseException as error:
                Path(out.name).write_text(json.dumps({"trial": {"raised": f"{type(error).__name__}: {error}", "told": False}}))
            os._exit(0)
        until = time.monotonic() + SECONDS
        while not (done := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() > until:
                os.kill(child, 9)
                os.waitpid(child, 0)
                return {"process": {"died": f"hung for {SECONDS} s"}}
            time.sleep(0.005)
        code = os.waitstatus_to_exitcode(done[1])
        text = out.read()
        return json.loads(text) if code == 0 and text else {"process": {"died": f"exit code {code}"}}


def loose(name: str) -> bool:
    """Whether an error or a reason will do, in place of the same bits."""
    state = name.partition(",")[0]
    return state in LOOSE or name in COMPILED or (name.endswith("another thread") and state in LOOSE_BESIDE)


LMS: dict[str, chainrule.LanguageModel] = {}
WANTED: dict[str, Numbers] = {}


def main() -> None:
    global FOLDER
    warnings.simplefilter("ignore")
    tf.logging.set_verbosity_error()
    tf.logging.disable_progress_bar()
    torch.set_num_threads(1)
    wanted = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        FOLDER = save(Path(folder))
        for kind in ASKED:
            LMS[kind] = KINDS[kind].make()
            WANTED[kind] = everything(LMS[kind], KINDS[kind].asks)
        found = {
            name: in_a_fork(trial) for name, trial in trials().items() if not wanted or any(name.startswith(w) for w in wanted)
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
