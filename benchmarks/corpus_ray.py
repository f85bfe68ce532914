"""Score a corpus on a Ray cluster of three machines, lose one in the middle, and compare the rows with those of one process.

    python benchmarks/corpus_ray.py            # with ray installed: about 2 minutes; all machines are on this one

The cluster is Ray's own for tests: a head without cores, and three nodes with one core each. When some parts are there, a node
is killed. The rows must be those of the local pool, bit for bit, and a run without Ray must find nothing left to do. Exit
code 1: there are failures.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tally import report_outcomes
from texts import fortunes

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from corpora import leftovers, rows_of, write_corpus  # noqa: E402
from tiny_llama import save_tiny_llama  # noqa: E402

import chainrule  # noqa: E402

OPTIONS: dict[str, Any] = {"keep": "all", "per": "both", "part_size": 2000, "say": lambda sentence: print(f"  {sentence}")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="a file for the outcomes, as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="corpus-ray-") as scratch:
        folder = Path(scratch).resolve()
        save_tiny_llama(folder / "model")
        files = write_corpus(folder / "corpus", [f"{n}. {text}" for n in range(20) for text in fortunes()])
        chainrule.score_corpus(files, folder / "local", str(folder / "model"), workers=1, **OPTIONS)
        failures = [{"what": failure} for failure in trial(folder, files)]
    for failure in failures:
        print(failure["what"])
    raise SystemExit(report_outcomes({"ray": {"tries": 2, "failures": len(failures)}}, failures, arguments.output))


def trial(folder: Path, files: list[str]) -> Iterator[str]:
    """The failures of a run that loses a machine, and of the same run again without Ray."""
    from ray.cluster_utils import Cluster

    expected, model = rows_of(folder / "local"), str(folder / "model")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(3)]
    cluster.wait_for_nodes()

    def lose() -> None:
        cluster.remove_node(nodes.pop(), allow_graceful=False)
        print("  a node is lost", flush=True)

    with WhenParts(folder / "ray", 20, lose):
        corpus = chainrule.score_corpus(files, folder / "ray", model, ray=cluster.address, **OPTIONS)
    print(f"  {corpus.documents} documents, {corpus.failed} failed")
    yield from differences(folder / "ray", expected)
    cluster.shutdown()
    chainrule.score_corpus(files, folder / "ray", model, **OPTIONS)  # nothing is left to do
    yield from differences(folder / "ray", expected)


class WhenParts:
    """Within this context, `act` is called once, when an output folder has so many parts."""

    def __init__(self, out: Path, count: int, act: Callable[[], None]) -> None:
        self._out, self._count, self._act = out, count, act
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join(30)

    def _watch(self) -> None:
        while len(list(self._out.glob("part-*"))) < self._count:
            time.sleep(0.01)
        self._act()


def differences(out: Path, expected: Any) -> Iterator[str]:
    rows = rows_of(out)
    if not rows.equals(expected):
        yield f"{rows.num_rows} rows of {expected.num_rows}, or other values"
    if left := leftovers(out):
        yield f"left over: {', '.join(left)}"


if __name__ == "__main__":
    main()
