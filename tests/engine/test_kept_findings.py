"""Findings of the probe that are kept: used under the same conditions only, and made anew in all other cases."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_llama import tiny_llama

import chainrule
from chainrule.engine.selfcheck import invariance, probe
from chainrule.models import fingerprint
from chainrule.ops import conditions, findings, matmul, trials


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CHAINRULE_PROBE")
    monkeypatch.setattr(findings, "FOLDER", "findings")
    monkeypatch.setattr(fingerprint, "_SETTLED", -1)
    return tmp_path / "cache" / "findings"


@pytest.fixture
def model(tmp_path, tiny_folder) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


@pytest.fixture
def probes(monkeypatch) -> list[str]:
    """What was computed: "probe" or "invariance"."""
    made: list[str] = []
    for module, name, label in ((probe, "_start", "probe"), (invariance, "_differing", "invariance")):
        plain = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, plain=plain, label=label: made.append(label) or plain(*args))
    return made


def _load(model, **options):
    """A model, once its invariance is known."""
    lm = chainrule.load(model, **options)
    assert lm.invariant
    return lm


def test_the_second_load_uses_what_the_first_has_found(model, probes):
    first = _load(model)
    assert probes == ["probe", "invariance"]
    second = _load(model)
    assert probes == ["probe", "invariance"]
    assert second.model.run_config == first.model.run_config
    assert (second.engine.strategy, second.engine.reason) == (first.engine.strategy, first.engine.reason)
    assert second.invariant == first.invariant
    assert np.array_equal(second.score("A sentence.").logprobs, first.score("A sentence.").logprobs)


def test_a_copy_of_the_folder_has_the_same_finding(model, probes, tmp_path):
    _load(model)
    _load(shutil.copytree(model, tmp_path / "copy"))
    assert probes.count("probe") == 1


def _other_weights(model, monkeypatch):
    torch.manual_seed(5)
    other = tiny_llama()
    with torch.no_grad():
        other.lm_head.weight.mul_(1.5)
    other.save_pretrained(model)


def _other_config(model, monkeypatch):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-4}))


def _other_code(model, monkeypatch):
    from transformers.models.llama import modeling_llama

    plain = modeling_llama.rotate_half
    monkeypatch.setattr(modeling_llama, "rotate_half", lambda x: plain(x))


def _other_environment(model, monkeypatch):
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")


def _other_version(model, monkeypatch):
    fixed = conditions._fixed()
    monkeypatch.setattr(conditions, "_fixed", lambda: fixed | {"versions": ["another"]})


def _other_processor(model, monkeypatch):
    monkeypatch.setattr(conditions.build, "processor", lambda: ["another"])
    monkeypatch.setattr(conditions, "_fixed", conditions._fixed.__wrapped__)


def _without_kernels(model, monkeypatch):
    monkeypatch.setattr(conditions.build, "status", lambda: conditions.build.Kernels(False, "left out"))


def _threads(model, monkeypatch):
    torch.set_num_threads(2)


def _no_recall(model, monkeypatch):
    monkeypatch.setenv("CHAINRULE_PROBE", "always")


CHANGES = (_other_weights, _other_config, _other_code, _other_environment, _other_version, _other_processor)


@pytest.mark.parametrize("change", [*CHANGES, _without_kernels, _threads, _no_recall])
def test_it_is_not_used_under_other_conditions(model, probes, change, monkeypatch):
    _load(model)
    change(model, monkeypatch)
    _load(model)
    assert probes.count("probe") == 2


def test_each_dtype_has_a_finding(model, probes):
    for dtype in ("float32", "bfloat16", "float32", "bfloat16"):
        chainrule.load(model, dtype=dtype)
    assert probes.count("probe") == 2


def test_the_invariance_of_another_number_of_threads_is_not_kept(model, probes):
    lm = chainrule.load(model)
    torch.set_num_threads(2)
    assert lm.invariant
    torch.set_num_threads(1)
    _load(model)
    assert probes == ["probe", "invariance", "invariance"]


def _truncated(entry):
    entry.write_bytes(entry.read_bytes()[:-40])


def _changed(entry):
    entry.write_text(entry.read_text().replace('"forest"', '"single"'))


def _another_form(entry):
    kept = json.loads(entry.read_text())
    finding = kept["finding"] | {"config": {"strategy": "forest"}}
    entry.write_text(json.dumps(findings._whole(kept["conditions"], finding)))


def _deep(entry):
    entry.write_text("[" * 100_000)


def _writable_by_others(entry):
    entry.chmod(0o666)


def _link(entry):
    target = entry.rename(entry.with_suffix(".moved"))
    entry.symlink_to(target)


@pytest.mark.parametrize("damage", [_truncated, _changed, _another_form, _deep, _writable_by_others, _link])
def test_an_entry_that_is_damaged_or_foreign_is_ignored_and_replaced(model, probes, cache, damage):
    _load(model)
    (entry,) = (path for path in cache.iterdir() if '"weights"' in path.read_text())
    damage(entry)
    _load(model)
    assert probes.count("probe") == 2
    _load(model)
    assert probes.count("probe") == 2


def test_models_in_memory_are_probed_each_time(probes):
    lm = tiny_llama()
    for _ in range(2):
        chainrule.load(lm)
    assert probes == ["probe", "probe"]


def test_weights_that_change_during_loading_have_no_finding(model, probes, cache, monkeypatch):
    from chainrule.models import load as loading

    plain = loading.refuse_nan
    monkeypatch.setattr(loading, "refuse_nan", lambda lm, name: plain(lm, name) or os.utime(model / "model.safetensors"))
    _load(model)
    assert not [path for path in cache.glob("*.json") if '"weights"' in path.read_text()]


def test_verify_probes_again_and_forgets(model, probes, cache):
    _load(model)
    lm = _load(model)
    before = set(cache.iterdir())
    assert lm.verify().passed
    assert probes.count("probe") == 2
    assert probes.count("invariance") == 2
    assert len(before - set(cache.iterdir())) == 1


def test_a_folder_that_cannot_be_written_is_no_error(model, probes, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        _load(model)
    assert probes.count("probe") == 2


def test_trials_of_products_are_made_once(monkeypatch):
    kind = matmul.Kind(64, 32, torch.float32, False, True, 96, torch.get_num_threads())
    made = []
    plain = matmul._same
    monkeypatch.setattr(matmul, "_same", lambda *args: made.append(args) or plain(*args))
    first = {rows: matmul._agrees.__wrapped__(rows, kind) for rows in (16, 32, 48)}
    assert len(made) == 3
    assert {rows: matmul._agrees.__wrapped__(rows, kind) for rows in (16, 32, 48)} == first
    assert len(made) == 3
    monkeypatch.setenv("CHAINRULE_PROBE", "always")
    matmul._agrees.__wrapped__(16, kind)
    assert len(made) == 4


def test_a_negative_result_is_kept_too():
    assert [trials.known("a trial", lambda: False), trials.known("a trial", lambda: True)] == [False, False]


def test_conditions_are_the_same_in_another_process():
    program = (
        "import json; from chainrule.ops.conditions import conditions, code_of\n"
        "from transformers.models.llama.modeling_llama import LlamaForCausalLM as L\n"
        "print(json.dumps([conditions(), code_of([L])]))"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1
