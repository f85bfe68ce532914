r"""An explanation as a LaTeX table, for \input in a document that pdfLaTeX, XeLaTeX or LuaLaTeX compiles."""

from __future__ import annotations

import re

from chainrule.display.export.lines import (
    ALTERNATIVES,
    FACTOR,
    LOG,
    PROBABILITY,
    RANK,
    RUNNING,
    SURPRISAL,
    TOKEN,
    Exported,
    Line,
)
from chainrule.display.export.visible import SPACE, code_point
from chainrule.results.explanation import Explanation

_BAR = 9.0  # mm, the length of a bar that is full
_LONGEST_TABULAR = 40  # factors; a longer table is broken across pages
_BREAK = r"\\"

_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    '"': r"{\char34}", "'": r"\textquotesingle{}", "`": r"\textasciigrave{}", SPACE: r"\textvisiblespace{}",
    "·": r"\textperiodcentered{}", "…": r"\ldots{}",
}  # fmt: skip

_BEGIN = r"""% The size. If the table is too wide, put \newcommand{\chainrulesize}{\scriptsize} before it, or \tiny.
\providecommand{\chainrulesize}{\footnotesize}
\begingroup\chainrulesize\setlength{\tabcolsep}{3.5pt}"""

_CHARACTER = r"""% A character that is not ASCII, or its number if the font does not have it. You can define it yourself.
\providecommand{\chainrulechar}[2]{%
  \ifdefined\Umathchar\iffontchar\font"#2 #1\else U+#2\fi
  \else\ifcsname u8:\detokenize{#1}\endcsname #1\else U+#2\fi\fi}"""


def latex(explanation: Explanation) -> str:
    """The table with the total in its last line, and the notes below."""
    exported = Exported(explanation)
    long = len(exported.lines) > _LONGEST_TABULAR
    names = [FACTOR, TOKEN, PROBABILITY, SURPRISAL, ("", ""), LOG, RUNNING, RANK]
    form = "llrr@{\\hspace{1ex}}lrrr" + ("l" if exported.has_alternatives else "")
    names += [ALTERNATIVES] if exported.has_alternatives else []
    heads = [" & ".join(row) + f" {_BREAK}" for row in zip(*((_head(name), unit) for name, unit in names), strict=True)]
    body = [f"{_cells(each, exported.has_alternatives)} {_BREAK}" for each in exported.lines]
    total = f"{_cells(exported.total, exported.has_alternatives)} {_BREAK}"
    environment = "longtable" if long else "tabular"
    repeated = [r"\endhead"] if long else []  # the head is repeated on every page
    table = [
        rf"\begin{{{environment}}}{{@{{}}{form}@{{}}}}",
        *[r"\toprule", *heads, r"\midrule", *repeated],
        *body,
        *[r"\midrule", total, r"\bottomrule"],
        rf"\end{{{environment}}}",
    ]
    notes = [rf"\par {text(note)}" for note in exported.notes]
    contents = "\n".join([_BEGIN, *table, *notes, r"\par\endgroup"])
    macro = [_CHARACTER] if r"\chainrulechar" in contents else []
    return "\n".join([*_comments(exported, long, bool(macro)), *macro, contents, ""])


def text(plain: str) -> str:
    """A text with everything escaped that has a meaning in LaTeX, and other characters by `chainrulechar`."""
    return re.sub(r"([-,])(?=\1)", r"\1{}", "".join(map(_escaped, plain)))  # without ligatures


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isascii() else rf"\chainrulechar{{{character}}}{{{code_point(character)}}}"


def _comments(exported: Exported, long: bool, characters: bool) -> list[str]:
    packages = ["booktabs", *(["longtable"] if long else [])]
    lines = [
        "chainrule: " + (exported.text or f"{len(exported.lines)} factors"),
        "packages: " + " ".join(rf"\usepackage{{{package}}}" for package in packages) + r" \usepackage[T1]{fontenc}",
        *(["a table over several pages: not for a float such as table"] if long else []),
    ]
    if characters:
        lines.append(
            "pdfLaTeX shows other scripts as U+65E5: use XeLaTeX or LuaLaTeX, and \\setmonofont with a font that has them"
        )
    return [f"% {each}" for each in lines]


def _head(name: str) -> str:
    return name.replace("log Pr", r"$\log\Pr$")


def _cells(line: Line, has_alternatives: bool) -> str:
    bar = rf"\rule{{{_BAR * line.share:.2f}mm}}{{1ex}}" if line.share else ""
    numbers = [_number(line.probability), _number(line.surprisal), bar, _number(line.logprob), _number(line.running), line.rank]
    alternatives = ", ".join(f"{_token(token)} {_number(number)}" for token, number in line.alternatives)
    return " & ".join([_formula(line.formula), _token(line.token), *numbers, *([alternatives] if has_alternatives else [])])


def _token(token: str) -> str:
    return rf"\texttt{{{text(token)}}}" if token else ""


def _number(number: str) -> str:
    number = re.sub(r"e([+-]\d+)", lambda m: rf" \times 10^{{{int(m[1])}}}", number)
    return f"${number.replace('inf', chr(92) + 'infty')}$" if number else ""


def _formula(formula: str) -> str:
    r"""Pr(x_2 | s, e_0) as \Pr(x_{2} \mid s, e_{0}); words after the formula stay text."""
    symbols, end, words = formula.partition(")")
    symbols = re.sub(r"_(\d+)", r"_{\1}", symbols).replace("Pr(", r"\Pr(").replace("|", r"\mid").replace("…", r"\ldots")
    return f"${symbols}{end}${text(words)}"
