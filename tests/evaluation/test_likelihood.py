"""Log-likelihoods and is_greedy, against the model's own forward of each request."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from harness_models import FAMILIES, write
from text_zoo import CORPUS

import chainrule
from chainrule import InputError, LanguageModel, TableModel
from chainrule.evaluation.convention import Convention, Part
from chainrule.evaluation.likelihood import log_likelihoods, rolling_log_likelihoods, windowed_log_likelihoods


def own(network: Any, part: Part) -> tuple[float, bool]:
    """The answer from the network's own forward, in float64; argmax takes the smallest id."""
    ids = torch.from_numpy(np.concatenate([part.context_ids, part.ids]))[None]
    with torch.no_grad():
        logprob_TV = network(ids[:, :-1]).logits[0].double().log_softmax(-1)[len(part.context_ids) - 1 :]
    target_T = torch.from_numpy(part.ids)
    return float(logprob_TV.gather(1, target_T[:, None]).sum()), bool((logprob_TV.argmax(-1) == target_T).all())


@pytest.fixture(scope="module", params=list(FAMILIES))
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[LanguageModel, Convention, Any]:
    folder = write(request.param, tmp_path_factory.mktemp("family"))
    lm = chainrule.load(folder)
    return lm, Convention(lm.tokenizer, 24), tf.AutoModelForCausalLM.from_pretrained(folder)


def test_log_likelihoods_are_the_networks_own(family):
    lm, convention, network = family
    texts = [(line[:cut], line[cut : cut + 6]) for line in CORPUS[:3] for cut in (0, 4, 30)]
    parts = [convention.cut(part) for part in convention.parts([*texts, *texts[:2]])]
    parts += [  # continuations that greedy decoding generates, and one that differs in its last token
        Part(parts[0].context_ids, np.array(_greedy(network, parts[0].context_ids, 3))),
        Part(parts[3].context_ids, np.array([*_greedy(network, parts[3].context_ids, 2), 7])),
    ]
    got, want = log_likelihoods(lm, parts), [own(network, part) for part in parts]
    assert [greedy for _, greedy in got] == [greedy for _, greedy in want]
    assert sum(greedy for _, greedy in got)
    assert max(abs(a - b) for (a, _), (b, _) in zip(got, want, strict=True)) < 1e-4
    assert got[: len(texts)][:2] == got[len(texts) : len(texts) + 2]
    assert log_likelihoods(lm, []) == []


def _greedy(network: Any, ids: np.ndarray, count: int) -> list[int]:
    generated = torch.from_numpy(ids)[None]
    for _ in range(count):
        with torch.no_grad():
            generated = torch.cat([generated, network(generated).logits[:, -1:].argmax(-1)], 1)
    return generated[0, len(ids) :].tolist()


def test_windows_of_long_texts(family):
    lm, convention, network = family
    texts = [CORPUS[0] * 3, "", "Hello"]
    want = [sum(own(network, part)[0] for part in convention.windows(text)) for text in texts]
    assert rolling_log_likelihoods(lm, convention, texts) == pytest.approx(want, abs=3e-4)
    ours = windowed_log_likelihoods(lm, convention, texts)
    assert ours[1] == 0
    for text, number in ((texts[0], ours[0]), (texts[2], ours[2])):
        ids = lm.tokenizer.hf.encode(text, add_special_tokens=False)
        assert number == pytest.approx(lm.score(ids, window=24).logprob, abs=1e-4)
    assert windowed_log_likelihoods(lm, convention, [""]) == [0]
    for start in ("given", 5):
        chosen = replace(convention, start=lm.predictor.start(start, lm.tokenizer))
        want = lm.score(lm.tokenizer.hf.encode("Hello world", add_special_tokens=False), start=start).logprob
        assert windowed_log_likelihoods(lm, chosen, ["Hello world"]) == [want]


def test_of_equal_tokens_the_first_is_greedy():
    """All of B and C are as probable as each other after A; rank 1 does not say which argmax takes."""
    lm = LanguageModel(
        TableModel(["A", "B", "C"], {"": [0, 0, 0], "A": [1, 2, 2], "B": [3, 3, 3], "C": [0, 1, 2]}, back_off=True)
    )
    parts = [
        Part(np.array([c]), np.array(ids)) for c, ids in ((0, [1]), (0, [2]), (0, [1, 0]), (0, [1, 1]), (2, [2]), (2, [1]))
    ]
    assert [greedy for _, greedy in log_likelihoods(lm, parts)] == [True, False, True, False, True, False]


def test_an_impossible_continuation():
    lm = LanguageModel(TableModel(["A", "B"], {"": [0, 0], "A": [0, -math.inf], "B": [0, 0]}))
    assert log_likelihoods(lm, [Part(np.array([0]), np.array([1]))]) == [(-math.inf, False)]


def test_nothing_longer_than_the_model_admits_is_cut_in_silence(tiny: LanguageModel):
    with pytest.raises(InputError, match="64"):
        log_likelihoods(tiny, [Part(np.arange(70), np.array([1]))])
