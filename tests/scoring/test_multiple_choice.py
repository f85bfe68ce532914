"""Multiple-choice questions: on a table, by hand; on a network, against `score`; and what each kind of row is read as."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow
import pytest

from chainrule import Choices, InputError, LanguageModel, TableModel

ROWS = {"": [0.5, 0.3, 0.2], "A": [0.2, 0.5, 0.3], "B": [0.25, 0.25, 0.5]}


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return LanguageModel(TableModel("ABC", ROWS, probabilities=True, back_off=True))


def test_choices_by_hand(lm: LanguageModel):
    rows = [
        {"question": "A", "choices": ["B", "CA", "AAA"], "answer": 0},  # .5, .3 × .5, .2³
        {"question": "B", "choices": ["CB", "A"], "answer": 0},  # .5 × .3, .25
        {"question": "B", "choices": ["AB", "BB"]},  # .25 × .5, .25 × .25
    ]
    choices = lm.choices(rows, sep="", premise="C")  # after C: the first row, .5 .3 .2
    assert np.exp(choices.logprob) == pytest.approx([0.5, 0.15, 0.008, 0.15, 0.25, 0.125, 0.0625], abs=1e-15)
    assert np.exp(choices.logprob_premise) == pytest.approx([0.3, 0.1, 0.5 * 0.2 * 0.2, 0.06, 0.5, 0.25, 0.075], abs=1e-15)
    assert choices.within_set[:5] == pytest.approx([0.5 / 0.658, 0.15 / 0.658, 0.008 / 0.658, 0.375, 0.625], abs=1e-15)
    assert np.exp(choices.values("pmi"))[:5] == pytest.approx([5 / 3, 1.5, 0.4, 2.5, 0.5], abs=1e-12)
    assert {m: choices.predicted(m).tolist() for m in choices.measures} == {
        "logprob": [0, 1, 0], "per_token": [0, 0, 0], "per_byte": [0, 0, 0], "per_character": [0, 0, 0], "pmi": [0, 0, 1]
    }  # fmt: skip
    assert [(a.measure, a.successes, a.ties, a.n, a.chance) for a in choices.accuracy()] == [
        ("logprob", 1, 0, 2, (1 / 3 + 1 / 2) / 2), *((m, 2, 0, 2, (1 / 3 + 1 / 2) / 2) for m in choices.measures[1:])
    ]  # fmt: skip
    own = choices.calibration()
    share = 0.5 / 0.658
    assert (own.n, own.undefined) == (2, 0)
    assert own.ece == pytest.approx((abs(1 - share) + 0.625) / 2, abs=1e-15)
    assert own.nll_nats == pytest.approx(-(math.log(share) + math.log(0.375)) / 2, abs=1e-15)
    brier = (share - 1) ** 2 + (0.15 / 0.658) ** 2 + (0.008 / 0.658) ** 2 + 2 * 0.625**2
    assert own.brier == pytest.approx(brier / 2, abs=1e-15)


def test_the_lengths_are_those_of_the_choices(tiny: LanguageModel):
    choices = tiny.choices([{"question": "It is", "choices": ["café", "naïve 🎉"]}])
    assert choices.bytes.tolist() == [5, 11]
    assert choices.characters.tolist() == [4, 7]
    assert choices.values("per_byte").tolist() == (choices.logprob / [5, 11]).tolist()
    assert choices.values("per_character").tolist() == (choices.logprob / [4, 7]).tolist()
    assert choices.values("per_token").tolist() == (choices.logprob / choices.scores.tokens).tolist()


def test_every_logprob_is_that_of_score(tiny: LanguageModel):
    rows = [
        {"q": "The dog", "choices": ["barks", "sits here", "is a cat"], "answer": "barks", "n": 5},
        {"q": "A cat\n", "choices": ["sits", " sleeps"], "answer": "sits", "n": 1.5},
        {"q": "Hello", "choices": ["there", "world"], "answer": None, "n": "x"},
    ]
    choices = tiny.choices(rows, template="{{{n}}} {q}", premise="Answer:", shots_from=rows[:1], between_shots="\n--\n", end=7)
    shot = "{5} The dog barks\n--\n"
    prompts, texts = (
        ["{5} The dog", "{1.5} A cat\n", "{x} Hello"],
        [[" barks", " sits here", " is a cat"], ["sits", " sleeps"], [" there", " world"]],
    )
    want = [tiny.score(text, context=shot + p, end=7).logprob for p, own in zip(prompts, texts, strict=True) for text in own]
    assert choices.logprob.tolist() == want
    alone = [tiny.score(text, context="Answer:", end=7).logprob for own in texts for text in own]
    assert choices.logprob_premise is not None
    assert choices.logprob_premise.tolist() == alone
    assert choices.prompts == prompts
    assert choices.pmi_nats is not None
    assert choices.pmi_nats.tolist() == [a - b for a, b in zip(want, alone, strict=True)]
    unconditional = tiny.choices(rows, question="q", premise="")
    assert unconditional.logprob_premise is not None
    assert unconditional.logprob_premise.tolist() == [
        tiny.score(text).logprob for own in texts for text in own
    ]  # fmt: skip
    for q, own in enumerate(texts):
        ranked = tiny.rank(shot + prompts[q], own, end=7)
        assert choices[q].predicted == ranked[0].index
        shares = {each.index: math.exp(each.logprob_within_set) for each in ranked}
        assert choices[q].within_set == pytest.approx([shares[i] for i in range(len(own))], abs=1e-14)


def test_the_first_rows_are_shots(tiny: LanguageModel):
    rows = [{"question": q, "A": "yes", "B": "no", "answer": a} for q, a in (("One", "B"), ("Two", "A"), ("Three", "A"))]
    choices = tiny.choices(rows, shots=2)
    assert (len(choices), choices.shots, choices.prompts) == (1, 2, ["Three"])
    assert choices.logprob[0] == tiny.score(" yes", context="One no\n\nTwo yes\n\nThree").logprob
    assert choices.logprob.tolist() == tiny.choices(rows[2:], shots_from=rows, shots=2).logprob.tolist()


def test_shared_contexts_run_once(tiny: LanguageModel):
    shots = [{"question": "a long example " * 5, "A": "yes", "B": "no", "answer": 0}]
    rows = [{"question": q, "A": "yes", "B": "no"} for q in ("One", "Two", "Three")]
    together = tiny.choices(rows, shots_from=shots).scores.distinct_contexts
    alone = [tiny.choices([row], shots_from=shots).scores.distinct_contexts for row in rows]
    assert together < sum(alone) - 2 * 20


SHAPES = {
    "arc": ({"question": "Q", "choices": {"text": ["a b", "c", "d"], "label": ["A", "B", "C"]}, "answerKey": "B"}, {}, 1),
    "arc with numbers": ({"question": "Q", "choices": {"text": ["a", "c"], "label": ["1", "2"]}, "answerKey": "2"}, {}, 1),
    "arc with numbers from 1": (
        {"question": "Q", "choices": {"text": ["a", "b", "c"], "label": ["1", "2", "3"]}, "answerKey": "2"}, {}, 1,
    ),
    "arc, raw": (
        {"question": {"stem": "Q", "choices": [{"text": "a", "label": "A"}, {"text": "b", "label": "B"}]}, "answerKey": "A"},
        {"question": "question.stem", "choices": "question.choices"}, 0,
    ),
    "mmlu": ({"question": "Q", "subject": "s", "choices": ["0", "4", "2", "6"], "answer": 1}, {}, 1),
    "hellaswag": ({"ctx": "Q", "endings": ["a", "b", "c"], "label": "2"},
                  {"question": "ctx", "choices": "endings", "answer": "label"}, 2),
    "piqa": ({"goal": "Q", "sol1": "a", "sol2": "b", "label": 1},
             {"question": "goal", "choices": ["sol1", "sol2"], "answer": "label"}, 1),
    "boolq": ({"question": "Q", "passage": "p", "answer": True}, {"among": ["no", "yes"]}, 1),
    "letters": ({"question": "Q", "A": "a", "B": "b", "C": "c", "answer": "C"}, {}, 2),
    "fewer": ({"question": "Q", "A": "a", "B": "b", "C": None, "answer": "B"}, {}, 1),
    "text": ({"question": "Q", "choices": ["yes", "no"], "answer": "no"}, {}, 1),
    "numbers": ({"question": "Q", "choices": [10, 20, 30], "answer": "20"}, {}, 1),
    "json": ({"question": "Q", "choices": '["yes", "no"]', "answer": "1"}, {}, 1),
    "from one": ({"question": "Q", "choices": ["yes", "no"], "answer": 1.0}, {"answer_from": 1}, 0),
    "of pandas": ({"question": "Q", "choices": ["yes", "no"], "answer": "1.0"}, {}, 1),
    "as": ({"question": "Q", "choices": ["2", "1", "0"], "answer": "2"}, {"answer_as": "number"}, 2),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_files_that_people_have(tiny: LanguageModel, name: str):
    row, options, answer = SHAPES[name]
    assert tiny.choices([row], **options).answers == [answer]


def test_frames_are_rows(tiny: LanguageModel):
    rows = [
        {"question": "Q", "choices": ["a", "b"], "answer": 1},
        {"question": "R", "choices": ["c", "d", "e"], "answer": None},
    ]
    want = tiny.choices(rows)
    frames: list[Any] = [pandas.DataFrame(rows), polars.DataFrame(rows), pyarrow.Table.from_pylist(rows)]
    frames += [pyarrow.Table.from_pylist(rows).to_batches()[0], pyarrow.Table.from_pylist(rows).to_pandas()]
    for frame in frames:
        own = tiny.choices(frame)
        assert own.to_dicts("choice") == want.to_dicts("choice")
        assert own.answers == [1, None]


def test_answers_are_read_in_one_way(tiny: LanguageModel):
    def answers(*pairs: tuple[list[str], Any], **options: Any) -> Choices:
        return tiny.choices([{"question": "Q", "choices": c, "answer": a} for c, a in pairs], **options)

    # The second row shows that the answers are texts: as a number, 7 is no choice.
    own = answers((["7", "1", "2"], "7"), (["8", "6"], "6"))
    assert (own.answers, own.answers_read) == ([0, 1], "texts of the choices")
    assert answers((["0", "1"], "1"), (["a", "b"], "0")).answers == [1, 0]  # numbers: no text is 0 in the second row
    with pytest.raises(InputError, match=r"item 0: the answer can be a number \(choice 1 from 0\) or a text \(choice 0"):
        answers((["1", "0"], "1"))
    with pytest.raises(InputError, match="say which with answer_as"):
        answers((["B", "A"], "A"))
    assert answers((["B", "A"], "A"), answer_as="letter").answers == [0]
    with pytest.raises(InputError, match="item 1: the answer is a number, but the answers before are each a letter: write"):
        answers((["x", "y"], "B"), (["x", "y"], "1"))
    with pytest.raises(InputError, match="item 0: the answer can be a boolean"):
        answers((["True", "False"], "True"))


def question(**changes: Any) -> dict[str, Any]:
    return {"question": "Q", "choices": ["a", "b"], "answer": 0} | changes


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([question(), question(choices=["a", " "])], {}, "item 1: choice 1 (from 0) is empty"),
        ([question(choices=["a"])], {}, "item 0: there is one choice, 'a', so there is nothing to choose: give each question"),
        ([question(choices=[])], {}, "item 0: there are no choices in the column 'choices': give each question two"),
        ([question(choices=None)], {}, "item 0: there are no choices in the column 'choices'"),
        ([question(choices=["a", "b", "a"])], {}, "item 0: the choices 0 and 2 (from 0) are the same: 'a'"),
        ([question(choices=["a", " a"])], {}, "item 0: the choices 0 and 1 (from 0) are the same: ' a'"),
        ([question(choices=["a", None])], {}, "item 0: choice 1 (from 0) has no value"),
        ([question(choices="a, b")], {}, "item 0: the column 'choices' holds no list; in CSV, a list is a JSON array"),
        ([question(choices={"text": ["a"], "label": []})], {}, "item 0: the column 'choices' has 1 choices and 0 labels"),
        ([question(answer=2)], {}, "item 0: the answer 2 is out of range: the choices are 0 to 1; for answers from 1, give"),
        ([question(answer=-1)], {}, "item 0: the answer -1 is out of range: the choices are 0 to 1"),
        ([question(answer=0)], {"answer_from": 1}, "item 0: the answer 0 is out of range: the choices are 1 to 2"),
        ([question(answer="C")], {}, "item 0: the answer 'C' is out of range: the choices are A to B"),
        ([question(answer="maybe")], {}, "item 0: the answer 'maybe' is not among the choices: 'a', 'b'"),
        ([question(answer="x")], {"answer_as": "label"}, "item 0: the answer 'x' is no label of a choice"),
        ([{"choices": ["a", "b"]}], {}, "there is no column 'question'; the columns are: choices"),
        ([question()], {"template": "{topic}: {question}"}, "there is no column 'topic'; the columns are: question, choi"),
        ([question()], {"template": "{question"}, "the template has '{' at character 0 (from 0): a column is {name}, and {{"),
        ([question()], {"template": "Question:"}, "the template 'Question:' names no column"),
        ([question()], {"template": "{choices}"}, "item 0: the column 'choices' holds ['a', 'b'], which is neither a text nor"),
        ([question()], {"template": "{choices.2}"}, "item 0: there is no column 'choices.2': 'choices' has the items 0 to 1"),
        ([question()], {"template": "{question}", "question": "answer"}, "give a template or the column of the questions"),
        ([question()], {"among": ["x", "y"], "choices": "choices"}, "give the columns of the choices, or choices for all"),
        ([question(question="")], {}, "item 0: the prompt is empty"),
        ([question(question=None)], {}, "item 0: the column 'question' has no value"),
        ([{"question": "Q", "A": "a"}], {}, "there is no column 'choices', nor columns A, B …: name the column of lists"),
        ([question()], {"choices": ["A"]}, "the choices are in one column for each choice, or one column of lists"),
        ([question()], {"shots": 1}, "1 shots need 1 rows and one question at least, but there are 1 rows"),
        ([question()], {"shots": 2, "shots_from": [question()]}, "shots_from has 1 rows, but 2 shots are wanted"),
        ([question(answer=None), question()], {"shots": 1}, "item 0: it has no answer, so it cannot be a shot"),
        ([question()], {"shots_from": [question(answer=5)]}, "row 0 of the shots: the answer 5 is out of range"),
        ([question()], {"answer_as": "index"}, "answer_as must be one of label, letter, boolean, number, text, not 'index'"),
        ([question()], {"answer_as": "text", "answer_from": 1}, "answer_from is for answers that are numbers"),
        ([question()], {"answer_from": -1}, "answer_from must be a whole number of 0 or more, not -1"),
        ([question()], {"shots": -1}, "shots must be a whole number of 0 or more, not -1"),
        ([], {}, "there are no questions"),
        (["Q"], {}, "item 0: a row of questions is a dictionary with its columns, not 'Q'"),
        ("Q", {}, "questions must be a list, not one str"),
        ([question(), question(question="\ud800")], {}, "item 1: choice 0 (from 0): "),
    ],
)  # fmt: skip
def test_each_mistake_has_its_message(tiny: LanguageModel, rows: Any, options: dict[str, Any], message: str):
    with pytest.raises(InputError) as caught:
        tiny.choices(rows, **options)
    assert str(caught.value).startswith(message)


def test_an_error_counts_the_shots(tiny: LanguageModel):
    rows = [question(), question(), question(question="\ud800")]
    with pytest.raises(InputError, match="item 2: "):
        tiny.choices(rows, shots=1)


def test_a_choice_has_all_of_its_factors(tiny: LanguageModel):
    with pytest.raises(
        InputError, match="after an empty premise and without a start symbol, the first token of a choice has no"
    ):
        tiny.choices([question()], premise="", start="given")
    rows = [question(choices=["dogs", "cat"])]
    own = tiny.choices(rows, premise="x", start="given")
    want = [tiny.score(f" {text}", context="x", start="given").logprob for text in rows[0]["choices"]]
    assert own.logprob_premise is not None
    assert own.logprob_premise.tolist() == want


def test_ties_predict_the_first_and_are_told(lm: LanguageModel):
    rows = [
        {"question": "A", "choices": ["AB", "AC"], "answer": 1},  # .2 × .5 : .2 × .3
        {"question": "B", "choices": ["B", "A"], "answer": 0},  # .25 : .25
        {"question": "B", "choices": ["C", "CA"], "answer": 1},  # .5 : .25; per token .5 : .5
    ]
    choices = lm.choices(rows, sep="")
    assert [(a.measure, a.successes, a.ties) for a in choices.accuracy()] == [
        ("logprob", 1, 1), ("per_token", 1, 2), ("per_byte", 1, 2), ("per_character", 1, 2)
    ]  # fmt: skip
    assert [row["tied"] for row in choices.to_dicts()] == [[], list(choices.measures), list(choices.measures[1:])]


def test_rounding_is_no_difference():
    """n (log .3 + log .7) / 2 n differs from (log .3 + log .7) / 2 by rounding only."""
    lm = LanguageModel(TableModel("AB", {"": [0.3, 0.7]}, probabilities=True, back_off=True))
    rows = [{"question": "B", "choices": ["AB", "AB" * n]} for n in range(2, 30)]
    choices = lm.choices(rows, sep="")
    value_C = choices.values("per_token")
    assert (value_C[::2] < value_C[1::2]).any()
    assert choices.tied("per_token").all()
    assert not choices.predicted("per_token").any()


def test_the_rounding_of_pmi_is_that_of_its_terms():
    """Only the first factor depends on the prompt, and its ratio is the same for all choices, and close to 1."""
    lm = LanguageModel(
        TableModel("ABC", {"": [0.4, 0.3, 0.3], "A": [0.3994, 0.3003, 0.3003]}, probabilities=True, back_off=True)
    )
    rows = [{"question": "A", "choices": ["BC" * n + "B" * n, "C" + "B" * (n + 9)]} for n in range(10, 40)]
    choices = lm.choices(rows, sep="", premise="B")
    assert choices.pmi_nats == pytest.approx(math.log(0.3003 / 0.3), abs=1e-12)
    assert (choices.pmi_nats[::2] < choices.pmi_nats[1::2]).any()
    assert choices.tied("pmi").all()
    assert not choices.predicted("pmi").any()


def test_impossible_choices():
    lm = LanguageModel(TableModel("AB", {"": [1, 0]}, probabilities=True, back_off=True))
    rows = [
        {"question": "A", "choices": ["B", "A"], "answer": 1},
        {"question": "A", "choices": ["B", "BB"], "answer": 1},
        {"question": "A", "choices": ["B", "A"], "answer": 0},
    ]
    choices = lm.choices(rows, sep="", premise="")
    assert choices.predicted().tolist() == [1, 0, 1]
    assert choices.tied().tolist() == [False, True, False]
    assert [row["within_set"] for row in choices.to_dicts()] == [[0, 1], [None, None], [0, 1]]
    assert [row["pmi_nats"] for row in choices.to_dicts("choice")] == [None, 0, None, None, None, 0]
    own = choices.calibration()
    assert (own.n, own.undefined, own.brier, own.nll_nats, own.ece) == (2, 1, 1.0, math.inf, 0.5)
    assert '"nll_nats": "Infinity"' in choices.to_json()
    only = lm.choices(rows[1:2], sep="")
    with pytest.raises(InputError, match="all choices of each question are impossible"):
        only.calibration()
    assert json.loads(only.to_json())["calibration"] == []


def test_long_prompts_are_told(tiny: LanguageModel):
    rows = [{"question": q, "choices": ["a", "b"]} for q in ("Q", "dog " * 100)]
    choices = tiny.choices(rows)
    assert choices.cut.tolist() == [row["cut"] for row in choices.to_dicts()] == [False, True]
    assert "1 question longer than 64 embeddings" in choices._repr_html_()
    want = [tiny.score(text, context=rows[1]["question"]) for text in ("a", "b")]
    assert [row["logprob"] for row in choices.to_dicts("choice")[2:]] == [score.logprob for score in want]
    with pytest.raises(InputError, match="item 1: choice 0"):
        tiny.choices(rows, window=False)


def test_no_answers(tiny: LanguageModel):
    choices = tiny.choices([{"question": "Q", "choices": ["a", "b"]}])
    assert (choices.accuracy(), choices.answers_read) == ([], None)
    with pytest.raises(InputError, match="no question has an answer, so there is no calibration"):
        choices.calibration()
    assert [choices.to_dicts()[0][name] for name in ("answer_index", "correct", "correct_per_token")] == [None, None, None]
    assert choices.to_dicts("accuracy") == []


@pytest.mark.parametrize("measure", ["pmi", "bits"])
def test_measures_that_there_are_not(tiny: LanguageModel, measure: str):
    choices = tiny.choices([{"question": "Q", "choices": ["a", "b"]}])
    for method in (choices.values, choices.predicted, choices.correct):
        with pytest.raises(InputError, match=f"^measure must be one of 'logprob', .* not '{measure}'$"):
            method(measure)


def test_parts_of_choices_are_the_choices(tiny: LanguageModel):
    rows = [{"question": q, "choices": ["a", "b", "c"][: 2 + i % 2], "answer": 0} for i, q in enumerate("QRST")]
    choices = tiny.choices(rows, premise="X")
    part = choices.part(slice(1, 3))
    for per, size in (("question", (1, 3)), ("choice", (2, 7))):
        want = choices.to_dicts(per)[slice(*size)]
        assert [row | {"index": 0} for row in part.to_dicts(per)] == [row | {"index": 0} for row in want]
    assert len(choices.part(slice(2, 2)).choices) == 0
