"""Charts of words, scores and pairs, and the files that they are saved to."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chainrule import InputError, LanguageModel, OutputError, TableModel, save_plot
from chainrule.display.plots import lines, pairs
from chainrule.display.plots.lines import shared_labels, unique_names
from chainrule.results.mean import mean, student_quantile


@pytest.fixture(scope="module")
def letters() -> LanguageModel:
    """A table where B is impossible."""
    return LanguageModel(TableModel("AB", {"": [1, 0]}, probabilities=True, back_off=True))


def data(chart: Any) -> list[dict[str, Any]]:
    """The rows of a chart, those of its first part if it has several."""
    spec = chart.to_dict()
    name = (spec["vconcat"][0] if "vconcat" in spec else spec)["data"]["name"]
    return spec["datasets"][name]


def subtitle(chart: Any) -> str:
    return " ".join(chart.to_dict()["title"]["subtitle"])


def labels(spec: dict[str, Any], axis: str = "x") -> list[str]:
    expression = spec["encoding"][axis]["axis"]["labelExpr"]
    return json.loads(expression.removesuffix("[datum.value]"))


def drawn(spec: dict[str, Any]) -> list[str]:
    return [each["mark"]["type"] for each in spec["layer"]]


# --- the mean and its interval


@pytest.mark.parametrize(
    ("freedom", "quantile"),  # from printed tables of Student's distribution
    [(1, 12.7062), (2, 4.30265), (3, 3.18245), (4, 2.77645), (9, 2.26216), (10, 2.22814), (29, 2.04523), (100, 1.98397)],
)
def test_the_quantiles_of_student(freedom: int, quantile: float):
    assert student_quantile(freedom) == pytest.approx(quantile, abs=5e-5)


def test_the_interval_of_a_mean():
    own = mean([1.0, 2.0, 6.0])
    half = 4.3026527297 * math.sqrt(7 / 3)
    assert (own.n, own.mean) == (3, 3.0)
    assert own.interval == pytest.approx((3 - half, 3 + half), abs=1e-9)
    assert mean([2.0]).interval is None
    assert mean([2.0, math.inf]) == mean([math.inf, 2.0])
    assert (mean([2.0, math.inf]).mean, mean([2.0, math.inf]).interval) == (math.inf, None)


# --- words


def test_the_same_word_twice_has_two_positions(tiny: LanguageModel):
    words = tiny.words("the dog the dog")
    chart = words.plot()
    assert [row["index"] for row in data(chart)] == [0, 1, 2, 3]
    assert [row["unit"] for row in data(chart)] == ["the", "dog", "the", "dog"]
    assert [row["bits"] for row in data(chart)] == words.surprisal_bits.tolist()
    assert [row["boundary"] for row in data(chart)] == words.boundary
    spec = chart.to_dict()
    assert labels(spec) == ["the", "dog", "the", "dog"]
    assert drawn(spec) == ["line", "point"]
    assert spec["encoding"]["x"]["field"] == "index"
    assert [each["field"] for each in spec["layer"][1]["encoding"]["tooltip"]] == ["unit", "bits", "boundary"]
    assert "bits" in spec["title"]["text"]
    assert words.identity.describe() in subtitle(chart)


def test_a_word_without_a_number_is_a_gap(tiny: LanguageModel):
    rows = data(tiny.words("the dog barks", start="given").plot())
    assert [row["bits"] is None for row in rows] == [True, False, False]
    assert not any(row["impossible"] for row in rows)
    rows = data(tiny.words(["the dog barks", "the cat sits"], start="given").plot(conditions=["a", "a"]))
    assert [(row["bits"] is None, row["n"]) for row in rows] == [(True, 0), (False, 2), (False, 2)]


def test_conditions_are_means_with_intervals(tiny: LanguageModel):
    words = tiny.words(["the dog barks", "the dogs bark", "the cat sits here", "the cats sit"])
    bits = words.surprisal_bits
    chart = words.plot(conditions=["one", "two", "one", "two"])
    rows = data(chart)
    assert [(row["line"], row["index"], row["n"]) for row in rows] == [
        *(("one", i, n) for i, n in enumerate([2, 2, 2, 1])),
        *(("two", i, 2) for i in range(3)),
    ]
    want = mean([bits[1], bits[7]])
    assert (rows[1]["bits"], (rows[1]["low"], rows[1]["high"])) == (want.mean, want.interval)
    assert (rows[3]["bits"], rows[3]["low"], rows[3]["high"]) == (bits[9], None, None)
    spec = chart.to_dict()
    assert drawn(spec) == ["area", "rule", "line", "point"]
    points = spec["layer"][3]["encoding"]
    assert points["color"]["scale"]["domain"] == points["shape"]["scale"]["domain"] == ["one", "two"]
    assert len({tuple(dash["value"]) for dash in spec["layer"][2]["encoding"]["strokeDash"]["condition"]}) == 2
    assert "t interval" in subtitle(chart)
    assert labels(spec) == ["0", "1", "2", "3"]  # the texts of a condition have different words
    assert "number" in spec["encoding"]["x"]["axis"]["title"]


def test_texts_of_one_item_count_once(tiny: LanguageModel):
    words = tiny.words(["the dog", "the cat", "the bird"])
    bits = words.surprisal_bits
    chart = words.plot(conditions=["a"] * 3, items=[1, 1, 2])
    want = mean([mean([bits[1], bits[3]]).mean, bits[5]])
    row = data(chart)[1]
    assert (row["n"], row["bits"], (row["low"], row["high"])) == (2, want.mean, want.interval)
    assert "over items" in subtitle(chart)
    assert [row["line"] for row in data(words.plot(items=["x", "y", "z"]))[::2]] == ["x", "y", "z"]


def test_labels_are_words_where_the_texts_of_a_line_share_them():
    assert shared_labels([["the", "key", "is"], ["the", "key", "are", "here"]]) == ["the", "key", "is / are", "here"]
    assert shared_labels([["the", None], ["the", "key"]]) == ["0", "1"]
    assert shared_labels([[word] for word in "abcd"]) == ["0"]


def test_lines_with_the_same_name_stay_apart():
    assert unique_names(["a", "b\n"]) == ["a", "b "]
    assert unique_names(["a", "a", "0: a"]) == ["0: a", "1: a", "2: 0: a"]
    assert len(set(unique_names(["x" * 50 + "a", "x" * 50 + "b"]))) == 2


def test_more_texts_and_conditions_than_colours_are_told(tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    words = tiny.words(["the dog"] * 11)
    chart = words.plot()
    assert "the first 8 of 11 texts" in subtitle(chart)
    assert len({row["line"] for row in data(chart)}) == 8  # texts that are the same have lines of their own
    assert "the first 8 of 11 conditions" in subtitle(words.plot(conditions=range(11)))
    assert "the first" not in subtitle(words.plot(conditions=["a"] * 11))
    monkeypatch.setattr("chainrule.display.plots.words.LONGEST", 2)
    long = tiny.words("the dog barks here")
    for chart in (long.plot(), long.plot(conditions=["a"])):
        assert len(data(chart)) == 2
        assert "the first 2 words of a text" in subtitle(chart)


def test_more_than_5000_points():
    lm = LanguageModel(TableModel("AB", {"": [1, 2]}, back_off=True))
    assert len(data(lm.score_batch(["AB" * 350] * 8).plot())) == 5600  # altair's own limit is 5,000


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (["a"], "conditions must have one label for each text: there are 2 texts, but 1 conditions"),
        ("ab", "conditions must be a list, not one str: 'ab'; put it into a list"),
        (["a", None], "item 1: the label of the text in conditions is missing (None)"),
        (["", "a"], "item 0: the label of the text in conditions is missing ('')"),
    ],
)
def test_conditions_that_are_wrong(tiny: LanguageModel, conditions: Any, message: str):
    words = tiny.words(["the dog", "a cat"])
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        words.plot(conditions=conditions)
    with pytest.raises(InputError, match=re.escape(message.replace("conditions", "items"))):
        words.plot(items=conditions)


# --- scores


def test_a_score_has_its_entropies_as_a_thin_line(tiny: LanguageModel):
    score = tiny.score("the dog the dog")
    chart = score.plot()
    rows, size = data(chart), len(score)
    assert [row["bits"] for row in rows] == [*score.surprisals_bits.tolist(), *score.entropies_bits.tolist()]
    assert [row["thin"] for row in rows] == [False] * size + [True] * size
    assert labels(chart.to_dict()) == score.tokens
    assert [each["mark"].get("strokeWidth") for each in chart.to_dict()["layer"]] == [1, 2, None]


def test_scores_are_lines(tiny: LanguageModel):
    scores = tiny.score_batch(["the dog", "a cat here"])
    rows = data(scores.plot())
    assert [row["bits"] for row in rows] == scores.surprisals_bits.tolist()
    assert {row["line"] for row in rows} == {"the dog", "a cat here"}
    assert not any(row["thin"] for row in rows)
    assert data(tiny.score_batch(["the dog"]).plot()) == data(tiny.score("the dog").plot())


def test_an_impossible_token_is_a_triangle_at_the_top(letters: LanguageModel):
    chart = letters.score_batch(["AB", "AA"]).plot()
    assert [(row["bits"], row["impossible"]) for row in data(chart)] == [(0, False), (None, True), (0, False), (0, False)]
    assert chart.to_dict()["layer"][-1]["mark"]["shape"] == "triangle-up"
    assert "1 of 4 points" in subtitle(chart)
    json.dumps(chart.to_dict(), allow_nan=False)


# --- pairs


def test_pairs_are_sorted_by_their_difference(tiny: LanguageModel):
    own = tiny.pairs(["the dog", "a cat", "same"], ["the dogs", "cats a", "same"])
    chart = own.plot()
    order = sorted(range(3), key=lambda i: -own.difference_nats[i])
    rows = data(chart)
    assert [row["pair"] for row in rows] == [0, 0, 1, 1, 2, 2]
    assert [row["side"] for row in rows] == ["good", "bad"] * 3
    assert [row["logprob"] for row in rows] == [value for i in order for value in own.logprob[i].tolist()]
    assert [row["winner"] for row in rows[::2]] == [own.winners()[i] for i in order]
    spec = chart.to_dict()
    assert labels(spec, "y") == [["the dog", "a cat", "same"][i] for i in order]
    assert drawn(spec) == ["rule", "point", "point"]
    assert "nats" in spec["encoding"]["x"]["axis"]["title"]


def test_each_phenomenon_has_a_part(tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    own = tiny.pairs(["a", "b", "c", "d"], ["e", "f", "g", "h"], phenomenon=["x", "y", "x", "x"])
    parts = own.plot().to_dict()["vconcat"]
    assert [part["title"]["text"] for part in parts] == ["x", "y"]
    assert "pairs:" not in subtitle(own.plot())
    monkeypatch.setattr(pairs, "MOST", 4)
    assert "3 of 4 pairs: the first 2 of each of the phenomena" in subtitle(own.plot())
    monkeypatch.setattr(pairs, "MOST", 1)
    assert "1 of 4 pairs: the first 1 of each of 1 phenomena" in subtitle(own.plot())
    assert "phenomenon: x" in subtitle(own.plot())
    assert "1 of 2 pairs: the first 1" in subtitle(tiny.pairs(["a", "b"], ["c", "d"]).plot())


# --- choices


def test_a_reliability_diagram(tiny: LanguageModel):
    rows = [{"question": q, "choices": ["a", "b", "c"], "answer": i % 3} for i, q in enumerate("QRSTUVW")]
    own = tiny.choices([*rows, {"question": "X", "choices": ["a", "b"], "answer": None}])
    for bins, by in ((10, "width"), (3, "count"), (1, "count")):
        want = own.calibration(bins, by)
        upper, lower = own.plot(bins, by).to_dict()["vconcat"]
        shown = [row for row in upper["data"]["values"] if row.get("n")]
        assert [(row["confidence"], row["accuracy"], row["n"]) for row in shown] == [
            (each.confidence, each.accuracy, each.n) for each in want.bins if each.n
        ]
        assert [row["n"] for row in lower["data"]["values"]] == [each.n for each in want.bins if each.n]
        assert all(row["left"] < row["right"] for row in shown)
        assert [row for row in upper["data"]["values"] if row["diagonal"]] == [{"diagonal": True, "from": 0, "to": 1}]
    words = subtitle(own.plot())
    assert own.calibration().describe() in words
    assert "7 of 8 questions: those with an answer" in words
    with pytest.raises(InputError, match="no question has an answer"):
        tiny.choices([{"question": "X", "choices": ["a", "b"]}]).plot()


def test_impossible_pairs_are_at_the_left(letters: LanguageModel):
    chart = letters.pairs(["A", "B"], ["B", "BB"]).plot()
    rows = data(chart)
    assert [(row["logprob"], row["other"], row["joined"], row["impossible"]) for row in rows] == [
        (0, None, False, False),
        (None, 0, False, True),
        (None, None, False, True),
        (None, None, False, True),
    ]
    assert [row["winner"] for row in rows] == ["good", "good", "tie", "tie"]
    assert "triangles at the left" in subtitle(chart)
    json.dumps(chart.to_dict(), allow_nan=False)


# --- files


def test_a_page_works_offline(tiny: LanguageModel, tmp_path: Path):
    chart = tiny.words("</script><b> & \u2028 dog").plot()
    save_plot(chart, tmp_path / "x.html")
    page = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "window.vegaEmbed=" in page
    around = re.sub(r"(<script>).*?(</script>)", r"\1\2", page, flags=re.DOTALL)
    assert re.findall(r"<(\w+)", around) == [
        "html",
        "head",
        "meta",
        "meta",
        "title",
        "style",
        "script",
        "body",
        "div",
        "script",
    ]
    assert not re.search("src|href|http|import", around)
    assert not re.search(r"(?:import|fetch)\(\s*.https?:|cdn\.", page)
    assert page.count("</script>") == 2
    spec = json.loads(re.search(r'vegaEmbed\("#chart", (\{.*\}), \{"mode"', page)[1])
    assert next(iter(spec["datasets"].values())) == data(chart)


@pytest.mark.parametrize(
    ("suffix", "begin"), [(".png", b"\x89PNG"), (".svg", b"<svg"), (".json", b"{"), (".HTM", b"<!DOCTYPE")]
)
def test_the_forms_of_files(tiny: LanguageModel, tmp_path: Path, suffix: str, begin: bytes):
    for result in (
        tiny.words(["the dog", "a cat"]),
        tiny.score("a"),
        tiny.pairs(["a", "b"], ["c", "d"], phenomenon=["x", "y"]),
        tiny.choices([{"question": "Q", "choices": ["a", "b"], "answer": 0}]),
    ):
        file = tmp_path / f"chart{suffix}"
        save_plot(result.plot(), file)
        assert file.read_bytes().startswith(begin)
        if suffix == ".json":
            assert json.loads(file.read_text())["$schema"].startswith("https://vega.github.io/schema/vega-lite/")
    assert [each.name for each in tmp_path.iterdir()] == [f"chart{suffix}"]


def test_files_that_cannot_be_written(tiny: LanguageModel, tmp_path: Path):
    chart = tiny.score("a").plot()
    for name in ("chart.pdf", "chart"):
        message = f"^cannot infer the format of '{name}': use a name ending in .html, .png, .svg or .json$"
        with pytest.raises(OutputError, match=message):
            save_plot(chart, name)
    with pytest.raises(OutputError, match=r"^cannot write .*: No such file or directory$"):
        save_plot(chart, tmp_path / "missing" / "chart.png")
    own = tmp_path / "own.json"
    own.write_text("{}")
    with pytest.raises(OutputError, match="is an input file"):
        save_plot(chart, own, inputs=[str(own)])


def test_altair_is_imported_by_plot_only():
    code = (
        "import sys, chainrule\n"
        "lm = chainrule.LanguageModel(chainrule.TableModel('AB', {'': [1, 2]}, back_off=True))\n"
        "score = lm.score('AB'); score._repr_html_(); chainrule.save_plot\n"
        "assert not {'altair', 'vl_convert'} & set(sys.modules)\n"
        "score.plot(); assert 'altair' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_long_texts_have_thinner_labels(tiny: LanguageModel):
    few, many = (tiny.words("word " * size, window=32).plot().to_dict() for size in (5, 200))
    assert few["encoding"]["x"]["axis"]["labelOverlap"] is False
    assert many["encoding"]["x"]["axis"]["labelOverlap"] is True
    assert many["width"] == lines._WIDEST
