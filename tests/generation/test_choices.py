"""Choice among a closed set of texts."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from random_tables import random_table

from chainrule import InputError, LanguageModel, TableModel

SET = ["A", "BC", "CA", "AB", "CCB"]


@pytest.mark.parametrize("temperature", [None, 0.5])
def test_samples_have_the_frequencies_of_the_normalised_set(temperature):
    lm, draws = random_table(8, scale=1), 4000
    logprob = np.array([lm.score(text, context="B").logprob for text in SET]) / (temperature or 1)
    share = dict(zip(SET, np.exp(logprob - np.logaddexp.reduce(logprob)), strict=True))
    samples = lm.generate("B", among=SET, method="sample", n=draws, seed=1, temperature=temperature)
    counts = Counter(s.text for s in samples)
    assert set(counts) <= set(SET)
    assert sum((counts[text] - draws * p) ** 2 / (draws * p) for text, p in share.items()) < 4 + 3.3 * math.sqrt(8)
    for s in samples[:50]:
        assert s.sampling_logprob == pytest.approx(math.log(share[s.text]), abs=1e-12)
        assert s.logprob == lm.score(s.text, context="B").logprob
        assert (s.finish, s.sampling.startswith("normalised within the set of 5 texts")) == ("among", True)
    assert [s.text for s in lm.generate("B", among=SET, method="sample", n=7, seed=1, temperature=temperature)] == [
        s.text for s in samples[:7]
    ]


def test_top_k_among_a_set():
    lm = random_table(8, scale=1)
    ranked = [r.text for r in lm.rank("B", SET)]
    samples = lm.generate("B", among=SET, method="sample", n=300, seed=1, top_k=2)
    assert {s.text for s in samples} == set(ranked[:2])


@pytest.mark.parametrize("method", ["greedy", "beam", "best"])
def test_the_most_probable_of_a_set(method):
    lm = random_table(8, scale=1)
    ranked = lm.rank("B", SET)
    assert lm.generate("B", among=SET, method=method).text == ranked[0].text
    if method != "greedy":
        assert [s.text for s in lm.generate("B", among=SET, method=method, n=5)] == [r.text for r in ranked]
        with pytest.raises(InputError, match="n=6 is more than the 5 different texts"):
            lm.generate("B", among=SET, method=method, n=6)


def test_within_set_sums_to_one_and_duplicates_count_once():
    lm = random_table(8, scale=1)
    once, twice = lm.rank("B", SET), lm.rank("B", [*SET, "CA", [2, 0]])
    assert sum(math.exp(r.logprob_within_set) for r in once) == pytest.approx(1, abs=1e-12)
    assert np.ptp([r.logprob - r.logprob_within_set for r in once]) < 1e-12
    share = {r.text: r.logprob_within_set for r in once}
    assert len(twice) == 7
    assert [r.logprob_within_set for r in twice] == pytest.approx(
        [share[r.text if isinstance(r.text, str) else "CA"] for r in twice]
    )
    samples = lm.generate("B", among=[*SET, "CA", "CA"], method="sample", n=200, seed=4)
    again = lm.generate("B", among=SET, method="sample", n=200, seed=4)
    assert [(s.text, s.sampling_logprob) for s in samples] == [(s.text, s.sampling_logprob) for s in again]
    assert "set of 5 texts" in samples[0].describe()


def test_among_with_an_order_and_with_the_end_symbol(tiny):
    texts = [" fox", " dog", " lazy cat"]
    s = tiny.generate("The quick", among=texts, end=True)
    best = tiny.rank("The quick", texts, end=True)[0]
    assert (s.text, s.end) == (best.text, tiny.tokenizer.eos_id)
    assert s.logprobs.tolist() == tiny.score(s.text, context="The quick", end=True).logprobs.tolist()
    assert s.sampling_logprob == best.logprob_within_set
    lm = random_table(8, scale=1)
    assert lm.generate("B", among=SET[1:3], order=(1, 0)).ordering.order.tolist() == [2, 1]


def test_bad_sets():
    lm = LanguageModel(TableModel(["A", "B"], {"": [1, 0], "A": [0, 1], "B": [0.5, 0.5]}, probabilities=True))
    for method in ("greedy", "sample"):
        with pytest.raises(InputError, match="every text to choose among is impossible"):
            lm.generate(among=["B", "AA"], method=method)
        with pytest.raises(InputError, match="there is no text to choose among"):
            lm.generate(among=[], method=method)
    assert [r.logprob_within_set for r in lm.rank(None, ["B", "AA"])] == [-math.inf] * 2
    assert {s.text for s in lm.generate(among=["B", "AB"], method="sample", n=50, seed=1)} == {"AB"}
    with pytest.raises(InputError, match="list of candidates"):
        lm.generate(among="AB")
    for name, value in {"max_tokens": 3, "stop": "A"}.items():
        with pytest.raises(InputError, match=f"{name}= has no effect on a choice among texts"):
            lm.generate(among=["A"], **{name: value})
    with pytest.raises(InputError, match="num_beams= has no effect"):
        lm.generate(among=["A"], method="beam", num_beams=2)
