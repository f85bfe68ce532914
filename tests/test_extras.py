"""Errors where an extra is needed but not installed. A package counts as missing if its import is blocked."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from damaged import write_gguf
from further_models import llama

import chainrule
from chainrule import ModelError, OutputError
from chainrule.errors import EXTRAS
from chainrule.models import packaged

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A function that blocks the import of a package."""
    return lambda name: monkeypatch.setitem(sys.modules, name, None)


def test_the_extras_are_those_of_the_project():
    declared: dict[str, list[str]] = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    modules = {
        "vl-convert-python": "vl_convert",
        "prometheus-client": "prometheus_client",
    }  # those with another name than their package
    names = {extra: [re.split(r"[>=]", package)[0] for package in declared[extra]] for extra in EXTRAS}
    assert {extra: tuple(modules.get(name, name) for name in own) for extra, own in names.items()} == EXTRAS
    of_all = [extra for extra in EXTRAS if extra not in ("lm-eval", "ray")]  # they install many packages
    assert declared["all"] == [f"chainrule[{','.join(of_all)}]"]


@pytest.mark.parametrize("package", ["gguf", "accelerate"])
def test_a_gguf_file_without_its_packages(
    tmp_path: Path, without: Callable[[str], None], command: Callable[..., Any], package: str
):
    file = tmp_path / "model.gguf"
    write_gguf(file, llama())
    without(package)
    message = f"reading {file} needs {package}, which is not installed; run: pip install 'chainrule[gguf]'"
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        chainrule.load(file)
    assert command("score", "a", "--model", str(file)) == (2, "", f"chainrule: {message}\n")


def test_pull_downloads_nothing_if_it_cannot_convert_it(
    tmp_path: Path, without: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    monkeypatch.setattr(packaged, "_download", lambda *_: pytest.fail("it was downloaded"))
    without("gguf")
    with pytest.raises(ModelError, match=r"^converting smollm2-135m.* needs gguf.*pip install 'chainrule\[gguf\]'$"):
        chainrule.pull(packaged.DEFAULT)


def test_a_pulled_model_needs_no_extra(tiny_folder: Path, without: Callable[[str], None]):
    for package in EXTRAS["gguf"]:
        without(package)
    assert torch.isfinite(torch.tensor(chainrule.load(tiny_folder).score("abc").logprobs)).all()


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_data_frame_without_its_package(abc: chainrule.LanguageModel, without: Callable[[str], None], package: str):
    scores = abc.score_batch(["AB", "B"])
    without(package)
    with pytest.raises(OutputError, match=rf"^to_{package} needs {package}.*pip install 'chainrule\[{package}\]'$"):
        getattr(scores, f"to_{package}")()


@pytest.mark.parametrize("package", ["altair", "vl_convert"])
def test_a_plot_without_its_packages(
    abc: chainrule.LanguageModel, without: Callable[[str], None], command: Callable[..., Any], tmp_path: Path, package: str
):
    results = abc.score("AB"), abc.score_batch(["AB", "B"]), abc.pairs(["AB"], ["BA"])
    chart = results[0].plot()
    without(package)
    message = "needs " + package + r", which is not installed; run: pip install 'chainrule\[plot\]'$"
    for result in results:
        with pytest.raises(OutputError, match=f"^plot {message}"):
            result.plot()
    with pytest.raises(OutputError, match=f"^saving a plot {message}"):
        chainrule.save_plot(chart, tmp_path / "x.html")
    code, out, err = command("score", "AB", "--model", "missing", "--plot", str(tmp_path / "x.html"))
    assert (code, out) == (2, "")  # before the model is loaded
    assert re.fullmatch(f"chainrule: saving a plot {message[:-1]}\n", err)
    assert list(tmp_path.iterdir()) == []
