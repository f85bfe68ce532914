"""Minimal pairs: on a table, by hand, and on a network, against `score`."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from chainrule import InputError, LanguageModel, TableModel

ROWS = {"": [0.5, 0.3, 0.2], "A": [0.2, 0.5, 0.3], "B": [0.25, 0.25, 0.5]}


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return LanguageModel(TableModel("ABC", ROWS, probabilities=True, back_off=True))


def counts(pairs: Any) -> dict[tuple[str | None, str], tuple[int, int, int]]:
    return {(a.group, a.measure): (a.successes, a.ties, a.n) for a in pairs.accuracy}


def test_pairs_by_hand(lm: LanguageModel):
    pairs = lm.pairs(["AB", "CA", "C"], ["BA", "CB", "B"])  # .25 : .075, .2 × .5 : .2 × .3, .2 : .3
    rows = pairs.to_dicts()
    assert [row["difference_nats"] for row in rows] == pytest.approx([math.log(x) for x in (10 / 3, 5 / 3, 2 / 3)], abs=1e-15)
    assert [math.exp(row["logprob_good"]) for row in rows] == pytest.approx([0.25, 0.1, 0.2], abs=1e-15)
    assert [row["winner"] for row in rows] == pairs.winners() == [pair.winner for pair in pairs] == ["good", "good", "bad"]
    assert counts(pairs) == {(None, measure): (2, 0, 3) for measure in ("logprob", "per_token", "per_byte")}
    assert [rows[0][name] for name in ("good", "bad", "tokens_good", "bytes_bad")] == ["AB", "BA", 2, 2]
    assert pairs[1].good.logprobs.tolist() == lm.score("CA").logprobs.tolist()


def test_the_measures_can_disagree(lm: LanguageModel):
    pairs = lm.pairs(["AB", "CC"], ["C", "A"])  # log .25 : log .2; 2 log .2 (after C: the first row) : log .5
    assert pairs.winners() == ["good", "bad"]
    assert pairs.winners("per_token") == ["good", "bad"]
    longer = lm.pairs(["ABC"], ["B"])  # .5 × .5 × .5 = .125 : .3, per token .5 : .3
    assert (longer.winners(), longer.winners("per_token"), longer.winners("per_byte")) == (["bad"], ["good"], ["good"])


def test_bytes_are_not_tokens():
    lm = LanguageModel(TableModel(["é", "a"], {"": [0.4, 0.6]}, probabilities=True, back_off=True))
    pairs = lm.pairs(["é"], ["a"])  # two bytes: sqrt(.4) = .63
    assert (pairs.winners(), pairs.winners("per_token"), pairs.winners("per_byte")) == (["bad"], ["bad"], ["good"])


def test_ties_are_told_and_are_no_successes(lm: LanguageModel):
    pairs = lm.pairs(["A", "AB", "B"], ["A", "BA", "A"])
    assert pairs.winners() == ["tie", "good", "bad"]
    assert counts(pairs)[(None, "logprob")] == (1, 1, 3)
    assert pairs.accuracy[0].accuracy == 1 / 3


def test_rounding_is_no_difference():
    """The same factors in another number: a third of 3 log .1 differs from log .1 by rounding."""
    lm = LanguageModel(TableModel("AB", {"": [0.1, 0.9]}, probabilities=True, back_off=True))
    pairs = lm.pairs(["AAA", "AAAAAA"], ["A", "AAAAAAA"])
    assert pairs.winners("per_token") == ["tie", "tie"]
    assert pairs.winners() == ["bad", "good"]


def test_impossible_texts():
    lm = LanguageModel(TableModel("AB", {"": [1, 0]}, probabilities=True, back_off=True))
    pairs = lm.pairs(["A", "B", "B"], ["B", "A", "BB"])
    assert pairs.winners() == ["good", "bad", "tie"]
    assert pairs.difference_nats.tolist() == [math.inf, -math.inf, 0.0]
    assert [pair["difference_nats"] for pair in json.loads(pairs.to_json())["pairs"]] == ["Infinity", "-Infinity", 0.0]


def test_accuracy_per_phenomenon_in_order_of_appearance(lm: LanguageModel):
    pairs = lm.pairs(["AB", "C", "CA", "B"], ["BA", "B", "CB", "A"], phenomenon=["y", "x", "y", 3])
    assert {key: value[::2] for key, value in counts(pairs).items() if key[1] == "logprob"} == {
        (None, "logprob"): (2, 4), ("y", "logprob"): (2, 2), ("x", "logprob"): (0, 1), ("3", "logprob"): (0, 1)
    }  # fmt: skip
    table = pairs.to_arrow("accuracy").to_pylist()
    assert [(row["phenomenon"], row["measure"]) for row in table[:4]] == [
        (None, "logprob"), (None, "per_token"), (None, "per_byte"), ("y", "logprob")
    ]  # fmt: skip
    assert pairs.to_arrow()["phenomenon"].to_pylist() == ["y", "x", "y", "3"]


def test_only_the_factors_of_a_marked_region_are_compared(lm: LanguageModel):
    pairs = lm.pairs(["A|B|", "A|BC|B"], ["B|A|", "B|C|"], marked=True)
    rows = pairs.to_dicts()
    assert [math.exp(row["logprob_good"]) for row in rows] == pytest.approx([0.5, 0.5 * 0.5], abs=1e-15)
    assert [math.exp(row["logprob_bad"]) for row in rows] == pytest.approx([0.25, 0.5], abs=1e-15)
    columns = ("good", "bad", "region_good", "region_bad", "tokens_good", "tokens_bad", "bytes_good", "boundary")
    assert [tuple(row[name] for name in columns) for row in rows] == [
        ("AB", "BA", "B", "A", 1, 1, 1, "clean"), ("ABCB", "BC", "BC", "C", 2, 1, 2, "clean")
    ]  # fmt: skip
    named = lm.pairs(["AB", "ABCB"], ["BA", "BC"], good_region=["B", "BC"], bad_region=["A", "C"])
    assert named.to_dicts() == rows
    same = lm.pairs(["AB", "CB"], ["CAB", "B"], good_region=["B", "B"])
    assert [row["region_bad"] for row in same.to_dicts()] == ["B", "B"]


def test_regions_of_a_network_are_sums_of_its_factors(tiny: LanguageModel):
    good = ["The |quick| brown fox", "naïve |café| 🎉", "|Hello| world"]
    bad = ["A |quick brown| fox", "the |cat|", "x| y|"]
    pairs = tiny.pairs(good, bad, context=[None, "Hello ", None], marked=True, end=7)
    for i, pair in enumerate(pairs):
        for side, (score, text) in enumerate(((pair.good, good[i]), (pair.bad, bad[i]))):
            before, region, _ = text.split("|")
            begin, stop = len(before), len(before) + len(region)
            spans = score.spans.char_spans
            inside = []
            for k, (a, b) in enumerate(spans):
                letters = [c for c in range(a, b) if not score.text[c].isspace()]
                if a < b and not letters:  # a space alone belongs to the next letter
                    letters = [c for c in range(b, len(score.text)) if not score.text[c].isspace()][:1]
                if any(begin <= c < stop for c in letters):
                    inside.append(k)
            expected = math.fsum(score.logprobs[k] for k in inside)
            assert pairs.logprob[i, side] == pytest.approx(expected, abs=1e-12)
            assert pairs.tokens[i, side] == len(inside)


def test_a_token_that_crosses_a_region_is_told():
    words = ["the", "keys", "are.", "is"]
    lm = LanguageModel(TableModel(words, {"": [0.25, 0.25, 0.4, 0.1]}, probabilities=True, back_off=True))
    pairs = lm.pairs(["the keys |are|.", "the |keys| is"], ["the keys |is|", "the |keys| is"], marked=True)
    assert pairs.boundary == ["token crosses", "clean"]
    rows = pairs.to_dicts()
    assert (rows[0]["crossing_good"], rows[0]["crossing_bad"], rows[1]["crossing_good"]) == (["are."], [], [])
    assert math.exp(rows[0]["logprob_good"]) == pytest.approx(0.4)
    assert "'are.'" in str(lm_view(pairs))


def lm_view(result: Any) -> str:
    from chainrule.results.shown import as_text

    return as_text(result)


def test_a_context_comes_before_both_texts(lm: LanguageModel):
    pairs = lm.pairs(["B", "C"], ["C", "B"], context=["A", None])
    assert [math.exp(x) for row in pairs.logprob for x in row] == pytest.approx([0.5, 0.3, 0.2, 0.3])
    rows = pairs.to_dicts()
    assert [(row["context_text"], row["kind"], row["context_boundary_good"]) for row in rows] == [
        ("A", "conditional", "same"), (None, "joint", None)
    ]  # fmt: skip
    assert lm.pairs(["B"], ["C"], context="A").logprob.tolist() == [pairs.logprob[0].tolist()]


def test_the_end_symbol_and_temperature():
    lm = LanguageModel(TableModel("AE", {"": [0.75, 0.25], "A": [0.2, 0.8]}, probabilities=True, back_off=True, end="E"))
    pairs = lm.pairs(["A"], ["AA"], end=True)
    assert [math.exp(x) for x in pairs.logprob[0]] == pytest.approx([0.75 * 0.8, 0.75 * 0.2 * 0.8])
    assert pairs.tokens.tolist() == [[2, 3]]
    assert lm.pairs(["A"], ["AA"], temperature=2).to_dicts()[0]["temperature"] == 2


def test_all_texts_are_one_batch(tiny: LanguageModel):
    good, bad = ["The quick brown fox", "The quick brown cat"], ["The quick brown dog", "The quick red dog"]
    pairs = tiny.pairs(good, bad)
    alone = sum(tiny.score_batch([text]).distinct_contexts for text in good + bad)
    assert pairs.scores.distinct_contexts == tiny.score_batch(good + bad).distinct_contexts < alone


def test_token_ids_have_no_text(tiny: LanguageModel):
    row = tiny.pairs([[3, 4]], [[5, 6, 7]]).to_dicts()[0]
    assert (row["good"], row["tokens_bad"]) == (None, 3)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((["A"], ["B", "C"]), {}, "1 items in good and 2 in bad"),
        ((["A"], ["B"]), {"context": ["A", "B"]}, "1 items in good and 2 in context"),
        ((["A"], ["B"]), {"phenomenon": ["x", "y"]}, "2 in phenomenon"),
        ((["A"], ["B"]), {"phenomenon": [None]}, "item 0: the phenomenon is missing"),
        (([], []), {}, "no pairs"),
        (("A", ["B"]), {}, "good is one text"),
        ((["A", "A"], ["B", ""]), {}, "item 1: the bad text: an empty text"),
        ((["A", "A"], ["B", None]), {}, "item 1: the bad text: the text is missing"),
        ((["A", "X"], ["B", "B"]), {}, "not in the vocabulary"),
        ((["A", "A"], ["A|B|", "B"]), {"marked": True}, "item 0: the good text: a marked text has two"),
        ((["AB"], ["BA"]), {"good_region": ["C"]}, r"item 0: the good text: the region 'C' is not in the text 'AB'"),
        ((["AB"], ["BB"]), {"good_region": ["B"]}, "item 0: the bad text: the region 'B' occurs more than once"),
        ((["AB"], ["BA"]), {"bad_region": ["B"]}, "bad_region= needs good_region="),
        ((["|A|"], ["|B|"]), {"good_region": ["B"], "marked": True}, "not both"),
        ((["|A|B"], ["|B|A"]), {"marked": True, "start": "given"}, "first token of the region is given"),
        (([[0]], [[1]]), {"marked": True}, "for texts, not list"),
    ],
)  # fmt: skip
def test_bad_input(lm: LanguageModel, arguments: tuple, options: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        lm.pairs(*arguments, **options)


def test_a_region_after_a_given_token(lm: LanguageModel):
    pairs = lm.pairs(["A|B|"], ["B|A|"], marked=True, start="given")
    assert [math.exp(x) for x in pairs.logprob[0]] == pytest.approx([0.5, 0.25])
