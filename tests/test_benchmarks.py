"""The comparison with other tools: its systems, their environments and its tables. Nothing is measured."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import setup_peers  # noqa: E402
from report import render_headline  # noqa: E402
from systems import SYSTEMS  # noqa: E402


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
def test_a_system_has_a_worker_and_an_environment(system):
    assert (BENCHMARKS / "workers" / f"{system.module}.py").exists()
    assert system.environment in {"chainrule", *setup_peers.STEPS}
    assert system.optional == (system.environment in setup_peers.LARGE)


def test_the_versions_of_peers_are_pinned():
    packages = [word for steps in setup_peers.STEPS.values() for step in steps for word in step if not word.startswith("--")]
    assert [package for package in packages if "==" not in package] == []


def test_the_headline_has_a_row_for_each_peer_with_the_fastest_variant_first():
    result = {
        "model": {"name": "small"},
        "machine": {"cpu": "a CPU"},
        "threads": 2,
        "workloads": {
            "flat": {
                "facts": {"texts": 500, "mean_tokens": 45.0},
                "systems": {"chainrule": own(500), "minicons": peer(1.6), "minicons_sorted": peer(1.5), "vllm": peer(1.1)},
            },
            "flat-bf16": {"systems": {"chainrule": own(1000), "ctranslate2_int8": peer(0.9), "vllm": peer(1.3)}},
            "questions": {"systems": {"chainrule": own(1), "lm_eval": peer(7.0)}},
        },
    }
    lines = render_headline(result, Path("2026-01-02.json")).splitlines()
    assert lines[:6] == [
        "| 500 short texts | float32 | bfloat16 |",
        "|---|---:|---:|",
        "| chainrule | 500 tokens/s | 1,000 tokens/s |",
        "| CTranslate2 (8-bit) |  | 0.90× |",
        "| vLLM | 1.10× | 1.30× |",
        "| minicons | 1.50× |  |",
    ]
    assert any("another model" in line for line in lines[6:])
    del result["workloads"]["flat-bf16"]
    lines = render_headline(result, Path("2026-01-02.json")).splitlines()
    assert lines[0] == "| 500 short texts | float32 |"
    assert not any("another model" in line for line in lines)
    del result["workloads"]["flat"]
    assert render_headline(result, Path("2026-01-02.json")) is None


def own(speed: float) -> dict:
    return {"tokens_per_second": {"median": speed}, "times_slower": 1.0}


def peer(ratio: float) -> dict:
    return {"tokens_per_second": {"median": 1.0}, "times_slower": ratio}
