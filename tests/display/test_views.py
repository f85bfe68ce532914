"""Views of results in terminals and notebooks."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from rich.console import Console
from text_zoo import wordpiece

import chainrule
from chainrule import Detectors, LanguageModel, TableModel
from chainrule.display import notebook
from chainrule.display.rankings import ranking_view
from chainrule.display.spans import level
from chainrule.results import shown as hook

NASTY = "<script>alert(\"x\")</script> & [bold]'markup'[/bold]"


@pytest.fixture(scope="module")
def letters() -> LanguageModel:
    return LanguageModel(TableModel("AB", {"": [1, 0]}, probabilities=True, back_off=True))


def shown(result: object, width: int = 200) -> str:
    console = Console(width=width, color_system="truecolor", force_terminal=True, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(result)
    return console.export_text()


class Page(HTMLParser):
    """The tags and the text of a page, and whether all tags are closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.words = ""
        self.titles: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.add(tag)
        self.open += [tag] if tag != "br" else []  # it has no end tag
        self.titles += [value for name, value in attrs if name == "title"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_html_of_a_score_shows_the_text_unchanged(tiny: LanguageModel):
    score = tiny.score(NASTY, context="<b>bold</b> & ")
    page = Page(score._repr_html_())
    assert page.tags == {"div", "span", "small"}
    assert page.open == []
    assert ("<b>bold</b> & " + NASTY) in page.words
    assert f"{score.logprob:.6f} nats" in page.words
    assert "log Pr given its context" in page.words
    assert len(page.titles) == len(score)
    assert all(re.match(r"Pr = .*, .* bits, rank \d+, context \d+$", title) for title in page.titles)


def test_html_of_many_scores(tiny: LanguageModel):
    page = Page(tiny.score_batch([NASTY, "a"])._repr_html_())
    assert page.tags == {"table", "tr", "th", "td", "small"}
    assert page.open == []
    assert NASTY in page.words
    assert "Scores(2 sequences" in page.words


def test_tokens_that_are_markup_are_escaped():
    lm = LanguageModel(TableModel(['<i title="', "&lt;"], {(): [0, 0]}, back_off=True))
    page = Page(lm.score([0, 1])._repr_html_())
    assert page.tags == {"div", "span", "small"}
    assert '<i title="&lt;' in page.words


def test_colour_is_surprisal(letters: LanguageModel):
    html = letters.score("AB")._repr_html_()
    assert re.findall(r"rgba\(214,40,40,(.*?)\)", html) == ["0.00", "1.00"]
    assert notebook.heat(-8 * 0.6931471805599453) == pytest.approx(0.5)
    styles = [level(-bits * 0.6931471805599453) for bits in (0, 3.99, 4.01, 8.01, 12.01, float("inf"))]
    assert styles[:2] == ["", ""]  # the colour of the terminal, whatever its background
    assert len(set(styles)) == 4
    assert all("underline" in style for style in styles[3:])  # a mark that is not a colour


def test_a_score_in_a_terminal(tiny: LanguageModel):
    score = tiny.score(NASTY, context="[red]before[/red] ")
    output = shown(score)
    assert ("[red]before[/red] " + NASTY) in output
    heads, units, numbers, condition, source = output.splitlines()[-5:]
    assert heads.split("  ")[:3] == ["log Pr(text | context)", "tokens", "perplexity"]
    assert units.split() == ["(nats)", "per", "byte"]
    assert numbers.split() == [f"{score.logprob:.6f}", str(len(score)), f"{score.perplexity:.4g}", f"{score.bits_per_byte:.4f}"]
    assert condition == score.condition
    assert source == "model:  " + score.source.replace(" · ", "  ")
    assert score.condition.startswith("conditional: the context is given; the first token of it is predicted from")
    assert "log Pr(text)" in shown(tiny.score("a"))


def test_the_most_surprising_tokens_are_named(tiny: LanguageModel):
    score = tiny.score("The quick brown fox")
    column = int(score.logprobs.argmin())
    line = next(line for line in shown(score).splitlines() if line.startswith("most surprising (bits):"))
    assert line.split(":  ")[1].startswith(f"{score.tokens[column]!r} {score.surprisals_bits[column]:.2f}")


def test_a_text_cannot_control_the_terminal(tiny: LanguageModel):
    for result in (tiny.score("a\x1b[31mb\rc"), tiny.score_batch(["a\x1b[31mb\rc"]), tiny.explain("a\x1b[31mb\rc")):
        assert "\x1b" not in str(shown(result))
        assert "\r" not in shown(result)
        assert "\\x1b" in shown(result)


def test_scores_in_a_terminal(tiny: LanguageModel):
    scores = tiny.score_batch(["[bold]a[/bold]", "two\nlines", [5, 6, 7]])
    output = shown(scores)
    assert "[bold]a[/bold]" in output
    assert "two lines" in output
    assert "5 6 7" in output
    assert all(f"{score.logprob:.6f}" in output for score in scores)
    assert "sequences" not in output


def test_many_scores_are_shown_in_part(tiny: LanguageModel):
    scores = tiny.score_batch([f"text {i}" for i in range(25)])
    output = shown(scores)
    assert "20 of 25 sequences" in output
    assert "text 19" in output
    assert "text 20" not in output
    assert Page(scores._repr_html_()).words.count("text ") == 20


def test_an_explanation_in_a_terminal():
    rows = {"": [1, 0], "A": [0.5, 0.5], "AA": [1, 0]}
    lm = LanguageModel(TableModel("AB", rows, probabilities=True))
    output = shown(lm.explain("AAB"))
    lines = [line for line in output.splitlines() if line.startswith("Pr(x_")]
    assert lines[0].split()[:5] == ["Pr(x_0", "|", "s)", "'A'", "1"]
    assert lines[1].split()[4:9] == ["'A'", "0.5", "-0.693147", "-0.693147", "1"]
    assert lines[2].split()[-4:] == ["0", "-inf", "-inf", "2"]
    bars = [line.count("█") for line in lines]
    assert bars[0] > 20
    assert abs(bars[1] - bars[0] / 2) <= 1  # lengths of bars are proportional to probabilities
    assert bars[2] == 0
    assert "Pr(x) = exp(-inf) = 0" in output


def test_a_ranking_in_a_terminal(tiny: LanguageModel):
    ranked = tiny.rank("The quick", [" [bold]fox[/bold]", " brown"])
    lines = shown(ranking_view(ranked)).splitlines()
    assert [line.split()[0] for line in lines[2:4]] == ["1", "2"]
    assert all(f"{r.logprob:.6f}" in line and r.text in line for r, line in zip(ranked, lines[2:4], strict=True))


def test_scores_without_a_text(tiny: LanguageModel):
    without_tokenizer = LanguageModel(tiny.model, engine=tiny.engine)
    assert "<5><6>" in shown(without_tokenizer.score([5, 6]))
    assert "&lt;5&gt;" in without_tokenizer.score([5, 6])._repr_html_()
    assert shown(without_tokenizer.score([5, 6])).splitlines()[-3].split()[1] == "2"
    lm = LanguageModel(tiny.model, wordpiece(), engine=tiny.engine)
    assert "[SEP]" in shown(lm.score(("a", "b")))
    assert "the symbol [CLS] (id 1)" in shown(lm.score(("a", "b")))


def test_no_scores(tiny: LanguageModel):
    assert "log Pr" in shown(tiny.score_batch([]))
    assert Page(tiny.score_batch([])._repr_html_()).open == []


def test_views_are_imported_when_the_first_is_shown():
    code = (
        "import sys, chainrule\n"
        "assert not [name for name in sys.modules if name.startswith('chainrule.display')]\n"
        "lm = chainrule.LanguageModel(chainrule.TableModel('AB', {'': [1, 0]}, probabilities=True, back_off=True))\n"
        "assert lm.score('AB')._repr_html_().startswith('<div')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    "name", ["Score", "Scores", "Mixture", "Mixtures", "PseudoScore", "Explanation", "Generated", "Conditional"]
)
def test_every_result_has_a_view(name: str):
    assert hook.rich.dispatch(getattr(chainrule, name)) is not hook.rich.dispatch(object)
    assert (hook.html.dispatch(getattr(chainrule, name)) is hook.html.dispatch(object)) == (
        name in ("PseudoScore", "Conditional")
    )


def test_a_generated_text_has_a_view_of_its_own(letters: LanguageModel):
    generated = letters.generate(max_tokens=2)
    assert generated.describe() in shown(generated)
    assert generated._repr_html_() == notebook.score_html(generated)


def test_a_result_without_a_view():
    with pytest.raises(TypeError, match="int has no view for a terminal"):
        hook.rich(5)
    assert hook.html(5) is None


SENTENCE = {"condition_name": "a", "regions": [{"region_number": 1, "content": NASTY}]}
SUITE = {
    "meta": {"name": NASTY},
    "predictions": [{"type": "formula", "formula": "(1;%a%) > 1"}],
    "items": [{"item_number": 1, "conditions": [SENTENCE]}],
}


def measured(lm: LanguageModel) -> dict[str, object]:
    return {
        "pairs": lm.pairs([NASTY, "a"], ["b", "a"], phenomenon=[NASTY, "x"]),
        "choices": lm.choices([{"question": NASTY, "choices": [NASTY, "a"], "answer": 0}]),
        "suite": lm.suite(SUITE),
        "acceptability": lm.acceptability([NASTY, "a"], context=["a", None], unigram=["a b c"]),
        "detectors": Detectors(lm.score_batch([NASTY, "a"])),
    }


@pytest.mark.parametrize("name", ["pairs", "choices", "suite", "acceptability", "detectors"])
def test_views_of_pairs_choices_suites_and_measures(tiny: LanguageModel, name: str):
    result = measured(tiny)[name]
    page = Page(result._repr_html_())
    assert page.open == []
    assert page.tags <= {"table", "tr", "th", "td", "small", "br"}
    assert NASTY in page.words
    for width in (40, 80, 200):
        text = shown(result, width)
        assert max(map(len, text.splitlines())) <= width
        assert NASTY[:8] in text


def test_accuracies_in_a_terminal(letters: LanguageModel):
    text = shown(letters.pairs(["A", "AA", "B"], ["B", "A", "B"], phenomenon=["x", "x", "y"]), 120)
    assert re.search(r"all +0\.333 \(0\.061 to 0\.792\) .* 3 +2\n", text)
    assert re.search(r"x +0\.500 \(0\.095 to 0\.905\) .* 2 +1\n", text)
    assert "A tie is no success" in text
    assert "no intervals" in shown(letters.pairs(["A"], ["B"]), 50)
