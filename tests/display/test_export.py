"""Explanations as HTML, SVG and LaTeX: every token stays recognisable, and every document is valid."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from text_zoo import byte_level

from chainrule import Explanation, LanguageModel, OutputError, TableModel
from chainrule.display.export import latex as latex_form
from chainrule.display.export import svg as svg_form
from chainrule.display.export.html import html_document
from chainrule.display.export.signs import typeset
from chainrule.display.export.visible import line, visible
from chainrule.results.numbers import decimal, probability

STRANGE = [
    "<script>alert('x')</script>", "&amp;", "]]>", "-->", '"', "'", "`", "--", "---", ",,", "<<", "?`", "!`", "fi",
    "\\", "\\n", "\n", "\t", "\r\n", "\x00", "\x1b[31m", "\x85", " ", "  ", "\u00a0", "␣", "\\u2423", "\u200b", "\u200d",
    "\u202e", "\u2066", "\ufeff", "\ufffe", "\u2028", "\u0301", "e\u0301", "שלום", "مرحبا", "日本語", "👩‍👩‍👧", "½", "ǅ", "𝔘",
    "{", "}", "{}}", "$x$", "#1", "_", "^", "~", "%", "|", "\\end{tabular}", "\\\\", "&", "[", "=", "…", "−",
]  # fmt: skip
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def strange() -> Explanation:
    """All strange tokens once, with alternatives."""
    model = TableModel(STRANGE, {(): [0.0] * len(STRANGE)}, back_off=True)
    return LanguageModel(model).explain(list(range(len(STRANGE))), top=2)


@pytest.fixture(scope="module")
def sentence(tiny: LanguageModel) -> Explanation:
    return tiny.explain(" A <b>bold</b> & long text.", context="日本\n語 <i>")


@pytest.fixture(scope="module")
def long() -> Explanation:
    letters = TableModel("ab", {"": [0.5, 0.5]}, probabilities=True, back_off=True)
    return LanguageModel(letters).explain("ab" * 500)


# Numbers


def test_numbers_are_not_rounded_to_0_or_1():
    assert probability(math.log(0.25)) == "0.25"
    assert probability(math.log(4.36382e-7)) == "4.36382e-07"
    assert (probability(0.0), probability(-math.inf)) == ("1", "0")
    assert probability(-2.3e-9) == "1 - 2.3e-09"
    assert probability(math.log1p(-1e-4), 3) == "1 - 0.0001"
    assert probability(-1000 * math.log(10)) == "1e-1000"
    assert probability(math.log(7.25) - 5000 * math.log(10)) == "7.25e-5000"
    assert probability(math.log(9.9999999) - 400 * math.log(10)) == "1e-399"
    assert (decimal(-1.5), decimal(0.0), decimal(-0.0)) == ("-1.500000", "0.000000", "0.000000")
    assert (decimal(-2.34e-9), decimal(-math.inf), decimal(2e-4, 3)) == ("-2.3e-09", "-inf", "0.0002")


def test_numbers_in_the_signs_of_unicode():
    assert typeset("4.36382e-07") == "4.36382 × 10⁻⁷"
    assert typeset("1 - 2.3e-09") == "1 − 2.3 × 10⁻⁹"
    assert (typeset("-8.215700"), typeset("-inf"), typeset("7e-5000")) == ("−8.215700", "−∞", "7 × 10⁻⁵⁰⁰⁰")


# Tokens


def test_tokens_that_differ_look_different():
    tokens = [token.encode() for token in STRANGE] + [b"\xe2", b"\x85", b"a\x80b", b"\xed\xa0\x80", "\x85".encode(), b"\\xe2"]
    looks = [visible(raw.decode("utf-8", "backslashreplace"), raw) for raw in dict.fromkeys(tokens)]
    for a, b in combinations(looks, 2):
        assert a != b
    for look in looks:
        assert look.isprintable()
        assert " " not in look


def test_tokens_as_they_are_shown():
    assert visible(" umbrella", b" umbrella") == "␣umbrella"
    assert visible(r"\xe2", b"\xe2") == r"\xe2"
    assert visible(r"\xe2", rb"\xe2") == r"\\xe2"
    assert visible("<5>", b"") == "<5>"  # a symbol without bytes
    assert visible("", b"") == ""
    assert visible("\u0301", "\u0301".encode()) == r"\u0301"
    assert visible("e\u0301", "e\u0301".encode()) == "e\u0301"
    assert line("a  b\n\u202e\\") == "a  b\\n\\u202e\\"


def test_parts_of_characters_of_a_network(tiny: LanguageModel):
    explanation = tiny.explain("日本語")
    assert r"\xe6" in explanation.to_html()
    assert r"\\xe6" not in explanation.to_html() + explanation.to_svg()


# HTML


class Page(HTMLParser):
    """The tags of a page, and the text of each cell."""

    VOID = ("meta", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.cells: list[str] = []
        self.words = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open += [tag] if tag not in self.VOID else []
        self.cells += [""] if tag in ("td", "th") else []

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        assert tag in self.VOID
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data
        if self.open and self.open[-1] not in ("tr", "tbody", "thead", "tfoot") and {"td", "th"} & set(self.open):
            self.cells[-1] += data


def test_html_has_every_token_and_number(strange: Explanation):
    html = strange.to_html()
    ElementTree.fromstring(html.removeprefix("<!DOCTYPE html>\n"))
    page = Page(html)
    names = [tag for tag, _ in page.tags]
    assert "script" not in names
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on") or key in ("src", "href")]
    assert "@import" not in html
    assert "url(" not in html
    assert names.count("caption") == 1
    rows = [page.cells[i : i + 8] for i in range(8, len(page.cells), 8)]
    assert len(rows) == len(STRANGE) + 1
    for factor, token, row in zip(strange.factors, STRANGE, rows, strict=False):
        assert row[0] == factor.formula.replace("_", "")
        assert row[1] == visible(token, token.encode())
        assert row[2] == typeset(f"{factor.probability:.6g}")
        assert row[4:6] == [typeset(f"{factor.logprob:.6f}"), typeset(f"{factor.running_logprob:.6f}")]
        assert row[6] == str(strange.score.ranks[STRANGE.index(token)])
        assert len(re.findall(r" 0\.0\d+", row[7])) == 2
    assert rows[-1][0] == "Pr(x)"
    assert rows[-1][2] == typeset(f"{math.exp(strange.score.logprob):.6g}")
    assert rows[-1][4] == typeset(f"{strange.score.logprob:.6f}")


def test_html_is_accessible(sentence: Explanation):
    page = Page(sentence.to_html())
    assert ("html", {"lang": "en"}) in page.tags
    assert all(attributes["scope"] in ("col", "row") for tag, attributes in page.tags if tag == "th")
    assert sum(tag == "th" and attributes["scope"] == "row" for tag, attributes in page.tags) == len(sentence.factors) + 1
    bars = [attributes for _, attributes in page.tags if attributes.get("class") == "bar"]
    assert len(bars) == len(sentence.factors)
    assert all(attributes["aria-hidden"] == "true" for attributes in bars)  # the numbers are beside them
    assert all(attributes == {"lang": "", "translate": "no"} for tag, attributes in page.tags if tag == "bdi")
    assert "context: 日本\\n語 <i>" in page.words
    assert "conditional: the context is given; the first token of it is predicted from" in page.words
    assert "model: " in page.words
    assert "␣ is a space" in page.words


def test_colours_of_html_can_be_read(sentence: Explanation):
    """WCAG AA: 4.5 for text, 3 for bars, on both backgrounds."""
    html = sentence.to_html()
    themes = re.findall(r"--ink: #(\w{6}); --page: #(\w{6})", html)
    assert len(themes) == 3  # light, dark, print
    bar = re.search(r"\.bar \{[^}]*background: #(\w{6})", html)[1]
    for ink, page in themes:
        assert contrast(ink, page) > 7
        assert contrast(bar, page) > 3
    assert contrast(svg_form._INK[1:], svg_form._PAGE[1:]) > 7
    assert "prefers-color-scheme: dark" in html


def contrast(a: str, b: str) -> float:
    light, dark = sorted(map(luminance, (a, b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_the_view_of_a_notebook_is_the_table(strange: Explanation):
    page = Page(strange._repr_html_())
    assert page.cells == Page(html_document(strange)).cells
    assert not {"html", "body", "h1", "script"} & {tag for tag, _ in page.tags}
    style = re.search(r"<style>(.*?)</style>", strange._repr_html_(), re.DOTALL)[1]
    assert all(rule.strip().startswith(".chainrule ") for rule in re.findall(r"([^{}]+)\{", style))  # nothing else of the page


def test_bars_are_proportional_to_surprisal():
    rows = {"": [1, 0], "A": [0.5, 0.5], "AA": [0.25, 0.75]}
    lm = LanguageModel(TableModel("AB", rows, probabilities=True))
    assert re.findall(r'class="bar".*?width:([\d.]+)em', lm.explain("AAA").to_html()) == ["3.00", "6.00"]
    assert re.findall(r"rule\{([\d.]+)mm", lm.explain("AAA").to_latex()) == ["4.50", "9.00"]
    assert re.findall(r'width="([\d.]+)" height="10"', lm.explain("AAA").to_svg()) == ["50.0", "100.0"]
    impossible = lm.explain("BA"[:1])
    assert re.findall(r'class="bar".*?width:([\d.]+)em', impossible.to_html()) == ["6.00"]
    for form in (impossible.to_html(), impossible.to_svg()):
        assert "−∞" in form
    assert r"$-\infty$" in impossible.to_latex()


# SVG


def test_svg_has_every_token_and_number(strange: Explanation):
    root = ElementTree.fromstring(strange.to_svg())
    texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    for token in STRANGE:
        assert visible(token, token.encode()) in texts
    for factor in strange.factors:
        assert typeset(f"{factor.running_logprob:.6f}") in texts
    assert {element.tag for element in root.iter()} == {f"{SVG}{name}" for name in ("svg", "title", "desc", "rect", "text")}
    assert root[0].tag == f"{SVG}title"  # the name of the picture must be its first child
    assert r"1. <script>alert('x')</script>: " in root[1].text


@pytest.mark.parametrize("name", ["strange", "sentence", "long"])
def test_texts_of_svg_do_not_overlap(name: str, request: pytest.FixtureRequest):
    root = ElementTree.fromstring(request.getfixturevalue(name).to_svg())
    width, height = float(root.get("width")), float(root.get("height"))
    lines: dict[float, list[tuple[float, float]]] = {}
    for text in root.iter(f"{SVG}text"):
        scale = float(text.get("font-size", svg_form._SIZE)) / svg_form._SIZE
        x, length = float(text.get("x")), scale * svg_form._width("".join(text.itertext()))
        begin = x - length if text.get("text-anchor") == "end" else x
        lines.setdefault(float(text.get("y")), []).append((begin, begin + length))
    for spans in lines.values():
        spans.sort()
        assert spans[0][0] >= 0
        assert spans[-1][1] <= width + 0.5
        assert all(end <= begin + 0.2 for (_, end), (begin, _) in pairwise(spans))
    assert max(lines) < height
    bottoms = [float(rect.get("y", 0)) + float(rect.get("height")) for rect in root.iter(f"{SVG}rect")]
    assert max(bottoms) <= height


def test_wide_characters_of_svg_have_room():
    """As wide as they are in any font: letters of monospace fonts 0.6 em, those of CJK 1 em, emoji up to 1.25 em."""
    widths = [svg_form._width(text) / svg_form._SIZE for text in ("a", "語", "👩", "e\u0301")]
    assert widths == pytest.approx([0.62, 1.24, 1.24, 0.62])


def test_an_svg_is_as_wide_as_its_content(sentence: Explanation, strange: Explanation):
    narrow, wide = (float(ElementTree.fromstring(each.to_svg()).get("width")) for each in (sentence, strange))
    assert 500 < narrow < wide


# LaTeX

COMMANDS = re.compile(r"\\[a-zA-Z]+|\\.")


@pytest.mark.parametrize("name", ["strange", "sentence", "long"])
def test_latex_is_escaped(name: str, request: pytest.FixtureRequest):
    latex = request.getfixturevalue(name).to_latex()
    comments = [each for each in latex.splitlines() if each.startswith("%")]
    body = re.sub(r"(?m)^%.*\n", "", latex)
    body = body.partition(r"\begingroup")[2]
    body = re.sub(r"\\chainrulechar\{(.)\}\{([0-9A-F]+)\}", lambda m: "" if ord(m[1]) == int(m[2], 16) else m[0], body)
    assert body.isascii()
    plain = COMMANDS.sub("", body)
    assert plain.count("{") == plain.count("}")
    assert not set("#%~\"`'") & set(plain.replace(r"{\char34}", ""))
    tokens = re.findall(r"\\texttt\{(.*?)\} [&$]", body)
    assert tokens
    for token in tokens:
        assert not set("$&_^<>|") & set(COMMANDS.sub("", token))
    assert any(r"\usepackage{booktabs}" in comment for comment in comments)
    rows = [each for each in body.splitlines() if each.startswith(r"$\Pr(x_")]
    assert len(rows) == len(request.getfixturevalue(name).factors)


def test_every_sign_of_latex_is_written_by_a_command():
    assert latex_form.text("\\{}$&#_%^~<>|") == (
        r"\textbackslash{}\{\}\$\&\#\_\%\textasciicircum{}\textasciitilde{}\textless{}\textgreater{}\textbar{}"
    )
    assert latex_form.text("a \"b\" 'c' `d`") == (
        r"a {\char34}b{\char34} \textquotesingle{}c\textquotesingle{} \textasciigrave{}d\textasciigrave{}"
    )
    assert latex_form.text("---,,") == "-{}-{}-,{},"  # without ligatures
    assert latex_form.text("é語") == r"\chainrulechar{é}{00E9}\chainrulechar{語}{8A9E}"


def test_formulas_of_latex(sentence: Explanation):
    latex = LanguageModel(TableModel("AB", {"": [0, 0]}, back_off=True)).explain("A" * 12).to_latex()
    assert r"$\Pr(x_{2} \mid s, e_{0}, e_{1})$" in latex
    assert r"$\Pr(x_{11} \mid s, e_{0}, \ldots, e_{10})$" in latex
    assert r"2.44141 \times 10^{-4}" not in latex  # as elsewhere: 0.000244141
    assert r"$0.000244141$" in latex
    assert r"$\Pr(x)$ given its context" in sentence.to_latex()


def test_a_long_latex_table_is_broken_across_pages(long: Explanation, sentence: Explanation):
    assert r"\usepackage{longtable}" in long.to_latex()
    assert r"\begin{longtable}" in long.to_latex()
    assert "longtable" not in LanguageModel(TableModel("AB", {"": [0, 0]}, back_off=True)).explain("A").to_latex()


@pytest.mark.parametrize("program", ["pdflatex", "xelatex", "lualatex"])
def test_latex_compiles(program: str, strange: Explanation, long: Explanation, sentence: Explanation, tmp_path: Path):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    for name, explanation in {"strange": strange, "long": long, "sentence": sentence}.items():
        explanation.write(tmp_path / f"{name}.tex")
    document = r"""\documentclass{article}\usepackage{booktabs,longtable}%s
\begin{document}\input{strange.tex}\input{long.tex}\input{sentence.tex}\end{document}"""
    (tmp_path / "all.tex").write_text(document % (r"\usepackage[T1]{fontenc}" if program == "pdflatex" else ""))
    run = subprocess.run([program, "-interaction=nonstopmode", "-halt-on-error", "all.tex"], cwd=tmp_path, capture_output=True)
    assert run.returncode == 0, run.stdout[-2000:]
    assert b"Missing character" not in run.stdout + (tmp_path / "all.log").read_bytes()


# All


def test_documents_are_the_same_each_time(strange: Explanation, sentence: Explanation):
    for explanation in (strange, sentence):
        again = Explanation(explanation.score)
        for form in ("html", "svg", "latex", "json"):
            assert again.as_form(form) == explanation.as_form(form)


def test_a_long_text_is_shown_whole(long: Explanation):
    assert Page(long.to_html()).cells[:2] == ["factor", "token"]
    assert len(Page(long.to_html()).cells) == 7 * 1002
    assert long.to_latex().count("$\\Pr(x_{") == 1000
    for form in (long.to_html(), long.to_svg()):
        assert "ab … (1000 characters)" in form
        assert "9.33264 × 10⁻³⁰²" in form
    assert "the product of 1000 factors" in long.to_html()


def test_factors_in_an_order_keep_their_numbers():
    from model_zoo import tiny_any_order

    explanation = tiny_any_order("llama").lm.explain([3, 50, 7, 11, 12], order=(0, 4, 2, 1, 3), top=1)
    cells = Page(explanation.to_html()).cells
    rows = [cells[i : i + 8] for i in range(8, len(cells), 8)]
    assert [row[1] for row in rows[:-1]] == ["<3>", "<12>", "<7>", "<50>", "<11>"]
    assert [row[6] for row in rows[:-1]] == [str(explanation.score.ranks[i]) for i in (0, 4, 2, 1, 3)]
    assert "order 0, 4, 2, 1, 3" in explanation.to_svg()


def test_token_ids_without_a_tokenizer(tiny: LanguageModel):
    explanation = LanguageModel(tiny.model, engine=tiny.engine).explain([5, 6])
    assert "<code>&lt;5&gt;</code>" in explanation.to_html()
    assert "2 factors" in explanation.to_svg()


def test_files(tiny: LanguageModel, tmp_path: Path):
    explanation = tiny.explain("日本 a")
    for name, contents in {
        "a.html": explanation.to_html(),
        "a.SVG": explanation.to_svg(),
        "a.tex": explanation.to_latex(),
        "a.json": explanation.to_json(),
    }.items():
        (tmp_path / name).write_text("before")
        explanation.write(tmp_path / name)
        assert (tmp_path / name).read_text(encoding="utf-8") == contents
    with pytest.raises(OutputError, match=r"cannot infer the format of '.*a\.png': use a name ending in \.html, \.svg, \.tex"):
        explanation.write(tmp_path / "a.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.SVG", "a.html", "a.json", "a.tex"]


def test_the_tokenizer_of_these_tests_has_parts_of_characters():
    assert b"\xe6" in [byte_level().token_bytes(i) for i in range(300)]
