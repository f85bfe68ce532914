"""verify: every property holds for correct models, and each bug below fails exactly the property that must detect it."""

from __future__ import annotations

import io
import json
import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from model_zoo import BATCH, CONFIGS, FOREST, tiny, untouched, wrap
from rich.console import Console
from text_zoo import wordpiece
from transformers import GPT2Config, GPT2LMHeadModel

import chainrule
from chainrule import InputError, LanguageModel, TableModel
from chainrule.engine import engine as engine_module
from chainrule.engine import plan
from chainrule.engine.attention.kv_cache import KVCache
from chainrule.engine.engine import Engine
from chainrule.engine.execution import HiddenStates, Jobs, run_batches
from chainrule.engine.head.readout import Distributions
from chainrule.engine.head.reductions import Block, Target
from chainrule.engine.question import Question
from chainrule.forest.windows import windows
from chainrule.models.causal import PretrainedModel
from chainrule.ops import sealed
from chainrule.ops.library import build
from chainrule.results import Score, Scores
from chainrule.scoring import assemble
from chainrule.scoring.scorer import Scorer
from chainrule.text import Tokenizer
from chainrule.verify import references
from chainrule.verify.references import ModelUnderTest

Patch = pytest.MonkeyPatch


@pytest.fixture
def forest(tiny_folder) -> LanguageModel:
    """A new model for each test, so that a test may break it."""
    return chainrule.load(tiny_folder)


@pytest.fixture
def batch(tiny_folder) -> LanguageModel:
    """The same model, run by its own forward in padded batches."""
    lm = chainrule.load(tiny_folder)
    lm.model.set_attention("sdpa")
    lm.engine = Engine(lm.model, "batch")
    return lm


@pytest.mark.parametrize("name", CONFIGS)
def test_a_correct_model_has_every_property(name):
    report, own = tiny(name).lm.verify(), tiny(name).own
    tied = own.get_output_embeddings().weight is own.get_input_embeddings().weight
    assert report.passed, str(report)
    assert {p.name for p in report if p.status == "skip"} == {
        *("tokenizer", "unreachable vocabulary"),
        *(() if tied else ("tied weights",)),
        *(("path carry",) if name in BATCH else ()),
    }


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
@pytest.mark.parametrize("name", ["llama", "gemma2", "granite", "mamba"])
def test_correct_models_in_other_types(name, dtype):
    report = tiny(name, dtype).lm.verify()
    assert report.passed, str(report)
    assert dtype in report["dtype"].checked


def test_with_and_without_a_tokenizer(tiny):
    with_tokenizer, without = tiny.verify(), LanguageModel(tiny.model, engine=tiny.engine).verify()
    assert with_tokenizer.passed
    assert without.passed
    assert {p.name for p in without if p.status == "skip"} - {p.name for p in with_tokenizer if p.status == "skip"} == {
        *("tokenizer", "unreachable vocabulary"),
    }


def test_on_tables(abc):
    assert abc.verify().passed
    bigrams = {"": [10, 9, 0], "A": [0, 0, 0], "B": [8, 7, 0], "C": [1, 2, -math.inf]}
    report = LanguageModel(TableModel(["A", "B", "C"], bigrams, back_off=True)).verify()
    assert report.passed, str(report)
    assert report["normalisation"].details["length"] == 9  # all 3⁹ sequences


def test_on_texts_of_the_caller(tiny):
    report = tiny.verify(texts=["Hello world, hello there!", "How are you today?"])
    assert report.passed
    assert report["tokenizer"].checked.startswith("2 texts")
    with pytest.raises(InputError, match="a list of texts"):
        tiny.verify(texts="Hello")
    with pytest.raises(InputError, match="no text to verify on"):
        tiny.verify(texts=[])
    assert tiny.verify(texts=["a"]).passed  # a single token: random ones are used instead
    with pytest.raises(InputError, match="half of a surrogate pair"):
        tiny.verify(texts=["\ud800"])
    with pytest.raises(InputError, match="without a tokenizer"):
        LanguageModel(tiny.model, engine=tiny.engine).verify(texts=["Hello"])


# Bugs, each with the property that must detect it. A patch breaks a correct model, or the library below it.

BUGS: dict[str, tuple[str, str, Callable[[LanguageModel, Patch], None]]] = {}


def bug(name: str, prop: str, path: str = "forest") -> Callable:
    def register(patch: Callable[[LanguageModel, Patch], None]) -> None:
        BUGS[name] = (prop, path, patch)

    return register


def hidden(change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Callable[[LanguageModel, Patch], None]:
    """Changes hidden states (B × T × D) by a function of them and of the embeddings."""

    def patch(lm: LanguageModel, monkeypatch: Patch) -> None:
        own = PretrainedModel.hidden
        monkeypatch.setattr(PretrainedModel, "hidden", lambda self, e_BTD, **layout: change(own(self, e_BTD, **layout), e_BTD))

    return patch


def factors(change: Callable[[torch.Tensor, Block], torch.Tensor]) -> Callable[[LanguageModel, Patch], None]:
    """Changes the log Pr of factors in the readout: a function of them and of the block that they are read from."""

    def patch(lm: LanguageModel, monkeypatch: Patch) -> None:
        own = Target.columns
        monkeypatch.setattr(Target, "columns", lambda self, b: {name: change(x, b) for name, x in own(self, b).items()})

    return patch


bug("a dropout left on", "repeatability")(hidden(lambda h, e: h + 1e-3 * torch.randn_like(h)))
bug("a leak of the next token", "causality")(hidden(lambda h, e: h + 0.5 * torch.nn.functional.pad(e[:, 1:], (0, 0, 0, 1))))
bug("a leak of the next token, in batches", "causality", "batch")(
    hidden(lambda h, e: h + 0.5 * torch.nn.functional.pad(e[:, 1:], (0, 0, 0, 1)))
)
bug("a neighbour's state", "batch and order", "batch")(
    hidden(lambda h, e: h + 0.1 * torch.nn.functional.pad(h[:-1], (0, 0, 0, 0, 1, 0)))
)
bug("a trunk in bfloat16", "dtype")(hidden(lambda h, e: h.bfloat16().float()))
bug("a log-softmax in bfloat16", "dtype")(factors(lambda logprob_F, block: logprob_F.bfloat16().double()))
bug("raw logits added", "normalisation")(factors(lambda logprob_F, block: logprob_F + block.logsumexp_M[block.row_F]))


@bug("a shortlist normaliser", "normalisation")
def _(lm: LanguageModel, monkeypatch: Patch) -> None:
    own = Distributions.at

    def shortlisted(*args: Any, **options: Any) -> Distributions:
        at = own(*args, **options)
        return replace(at, logsumexp_M=at.logits_MV[:, : at.logits_MV.shape[1] // 2].double().logsumexp(-1))

    monkeypatch.setattr(Distributions, "at", shortlisted)


@bug("shifted targets", "shift")
def _(lm: LanguageModel, monkeypatch: Patch) -> None:
    class Shifted(Question):
        @property
        def token_N(self):
            return super().token_N[np.maximum(self.forest.parent_N, 0)]

    own = Engine.answer
    monkeypatch.setattr(
        Engine, "answer", lambda self, question, *how, **more: own(self, Shifted(**vars(question)), *how, **more)
    )


@bug("rows read one position early", "shift", "batch")
def _(lm: LanguageModel, monkeypatch: Patch) -> None:
    def early(*args: Any):
        for part in run_batches(*args, padded=False):
            hidden_RH = torch.cat([part.hidden_RH[:1], part.hidden_RH[:-1]])
            yield HiddenStates(hidden_RH, part.row_F, part.node_F, part.rows, part.new)

    lm.engine = Engine(lm.model, "single")  # so that the previous row belongs to the same sequence
    monkeypatch.setitem(engine_module.STRATEGIES, "single", lambda *args: Jobs([lambda: early(*args[:5])]))


@bug("left padding without positions", "padding", "gpt2")
def _(lm: LanguageModel, monkeypatch: Patch) -> None:
    lm.model.set_attention("sdpa")
    lm.engine = Engine(lm.model, "batch")
    own = PretrainedModel.hidden

    def left(self: Any, e_BTD: torch.Tensor, *, attention_mask: torch.Tensor | None = None, **layout: Any) -> torch.Tensor:
        if attention_mask is None:
            return own(self, e_BTD, **layout)
        gaps = (attention_mask == 0).sum(-1).tolist()
        moved_BTD = torch.stack([e_TD.roll(gap, 0) for e_TD, gap in zip(e_BTD, gaps, strict=True)])
        mask = torch.stack([m.roll(gap) for m, gap in zip(attention_mask, gaps, strict=True)])
        positions = torch.arange(e_BTD.shape[1]).expand(len(e_BTD), -1)
        h_BTH = own(self, moved_BTD, attention_mask=mask, position_ids=positions, **layout)
        return torch.stack([h_TH.roll(-gap, 0) for h_TH, gap in zip(h_BTH, gaps, strict=True)])

    monkeypatch.setattr(PretrainedModel, "hidden", left)


@bug("a head without its scale", "head", "granite")
def _(lm: LanguageModel, monkeypatch: Patch) -> None:
    assert lm.model.head.scale == 2.0
    lm.model.head.scale = 1.0


@bug("a head without its softcap", "head", "gemma2")
def _(lm: LanguageModel, monkeypatch: Patch) -> None:
    lm.model.head.softcap = None


def body(change: Callable[[LanguageModel, plan.Item], plan.Item]) -> Callable[[LanguageModel, Patch], None]:
    """Changes the items that are scored with a start symbol; with x_0 given nothing changes."""

    def patch(lm: LanguageModel, monkeypatch: Patch) -> None:
        own = assemble._item

        def broken(request: Any, start: Any, *options: Any) -> plan.Item:
            item = own(request, start, *options)
            return item if item.start_id is None else change(lm, item)

        monkeypatch.setattr(assemble, "_item", broken)

    return patch


bug("a doubled start", "start symbol")(body(lambda lm, b: plan.Item(np.append(b.start_id, b.ids), b.given + 1, b.start_id)))
bug("EOS for BOS", "start symbol")(body(lambda lm, b: plan.Item(b.ids, b.given, lm.tokenizer.eos_id)))


@bug("a dropped start", "start symbol")
def _(lm: LanguageModel, monkeypatch: Patch) -> None:
    own = Scorer.start

    def dropped(self: Scorer, start: Any) -> Any:
        return own(self, "given" if start is None else start)

    monkeypatch.setattr(Scorer, "start", dropped)


@bug("a product instead of a sum", "sum")
def _(lm: LanguageModel, monkeypatch: Patch) -> None:
    def product(logprobs: np.ndarray) -> float:
        with np.errstate(divide="ignore", under="ignore"):
            return float(np.log(np.prod(np.exp(logprobs))))

    monkeypatch.setattr(Score, "logprob", property(lambda self: product(self.logprobs)))
    monkeypatch.setattr(Scores, "logprob", property(lambda self: np.array([product(s.logprobs) for s in self])))


@bug("a key lost between chunks", "path carry")
def _(lm: LanguageModel, monkeypatch: Patch) -> None:
    own = KVCache.extend

    def lossy(self: KVCache, layer: Any, key: torch.Tensor, value: torch.Tensor, path: int) -> Any:
        keys, values = own(self, layer, key, value, path)
        values[:1] *= path == 0
        return keys, values

    monkeypatch.setattr(KVCache, "extend", lossy)


@bug("a branch that sees another's path", "chunk sizes")
def _(lm: LanguageModel, monkeypatch: Patch) -> None:
    monkeypatch.setattr(KVCache, "keep_path", lambda self, chunk: None)


@bug("autocast that reaches the network", "process state")
def _(lm: LanguageModel, monkeypatch: Patch) -> None:
    library = replace(build.status(), matmul=False)  # autocast changes PyTorch's products, not ours
    monkeypatch.setattr(build, "status", lambda: library)
    monkeypatch.setattr(sealed, "_DEVICES", ())


@bug("a text shared by all threads", "threads")
def _(lm: LanguageModel, monkeypatch: Patch) -> None:
    own, last = LanguageModel.score_batch, []

    def shared(self: LanguageModel, texts: Any, **options: Any) -> Any:
        last[:] = [texts]
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.002)
        return own(self, last[0], **options)

    monkeypatch.setattr(LanguageModel, "score_batch", shared)


@bug("windows that lose a token", "windows")
def _(lm: LanguageModel, monkeypatch: Patch) -> None:
    monkeypatch.setattr(plan, "windows", lambda *args: [w._replace(begin=w.begin + (w.begin > 0)) for w in windows(*args)])


@bug("embeddings scaled", "embeddings = ids")
def _(lm: LanguageModel, monkeypatch: Patch) -> None:
    own = LanguageModel.embed
    monkeypatch.setattr(LanguageModel, "embed", lambda self, ids: 1.05 * own(self, ids))


@bug("a tokenizer whose bytes are wrong", "tokenizer")
def _(lm: LanguageModel, monkeypatch: Patch) -> None:
    own = Tokenizer._piece
    lm.tokenizer._pieces.clear()
    monkeypatch.setattr(Tokenizer, "_piece", lambda self, id: own(self, id).replace(b" ", b"_"))


@bug("weights that are no longer tied", "tied weights", "gemma2")
def _(lm: LanguageModel, monkeypatch: Patch) -> None:
    table, output = lm.model.tables
    assert table.weight.data_ptr() == output.weight.data_ptr()
    output.weight = torch.nn.Parameter(output.weight + 0.01)


MESSAGES = {
    "a doubled start": "those with the start symbol doubled",
    "a dropped start": "those with the start symbol absent",
    "EOS for BOS": "those with the start symbol EOS in its place",
    "rows read one position early": "the prefix that is 1 token shorter: targets are shifted",
    "raw logits added": "logits are used instead of their log-softmax",
    "a shortlist normaliser": "leaves out a part of the vocabulary",
    "left padding without positions": "left padding without position ids",
    "a neighbour's state": "a row sees the state of its neighbour",
}


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_fails_exactly_its_property(name, request, monkeypatch):
    prop, kind, patch = BUGS[name]
    lm = request.getfixturevalue(kind) if kind in ("forest", "batch") else wrap(untouched(FOREST[kind]()))
    assert lm.verify().passed
    patch(lm, monkeypatch)
    report = lm.verify()
    assert report.failed == [prop], str(report)
    assert not report.passed
    assert report[prop].error > report[prop].tolerance
    assert MESSAGES.get(name, " ") in report[prop].says


def test_probability_that_no_text_can_have(tiny_folder):
    """The model gives probability to rows beyond the tokenizer's vocabulary, and to a special token."""
    lm = chainrule.load(tiny_folder)
    own, rows = untouched(FOREST["llama"]()), lm.tokenizer.size + 5
    own.resize_token_embeddings(rows, mean_resizing=False)
    report = LanguageModel((wrapped := wrap(own)).model, lm.tokenizer, engine=wrapped.engine).verify()
    assert report.passed, str(report)
    reachable = report["unreachable vocabulary"]
    assert reachable.status == "warn"
    assert "on the 5 ids that the tokenizer cannot produce" in reachable.checked
    exact = np.mean([np.exp(p)[-5:].sum() for p in ModelUnderTest(LanguageModel(wrapped.model, lm.tokenizer)).distributions])
    assert reachable.details["beyond the tokenizer"] == pytest.approx(exact)
    assert reachable.details["special tokens"] > 0


def test_start_symbols_that_disagree_wildly():
    own = untouched(FOREST["gpt2"]())
    own.transformer.wte.weight.data[1] *= 50  # EOS, to which every other token attends
    report = wrap(own).verify()
    assert report.passed, str(report)
    assert report["start symbol"].status == "warn"
    moved = report["start symbol"].details["moved"]
    assert abs(moved["EOS in its place"]) > 12
    assert f"moves 23 factors by many nats (absent {moved['absent']:+.1f}, doubled" in report["start symbol"].says


def test_texts_that_the_tokenizer_changes():
    own = untouched(FOREST["llama"]())
    own.resize_token_embeddings(wordpiece().size, mean_resizing=False)
    lm = wrap(own)
    report = LanguageModel(lm.model, wordpiece(), engine=lm.engine).verify(texts=["a quick FOX", "lazy dog"])
    assert report["tokenizer"].status == "warn"
    assert "1 of them are changed by the tokenizer" in report["tokenizer"].says
    small = tiny("llama").lm
    with pytest.raises(InputError, match=r"ids go up to \d+, and the model's are below 61"):
        LanguageModel(small.model, wordpiece(), engine=small.engine).verify()


def test_without_memory_for_float64(monkeypatch):
    monkeypatch.setattr(references, "_memory", lambda device: 1000)
    report = tiny("llama").lm.verify()
    assert report.passed
    assert "in float32, since float64 is not possible (it needs 0.0 GiB, and 0.0 are free)" in report["dtype"].checked


def test_the_report_as_text_and_as_json(tiny):
    report = tiny.verify()
    assert json.loads(report.to_json())["properties"][1]["property"] == "causality"
    assert len(report) == len(list(report)) == 19
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(report)
    assert "19 properties" not in (shown := console.export_text())
    assert "18 of 18 properties hold; 1 do not apply" in shown
    assert repr(report).startswith("Report(")
    with pytest.raises(KeyError, match="there is no property 'shifts'"):
        report["shifts"]


def test_a_model_that_gives_nan_fails_with_a_message(forest, monkeypatch):
    hidden(lambda h, e: h * float("nan"))(forest, monkeypatch)
    report = forest.verify()
    assert not report.passed
    assert "gave NaN for" in report["repeatability"].says


@pytest.mark.parametrize("context", [4, 13])
def test_models_with_a_short_context(context: int):
    """The properties also use a doubled start symbol, which must fit in the context."""
    config = GPT2Config(vocab_size=50, n_positions=context, n_embd=8, n_layer=1, n_head=1, bos_token_id=0, eos_token_id=1)
    assert LanguageModel(PretrainedModel(GPT2LMHeadModel(config).eval(), "short")).verify().passed


def test_a_context_too_short_for_the_properties():
    config = GPT2Config(vocab_size=50, n_positions=3, n_embd=8, n_layer=1, n_head=1, bos_token_id=0, eos_token_id=1)
    with pytest.raises(InputError, match="takes 3 embeddings at a time; the properties need a context of 4"):
        LanguageModel(PretrainedModel(GPT2LMHeadModel(config).eval(), "short")).verify()
