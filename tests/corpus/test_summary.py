"""The summary of a corpus, compared with a slow computation in plain Python, and its page and chart."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
from corpus_folders import documents, failed, impossible, schema, scored, write
from hypothesis import given
from hypothesis import strategies as st

from chainrule import InputError, OutputError
from chainrule.corpus.scored.chart import histogram_chart
from chainrule.corpus.scored.histogram import histogram, round_bounds
from chainrule.corpus.scored.page import summary_page
from chainrule.corpus.scored.page_numbers import shown_number, ticks
from chainrule.corpus.scored.parts import Parts
from chainrule.corpus.scored.reasons import Reasons, general
from chainrule.corpus.scored.summary import Distribution, Figures, Summary, summarise
from chainrule.files.row_text import json_text

INF = math.inf
LANG = [("lang", pa.string())]


def summary_of(rows: list[dict[str, Any]], folder: Path, by: str | None = None) -> Summary:
    """The summary of rows in parts of six rows, in row groups of three."""
    parts = [rows[i : i + 6] for i in range(0, len(rows), 6)] or [[]]
    return summarise(Parts(write(folder / "scored", parts, schema(LANG))), by)


# --- a slow summary


def slow_total(values: list[float]) -> float:
    """The sum in exact arithmetic."""
    return -INF if -INF in values else float(sum(map(Fraction, values), Fraction(0)))


def slow_distribution(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    ordered = sorted(values)

    def at(percent: int) -> float:
        place = Fraction(percent * (len(ordered) - 1), 100)
        low = math.floor(place)
        if place == low or INF in ordered[low : low + 2]:
            return ordered[low] if place == low else ordered[low + 1]
        return float(Fraction(ordered[low]) + (Fraction(ordered[low + 1]) - Fraction(ordered[low])) * (place - low))

    mean = INF if INF in values else statistics.fmean(values)
    names = {"minimum": 0, "p5": 5, "p25": 25, "median": 50, "p75": 75, "p95": 95, "maximum": 100}
    return {"documents": len(values), "mean": mean} | {name: at(percent) for name, percent in names.items()}


def check(own: Figures, rows: list[dict[str, Any]], bounds: tuple[float, ...]) -> None:
    good = [row for row in rows if row["error"] is None]
    assert (own.documents, own.failed) == (len(rows), len(rows) - len(good))
    assert (own.tokens, own.bytes) == (sum(row["tokens"] for row in good), sum(row["bytes"] for row in good))
    total = slow_total([row["logprob"] for row in good])
    assert own.logprob == pytest.approx(total, rel=1e-15)
    assert own.bits_per_byte == (pytest.approx(-total / math.log(2) / own.bytes) if own.bytes else None)
    assert own.perplexity == (pytest.approx(math.exp(-total / own.tokens) if total > -INF else INF) if own.tokens else None)
    for name, found in own.to_dict()["per_document"].items():
        expected = slow_distribution([row[name] for row in good if row[name] is not None])
        assert found == (None if expected is None else pytest.approx(expected, rel=1e-12)), name
    kinds = Counter(re.sub(r"^line \d+ of my x.txt: (.*) \d+$", r"\1 #", row["error"]) for row in rows if row["error"])
    assert {reason.reason: reason.documents for reason in own.reasons} == kinds
    finite = [row["bits_per_byte"] for row in good if row["bits_per_byte"] not in (None, INF)]
    counts = [0] * max(0, len(bounds) - 1)
    for value in finite:
        for i in range(len(counts)):
            if bounds[i] <= value < bounds[i + 1] or (i == len(counts) - 1 and value == bounds[-1]):
                counts[i] += 1
    assert list(own.histogram.counts) == counts
    outside = (sum(v < bounds[0] for v in finite), sum(v > bounds[-1] for v in finite)) if bounds else (0, 0)
    assert (own.histogram.under, own.histogram.over) == outside
    assert own.histogram.infinite == sum(row["bits_per_byte"] == INF for row in good)


@given(rows=documents(), by=st.sampled_from([None, "lang"]))
def test_a_summary_agrees_with_a_slow_computation(rows: list[dict[str, Any]], by: str | None):
    with TemporaryDirectory() as folder:
        own = summary_of(rows, Path(folder), by)
    bounds = own.whole.histogram.bounds
    check(own.whole, rows, bounds)
    groups = {row["lang"]: [other for other in rows if other["lang"] == row["lang"]] for row in rows} if by else {}
    assert {group.value for group in own.groups} == set(groups)
    assert [g.documents for g in own.groups] == sorted((g.documents for g in own.groups), reverse=True)
    for group in own.groups:
        check(group, groups[group.value], bounds)
        assert group.histogram.bounds == bounds
    json.loads(json_text(own.to_dict()), parse_constant=lambda name: pytest.fail(f"{name} is not strict JSON"))


def test_sums_are_not_rounded_at_each_step(tmp_path: Path):
    rows = [scored(logprob, 2**20, 1) for logprob in [-(2.0**26), -3e-9, -3e-9, -3e-9]]  # in blocks of three
    own = summary_of(rows, tmp_path)
    assert own.whole.logprob == math.fsum(row["logprob"] for row in rows)
    assert own.whole.logprob != sum(row["logprob"] for row in rows)


def test_plain_data(tmp_path: Path):
    rows = [scored(-math.log(4), 2, 4, lang="en"), impossible(1, 1, "en"), failed("bad", lang=None)]
    own = summary_of(rows, tmp_path, "lang").to_dict()
    assert {name: own[name] for name in ("source", "parts", "by", "documents", "scored", "failed")} == {
        "source": "scored", "parts": 1, "by": "lang", "documents": 3, "scored": 2, "failed": 1,
    }  # fmt: skip
    assert own["reasons"] == [{"reason": "bad", "documents": 1, "example": "bad"}]
    assert (own["logprob"], own["bits_per_byte"], own["perplexity"]) == (-INF, INF, INF)
    assert [group["value"] for group in own["groups"]] == ["en", None]
    assert '"logprob": "-Infinity"' in json_text(own)
    alone = summary_of(rows[:1], tmp_path / "alone").whole
    assert (alone.bits_per_byte, alone.perplexity) == (pytest.approx(0.5), pytest.approx(2.0))
    assert alone.of_tokens == Distribution(1, *[2.0] * 8)


def test_columns_that_the_users_table_has_too(tmp_path: Path):
    form = schema([("logprob", pa.string()), ("tokens", pa.list_(pa.string()))], suffixed=["logprob", "tokens"])
    row = scored(-2.0, 3, 4)
    row |= {"logprob_chainrule": row["logprob"], "tokens_chainrule": row["tokens"], "logprob": "mine", "tokens": ["mine"]}
    own = summarise(Parts(write(tmp_path, [[row]], form)), "logprob")
    assert (own.whole.logprob, own.whole.tokens, own.groups[0].value) == (-2.0, 3, "mine")


def test_a_folder_that_was_not_scored(tmp_path: Path):
    write(tmp_path, [[{"a": 1}]], pa.schema([("a", pa.int64())]))
    with pytest.raises(InputError, match="no column 'logprob', which every scored corpus has; the columns are: a"):
        summarise(Parts(tmp_path))


# --- reasons


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("line 5 of x.txt: the text has 7 tokens", "the text has # tokens"),
        ("line 5 of my file.txt: the text is empty", "the text is empty"),
        ('line 5 of x.jsonl is not a JSON object but {"a.b": 1}', 'is not a JSON object but {"a.b": #}'),
        ("row 3 of standard input: column 'text' is null", "column 'text' is null"),
        ("line 7 of C:\\x.txt: bad", "bad"),
        ("item 7: bad", "bad"),
        ("line 1 (line 9) of d.v1/a: bad", "bad"),
        ("a line 5 of x.txt: bad", "a line # of x.txt: bad"),
    ],
)
def test_places_and_digits_do_not_make_reasons_differ(message: str, reason: str):
    assert general(message) == reason


def test_the_most_frequent_reasons():
    reasons = Reasons()
    reasons.add(f"line {i} of x.txt: {'abcdefghijklmno'[i % 15]}" for i in range(15 * 4 + 14))
    found = reasons.most_frequent()
    assert [(r.reason, r.documents, r.example) for r in found[:2]] == [
        ("a", 5, "line 0 of x.txt: a"),
        ("b", 5, "line 1 of x.txt: b"),
    ]
    assert [r.reason for r in found] == list("abcdefghij")


def test_very_many_reasons_are_counted_together():
    reasons = Reasons()
    reasons.add("a" * (i + 1) for i in range(1200))
    assert [(r.reason, r.documents) for r in reasons.most_frequent()[:2]] == [("other reasons", 200), ("a", 1)]


# --- the histogram


@given(st.lists(st.floats(0, 1e3) | st.floats(0, 1e-6) | st.floats(5, 5.001), min_size=1, max_size=50))
def test_bounds_are_round_and_hold_the_middle(values: list[float]):
    ordered = np.sort(np.array(values))
    bounds = round_bounds(np.append(ordered, INF))
    assert all(a < b for a, b in pairwise(bounds))
    assert 1 <= len(bounds) - 1 <= 62
    low, high = np.quantile(ordered, [0.005, 0.995])
    assert bounds[0] <= low + 1e-9
    assert high <= bounds[-1] + 1e-9
    width = bounds[1] - bounds[0]
    assert bounds[0] > low - 1.01 * width
    assert bounds[-1] < high + 1.01 * width
    # A round number times a power of ten
    mantissa = float(f"{(bounds[-1] - bounds[0]) / (len(bounds) - 1):.6e}".partition("e")[0])
    assert any(mantissa == pytest.approx(each, rel=1e-3) for each in (1, 2, 2.5, 5, 10))
    own = histogram(ordered, bounds)
    assert sum(own.counts) + own.under + own.over == len(values)


def test_the_number_of_bins_is_about_forty():
    for width in np.geomspace(1e-3, 1e3, 200):
        assert 25 <= len(round_bounds(np.linspace(0.3, 0.3 + width, 2001))) - 1 <= 62


def test_no_finite_value():
    assert round_bounds(np.array([INF])) == ()
    assert histogram(np.array([INF]), ()).to_dict() == {"bounds": [], "counts": [], "under": 0, "over": 0, "infinite": 1}


# --- the page and the chart

HOSTILE = "a<script>alert(1)</script>&\"'\x00\ud7ff"


def hostile(folder: Path, by: str | None = "lang") -> Summary:
    rows = [scored(-10.0 - i % 7, 5, 20, lang=("en", HOSTILE, "", None)[i % 4]) for i in range(40)]
    rows += [failed(f"line 3 of {HOSTILE}.txt: <b>{HOSTILE}</b>", lang="en"), impossible(5, 20, "en")]
    return summary_of(rows, folder / "<i>&amp;", by)


def page_of(summary: Summary) -> tuple[str, ElementTree.Element]:
    html = summary_page(summary)
    html.encode()
    return html, ElementTree.fromstring(html.removeprefix("<!DOCTYPE html>"))


def test_the_page_is_self_contained_and_escaped(tmp_path: Path):
    html, root = page_of(hostile(tmp_path))
    assert [node for node in root.iter() if node.tag in ("script", "i", "b", "link", "img")] == []
    assert not re.search(r"""(?:src|href)=|url\(|@import""", html)
    text = "".join(root.itertext())
    assert "a<script>alert(1)</script>&\"'\ufffd" in text
    assert "1 document with an infinite number" in text
    headings = [node.text for node in root.iter("th") if node.get("scope") == "col"]
    assert {"median", "reason", "group", "histogram"} <= set(headings)
    rows = ["".join(node.itertext()) for node in root.iter("th") if node.get("scope") == "row"]
    assert {"(none)", "(empty)", "en"} <= set(rows)


def test_the_bars_of_the_page(tmp_path: Path):
    own = hostile(tmp_path)
    _, root = page_of(own)
    svg = "{http://www.w3.org/2000/svg}"
    first, *small = root.iter(f"{svg}svg")
    assert first.get("role") == "img"
    assert "Histogram of bits per byte" in first.get("aria-label")
    counts = own.whole.histogram.counts
    bars = list(first.iter(f"{svg}rect"))
    assert [int(re.search(r": ([\d,]+) document", bar[0].text)[1]) for bar in bars] == [c for c in counts if c]
    tallest = max(float(bar.get("height")) for bar in bars)
    assert [float(bar.get("height")) / tallest for bar in bars] == pytest.approx(
        [c / max(counts) for c in counts if c], abs=0.01
    )
    assert [float(bar.get("x")) - 0.06 for bar in bars] == pytest.approx([i for i, c in enumerate(counts) if c])
    assert len(small) == len(own.groups)


def test_pages_of_little(tmp_path: Path):
    """No rows, only failures, and only documents of probability 0."""
    for number, rows in enumerate(([], [failed("bad")], [impossible(1, 1, None)])):
        own = summary_of(rows, tmp_path / str(number), "lang")
        html, root = page_of(own)
        assert f"<dt>documents</dt><dd>{len(rows)}</dd>" in html
        assert list(root.iter("{http://www.w3.org/2000/svg}svg")) == []
        with pytest.raises(OutputError, match="nothing to plot"):
            histogram_chart(own)


def test_a_page_shows_the_largest_groups(tmp_path: Path):
    rows = [scored(-1.0, 1, 1, lang=f"l{i:03}") for i in range(120)] + [scored(-1.0, 1, 1, lang="l119")]
    html, _ = page_of(summary_of(rows, tmp_path, "lang"))
    assert "The 100 largest groups; 20 more are left out." in html
    assert ">l119<" in html
    assert ">l098<" in html
    assert ">l099<" not in html


@pytest.mark.parametrize(
    ("number", "digits", "text"),
    [(None, 3, "–"), (1234567, 3, "1,234,567"), (1234.5678, 2, "1,234.57"), (0.0, 2, "0.00"), (0.0001, 2, "0.0001"),
     (-INF, 2, "−∞"), (2.5e13, 2, "2.5 × 10¹³")],
)  # fmt: skip
def test_shown_numbers(number: float | None, digits: int, text: str):
    assert shown_number(number, digits) == text


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0.4, 2.75, 6, [0.5, 1.0, 1.5, 2.0, 2.5]),
        (0, 4172, 5, [0, 1000, 2000, 3000, 4000]),
        (0, 1, 5, [0, 0.5, 1]),
        (3, 3.02, 6, [3, 3.005, 3.01, 3.015, 3.02]),
    ],
)
def test_ticks_are_round(low: float, high: float, most: int, expected: list[float]):
    assert ticks(low, high, most) == pytest.approx(expected)


def chart_rows(chart: Any) -> list[dict[str, Any]]:
    spec = chart.to_dict()
    return spec["datasets"][spec["data"]["name"]]


def test_the_chart_of_all_documents(tmp_path: Path):
    own = hostile(tmp_path, by=None)
    chart = histogram_chart(own)
    bins = own.whole.histogram
    assert [row["documents"] for row in chart_rows(chart)] == list(bins.counts)
    assert [(row["from"], row["to"]) for row in chart_rows(chart)] == list(zip(bins.bounds, bins.bounds[1:], strict=False))
    subtitle = " ".join(chart.to_dict()["title"]["subtitle"])
    assert "42 documents, 1 not scored, 205 tokens" in subtitle
    assert "probability is 0: 1 document" in subtitle


def test_the_chart_of_groups(tmp_path: Path):
    rows = [scored(-1.0 - i % 3, 1, 1, lang=f"l{i}") for i in range(10)] + [scored(-1.0, 1, 1, lang="l9")]
    chart = histogram_chart(summary_of(rows, tmp_path, "lang"))
    found = chart_rows(chart)
    assert list(dict.fromkeys(row["group"] for row in found)) == ["l9", *(f"l{i}" for i in range(7))]
    assert "the 8 largest of 10 groups" in " ".join(chart.to_dict()["title"]["subtitle"])
    for name in ("l9", "l1"):
        own = [row for row in found if row["group"] == name]
        assert sum(row["share"] for row in own[:-1]) == pytest.approx(1)
        assert own[-1]["documents"] == own[-2]["documents"]
