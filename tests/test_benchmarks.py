"""The comparison with other tools: its systems, their environments and its tables. Nothing is measured."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import report  # noqa: E402
import run  # noqa: E402
import setup_peers  # noqa: E402
import systems  # noqa: E402
from report import render_headline  # noqa: E402
from systems import ALL, SILENT, SYSTEMS  # noqa: E402
from workloads import KINDS  # noqa: E402


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


def test_every_workload_has_sizes_rounds_a_caption_and_a_note():
    assert set(ALL) <= set(KINDS)
    assert set(ALL) <= set(run.ROUNDS)
    assert set(KINDS) - {"book-overlap"} == set(report.NOTES)
    assert set(KINDS) == set(report.CAPTIONS)
    named = {name for system in SYSTEMS.values() for name in system.workloads}
    assert named == set(ALL)


def test_what_a_peer_does_silently_is_said_beside_its_numbers():
    families = {system.family for system in SYSTEMS.values()} - {"chainrule"}
    assert set(SILENT) == families
    flat = {name: measured(name) for name in ("chainrule", "ctranslate2", "vllm")}
    lines = report.render_tables(result_of(flat)).splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert any(row.startswith("| CTranslate2, batches of 512 tokens <sup>1</sup> |") for row in rows)
    assert any(row.startswith("| vLLM <sup>2</sup> |") for row in rows)
    assert any(line.startswith("1. CTranslate2 cuts each text after 1,024 tokens") for line in lines)
    assert any(line.startswith("2. vLLM ") for line in lines)
    assert not any("llama.cpp" in line for line in lines)


def test_without_instructions_beyond_avx2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(systems, "BENCH", tmp_path)
    assert "ATEN_CPU_CAPABILITY" not in systems.environment(1)
    narrow = systems.environment(1, avx2=True)
    assert {narrow["ATEN_CPU_CAPABILITY"], narrow["ONEDNN_MAX_CPU_ISA"].lower()} == {"avx2"}
    assert os.access(narrow["CC"], os.X_OK)
    macros = subprocess.run([narrow["CC"], "-march=native", "-dM", "-E", "-"], input="", capture_output=True, text=True)
    if macros.returncode:
        pytest.skip("there is no compiler for this processor")
    assert "__AVX2__" in macros.stdout
    assert "__AVX512F__" not in macros.stdout
    assert "without instructions beyond AVX2" in report.render_machine({**result_of({}), "avx2": True})


def measured(module: str) -> dict:
    rate = {"tokens_per_second": dict.fromkeys(("median", "min", "max"), 500.0), "seconds": [1.0, 1.0], "median_seconds": 1.0}
    return {**rate, "title": SYSTEMS[module].title, "times_slower": 1.0, "max_difference": None}


def result_of(flat: dict) -> dict:
    machine = {"cpu": "a CPU", "cores": 2, "memory_gib": 8, "os": "an OS", "python": "3.11"}
    facts = {"texts": 200, "mean_tokens": 45.0}
    workload = {"systems": flat, "facts": facts, "tokens": 9000, "against": "the truth", "dtype": "float32"}
    result = {"date": "2026-01-02", "command": "run", "model": {"name": "small", "sha256": "0" * 64}, "machine": machine}
    return {**result, "threads": 2, "packages": {}, "workloads": {"flat": workload}}
