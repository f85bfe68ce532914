"""What-ifs: the factors before a change are those of the text, and the others those of the changed text."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from model_kinds import KINDS
from model_zoo import tiny_any_order
from page_data import checked, numbers

from chainrule import InputError, LanguageModel, Score
from chainrule.pages import comparison_section, growths_section, variant, variants_section
from chainrule.pages.proposed import proposed
from chainrule.pages.recomputed import opened, with_top
from chainrule.pages.versus import _running

TEXT = "Hello world, naïve café"


def whole(main: Score, found: dict[str, Any]) -> list[float]:
    """The factors of the changed text: those that the text itself lacks, those that are unchanged, and the new ones."""
    return [*found["added"], *main.logprobs[found["removed"] : found["first"]].tolist(), *numbers(found["logprob"])]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"context": "Pack my box "},
        {"start": "given"},
        {"end": True},
        {"temperature": 0.5},
        {"window": 9, "stride": 4},
        {"window": 6},
        {"context": "Pack my box with five", "window": 25, "end": True},
    ],
    ids=str,
)
def test_each_what_if_is_the_score_of_the_changed_text(tiny: LanguageModel, options: dict[str, Any]):
    score = tiny.score(TEXT, top=10, **options)
    context, end = score.request.context_ids.tolist(), score.end is not None
    ids, rest = score.request.ids.tolist()[: len(score.request.ids) - end], {"context": None, "start": None} | options
    given = len(context)
    found = variants_section(tiny, score)["variants"]
    assert {each["kind"] for each in found} == {"replace", "start", "cut"}
    for each in found:
        changed, call = [*context, *ids], dict(rest)
        if each["kind"] == "replace":
            changed[each["position"]] = each["t"]
        elif each["kind"] == "cut":
            changed = changed[each["position"] :]
        else:
            call["start"] = "given" if each["t"] is None else each["t"]
        before = max(0, given - each["position"]) if each["kind"] == "cut" else given
        call["context"] = changed[:before] or None
        new = tiny.score(changed[before:], **call)
        assert whole(score, each) == new.logprobs.tolist(), each["label"]
        assert each["total_logprob"] == new.logprob
        [of_new] = opened(tiny, [new], [0])
        assert each["raw_sum"] == math.fsum(of_new.logits.tolist())
        count = len(each["logit"])
        assert len(each["logprob"]) == count
        assert np.array(each["logit"], np.float32).tolist() == of_new.logits.astype(np.float32)[
            len(new) - count :
        ].tolist() or (options.get("temperature") is not None)


def test_the_first_new_factor_of_another_token_is_its_own(tiny: LanguageModel):
    score = tiny.score(TEXT, top=2)
    found = [each for each in variants_section(tiny, score)["variants"] if each["kind"] == "replace"]
    assert [each["position"] for each in found] == list(range(len(score)))
    for each in found:
        column = each["position"]
        assert each["first"] == column
        others = [id for id in score.top_ids[column].tolist() if id != score.ids[column]]
        assert each["t"] == others[0]
        assert each["logprob"][0] == score.top_logprobs[column][score.top_ids[column].tolist().index(each["t"])]


def test_a_table_that_forgets_keeps_its_bits(abc: LanguageModel):
    """A change of the start symbol changes no factor of a table, which does not read it."""
    bigram = KINDS["table"].make()
    found = variant(bigram, bigram.score("ABCA", top=3), {"kind": "start", "start": 1})["variants"][0]
    assert found["first"] in (0, 4)
    assert len(found["logprob"]) == 4 - found["first"]


@pytest.mark.parametrize("limit", [10, 40, 100, 2000])
def test_the_new_factors_fit_into_the_limit(tiny: LanguageModel, limit: int):
    score = tiny.score(TEXT, top=3)
    changes, note = proposed(tiny, score, limit)
    replaced = [change for change in changes if change.kind == "replace"]
    stored = sum(len(score) - (change.position if change.kind == "replace" else change.count) for change in changes)
    assert stored <= limit
    assert (note is None) == (len(replaced) == len(score))
    if note is not None:
        assert f"{len(replaced)} of its {len(score)} tokens" in note


def test_a_change_that_a_reader_asks_for(tiny: LanguageModel):
    score = tiny.score(TEXT)
    [found] = variant(tiny, score, {"kind": "replace", "position": 2, "token": "umbrella and so"})["variants"]
    new = tiny.tokenizer.encode_continuations(["umbrella and so"])[0].tolist()
    assert len(new) > 1
    assert found["tokens"] == new
    assert found["t"] == new[0]
    ids = score.ids.tolist()
    assert whole(score, found) == tiny.score([*ids[:2], *new, *ids[3:]]).logprobs.tolist()
    [cut] = variant(tiny, score, {"kind": "cut", "tokens": 3})["variants"]
    assert (cut["first"], cut["removed"], cut["logprob"]) == (3, 3, tiny.score(ids[3:]).logprobs.tolist())
    [given] = variant(tiny, score, {"kind": "start", "start": "given"})["variants"]
    assert (given["t"], given["removed"], given["logprob"]) == (None, 1, tiny.score(ids, start="given").logprobs.tolist())


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "replace", "position": 99, "token": 1},
        {"kind": "replace", "position": 0, "token": 10**9},
        {"kind": "replace", "position": 0, "token": ""},
        {"kind": "replace", "position": 0},
        {"kind": "cut", "tokens": 0},
        {"kind": "cut", "tokens": 10**6},
        {"kind": "start", "start": "cls"},
        {"kind": "start", "start": -4},
        {"kind": "other"},
        {},
    ],
    ids=str,
)
def test_a_change_that_is_impossible_is_refused(tiny: LanguageModel, change: dict[str, Any]):
    with pytest.raises(InputError):
        variant(tiny, tiny.score(TEXT), change)


def test_what_is_best_by_raw_logits(tiny: LanguageModel):
    data = checked(tiny.page(TEXT))
    single = {i: each for i, each in enumerate(data["variants"]) if each["kind"] == "replace"}
    text = {-1: {"raw_sum": data["openings"]["raw_sum"], "total_logprob": data["readings"]["text"]["total"]["logprob"]}}
    both = text | single
    wrong = data["openings"]["wrong"]
    assert both[wrong["best_by_logits"]]["raw_sum"] == max(each["raw_sum"] for each in both.values())
    assert both[wrong["best_by_probability"]]["total_logprob"] == max(each["total_logprob"] for each in both.values())


def test_a_masked_model_has_what_ifs():
    lm = KINDS["masked"].make()
    score = lm.score([5, 6, 7, 4], top=3)
    found = [each for each in variants_section(lm, score)["variants"] if each["kind"] == "replace"]
    for each in found:
        ids = [5, 6, 7, 4]
        ids[each["position"]] = each["t"]
        assert whole(score, each) == pytest.approx(lm.score(ids).logprobs.tolist(), abs=1e-5)
        assert each["logit"] is each["raw_sum"] is None


def test_an_any_order_model_has_what_ifs():
    lm = tiny_any_order("llama").lm
    score = lm.score([3, 50, 7, 12], top=3)
    for each in variants_section(lm, score)["variants"]:
        if each["kind"] == "replace":
            ids = [3, 50, 7, 12]
            ids[each["position"]] = each["t"]
            assert whole(score, each) == lm.score(ids).logprobs.tolist()
            assert each["raw_sum"] is not None


# Alternatives computed again


@pytest.mark.parametrize("options", [{}, {"context": "Pack", "end": True}, {"window": 7, "stride": 2}], ids=str)
def test_alternatives_are_added_to_a_score_without(tiny: LanguageModel, options: dict[str, Any]):
    score, want = tiny.score(TEXT, **options), tiny.score(TEXT, top=10, **options)
    found = with_top(tiny, score)
    assert found.top_ids.tolist() == want.top_ids.tolist()
    assert found.top_logprobs.tolist() == want.top_logprobs.tolist()
    assert (found.logprob, found.end, found.text) == (want.logprob, want.end, want.text)


# Generation


def test_growths_are_those_of_generate(tiny: LanguageModel):
    growths = growths_section(tiny, tiny.score(TEXT), max_tokens=3)["growths"]
    for growth, options in zip(growths["methods"], ({}, {"budget": 100}, {}), strict=True):
        ended = any("end symbol" in each["rule"] for each in growths["methods"])
        own = tiny.generate(TEXT, method=growth["method"], max_tokens=3, end=None if ended else False, top=5, **options)
        assert growth["t"] == own.ids.tolist()
        assert growth["logprob"] == own.logprobs.tolist()
        assert growth["total_logprob"] == own.logprob == growth["running_logprob"][-1]
        assert growth["description"] == own.describe()
        assert [[row[0] for row in rows] for rows in growth["top"]] == own.top_ids.tolist()
    assert [each["method"] for each in growths["methods"]] == ["greedy", "best", "beam"]
    assert growths["methods"][1]["certificate"].keys() == {"certain", "contexts", "logprob_bound"}
    assert growths["context"] == tiny.score(TEXT).ids.tolist()[-8:]


def test_one_method(tiny: LanguageModel):
    score = tiny.score(TEXT, context="Pack", end=True)
    growths = growths_section(tiny, score, "sample", 4, 3)["growths"]
    assert growths == growths_section(tiny, score, "sample", 4, 3)["growths"]
    assert [each["method"] for each in growths["methods"]] == ["sample"]
    assert "seed 3" in growths["methods"][0]["description"]
    assert growths["context"][-1] == score.ids[-2]  # without the end symbol


def test_a_full_context_is_missing(tiny: LanguageModel):
    part = growths_section(tiny, tiny.score(list(range(5, 69))), max_tokens=3)
    assert part["growths"] is None
    assert "context" in part["missing"]["growths"]


# Two texts


def test_two_texts_are_aligned_by_their_tokens(tiny: LanguageModel):
    first = tiny.score([5, 6, 7, 8, 9])
    second = tiny.score([5, 7, 8, 10, 11, 9])
    part = comparison_section(tiny, first, [5, 7, 8, 10, 11, 9])
    found = part["comparison"]
    assert found["rows"] == [[0, 0], [1, None], [2, 1], [3, 2], [None, 3], [None, 4], [4, 5]]
    a, b = first.logprobs.tolist(), second.logprobs.tolist()
    want = [(0 if i is None else a[i]) - (0 if j is None else b[j]) for i, j in found["rows"]]
    assert found["difference"] == want
    assert found["difference_total"] == math.fsum([*a, *(-x for x in b)])
    assert part["readings"]["other"]["logprob"] == b
    running = found["running_difference"]
    decided = found["decided"]
    assert len({each > 0 for each in running[decided:]}) == 1
    assert decided == 0 or running[decided - 1] * running[-1] <= 0
    assert abs(want[found["largest"]]) == max(map(abs, want))


def test_the_second_text_has_the_conditions_of_the_first(tiny: LanguageModel):
    options: dict[str, Any] = {"context": "Pack my box ", "start": "given", "end": True, "temperature": 0.6}
    part = comparison_section(tiny, tiny.score(TEXT, **options), "with five dozen")
    assert part["readings"]["other"]["logprob"] == tiny.score("with five dozen", **options).logprobs.tolist()


def test_the_proposed_text_differs_in_the_most_surprising_token(tiny: LanguageModel):
    score = tiny.score(TEXT, top=2)
    part = comparison_section(tiny, score)
    other = part["readings"]["other"]
    changed = [i for i, (a, b) in enumerate(zip(score.ids.tolist(), other["sequence"], strict=True)) if a != b]
    assert changed == [int(np.argmin(score.logprobs))]
    assert part["comparison"]["difference"][: changed[0]] == [0.0] * changed[0]


def test_equal_texts_are_never_decided(tiny: LanguageModel):
    found = comparison_section(tiny, tiny.score(TEXT), TEXT)["comparison"]
    assert (found["decided"], found["largest"], found["difference_total"]) == (None, None, 0.0)


def test_running_differences_are_rounded_once():
    pairs = [(-0.1 * i, -(2.0**i) / 7) for i in range(1, 30)]
    exact = [sum(Fraction(x) - Fraction(y) for x, y in pairs[: i + 1]) for i in range(len(pairs))]
    assert _running(pairs) == list(map(float, exact))
    assert _running([(0.0, -math.inf), (-1.0, -1.0), (-math.inf, 0.0), (-1.0, 0.0)]) == [math.inf, math.inf, None, None]


def test_texts_in_an_order_have_one_length():
    lm = tiny_any_order("llama").lm
    score = lm.score([3, 50, 7], order=[2, 0, 1])
    part = comparison_section(lm, score, [3, 51, 7])
    assert part["readings"]["other"]["logprob"] == lm.score([3, 51, 7], order=[2, 0, 1]).logprobs[[2, 0, 1]].tolist()
    assert part["comparison"]["rows"] == [[1, 1], [2, 2], [0, 0]]
    with pytest.raises(InputError, match="one length"):
        comparison_section(lm, score, [3, 51])
