"""The eight lessons around the course's page of the chain rule, each as a page with panels and exercises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

from chainrule.errors import InputError
from chainrule.pages.document import document
from chainrule.pages.language import Language, is_causal, model_part
from chainrule.pages.lessons.contents import (
    base_case,
    calculating,
    causal_and_masked,
    debugging,
    embeddings,
    factorisation,
    general_form,
    orders,
)
from chainrule.pages.lessons.contents.values import decimals
from chainrule.pages.lessons.fragments import fragment, with_formulas
from chainrule.pages.lessons.subject import TEXT, Contents, Subject
from chainrule.pages.numbers import strict
from chainrule.pages.page import Page
from chainrule.pages.readings import pseudo_reading, reading
from chainrule.pages.sections import merged, text_and_variants, text_section, variants_section
from chainrule.pages.tokens import Tokens
from chainrule.results.pseudo import PseudoScore
from chainrule.results.score import Score
from chainrule.results.units import count

INDEX = "index.html"
NOT_NEEDED = "This lesson does not need it. chainrule page TEXT shows it."


@dataclass(frozen=True)
class Lesson:
    """One lesson. name: of its files. summary: one sentence for the list of lessons."""

    number: int
    name: str
    title: str
    summary: str
    contents: Callable[[Subject], Contents]

    @property
    def file(self) -> str:
        """The name of its page."""
        return f"{self.number}-{self.name.replace('_', '-')}.html"


_LESSONS: dict[str, tuple[str, str, Callable[[Subject], Contents]]] = {
    "factorisation": (
        "The factorisation",
        "The probability of a text is a product: each token given all tokens before it.",
        factorisation.contents,
    ),
    "base_case": (
        "The base case and the start symbol",
        "What the first token is conditioned on, and why the result is a joint or a conditional probability.",
        base_case.contents,
    ),
    "calculating": (
        "Calculating a sequence probability",
        "Products by hand, sums of logs, and an impossible event.",
        calculating.contents,
    ),
    "debugging": (
        "Debugging a calculation",
        "Raw logits choose the wrong text; the softmax of each step repairs it.",
        debugging.contents,
    ),
    "embeddings": (
        "Embeddings in place of tokens",
        "A network sees vectors, not tokens, and the factors are the same.",
        embeddings.contents,
    ),
    "general_form": (
        "The general form o = g(x₀ … xₘ; θ)",
        "Each symbol of the formula, found in the model.",
        general_form.contents,
    ),
    "orders": (
        "Arbitrary orders",
        "The chain rule in any order: permuted grids and the same product.",
        orders.contents,
    ),
    "causal_and_masked": (
        "Causal beside masked",
        "Why a pseudo-log-likelihood is a score and not a probability.",
        causal_and_masked.contents,
    ),
}
LESSONS = tuple(Lesson(number, name, *rest) for number, (name, rest) in enumerate(_LESSONS.items(), 1))


class LessonPage(Page):
    """The page of a lesson: its text with the panels and exercises in their places."""

    def __init__(self, data: dict[str, Any], heading: str, body: str) -> None:
        super().__init__(data)
        self._heading, self.body = heading, body

    @property
    def title(self) -> str:
        """The title of the document."""
        return f"{self._heading} · chainrule"

    @property
    def html(self) -> str:
        """The whole document."""
        return document(self.to_dict(), title=self.title, body=self.body)


def lesson_page(lm: Language, lesson: Lesson, text: str | None = None) -> Page:
    """The page of a lesson for a causal model. text: the text that it is about (default: two short sentences).

    The lessons on orders and on masked models are about a small table, because most models predict only from left to right.
    Raises InputError for a model that is not causal, and as `lm.score`.
    """
    subject = _subject(lm, text)
    contents = lesson.contents(subject)
    data = _data(contents) | {"lesson": _about(lesson, contents)}
    text_of_lesson = fragment(lesson.name, _values(subject, contents))
    return LessonPage(data, f"{lesson.number}. {lesson.title}", _body(lesson, text_of_lesson, len(contents.exercises)))


def exercises_of(lm: Language, lesson: Lesson, text: str | None = None) -> list[dict[str, Any]]:
    """The exercises of a lesson, for `check`."""
    return lesson.contents(_subject(lm, text)).exercises


def lessons_index(title_of_model: str) -> str:
    """The document that lists the lessons. title_of_model: which model their numbers come from."""
    rows = "\n".join(
        f'<li><p><a href="{each.file}">{escape(each.title)}</a><br>{escape(each.summary)}</p></li>' for each in LESSONS
    )
    body = with_formulas(_INDEX).replace("[model]", escape(title_of_model)).replace("[rows]", rows)
    empty = {"model": None, "tokens": {}, "readings": {}, "openings": None, "variants": [], "missing": {}}
    return document(empty, title="The lessons of the chain rule · chainrule", body=body)


def check_causal(lm: Language) -> None:
    """Raises InputError unless the lessons can be about this model."""
    if not is_causal(lm):
        raise InputError(f"the lessons are about a causal model, and {lm.model.name} is none: take one, such as smollm2-135m")


def _subject(lm: Language, text: str | None) -> Subject:
    check_causal(lm)
    return Subject(lm, TEXT if text is None else text)


def _about(lesson: Lesson, contents: Contents) -> dict[str, Any]:
    own = {"number": lesson.number, "name": lesson.name, "title": lesson.title}
    return own | {"exercises": contents.exercises}


def _data(contents: Contents) -> dict[str, Any]:
    """The data of the panels of a lesson."""
    lm, main = contents.lm, contents.main
    parts = [_main(lm, main, contents.sections), *(_named(lm, name, score) for name, score in contents.readings.items())]
    absent: dict[str, Any] = {"openings": None, "variants": [], "growths": None, "comparison": None}
    data: dict[str, Any] = {"version": main.identity.chainrule} | absent | merged(*parts)
    missing = {name: NOT_NEEDED for name in absent if not data[name]}
    return strict(data | {"missing": missing | data.get("missing", {})})


def _main(lm: Any, score: Score, sections: frozenset[str]) -> dict[str, Any]:
    """The reading "text", with the openings and the what-ifs that the lesson needs."""
    if sections >= {"openings", "variants"}:
        return text_and_variants(lm, score)
    if sections & {"openings", "embeddings"}:
        return text_section(lm, score)
    tokens = Tokens(lm.tokenizer)
    own = reading(tokens, score)
    plain = {"model": model_part(lm), "tokens": tokens.names, "readings": {"text": own}}
    return merged(plain, variants_section(lm, score)) if "variants" in sections else plain


def _named(lm: Any, name: str, score: Score | PseudoScore) -> dict[str, Any]:
    """A further reading."""
    tokens = Tokens(lm.tokenizer)
    own = pseudo_reading(tokens, score) if isinstance(score, PseudoScore) else reading(tokens, score)
    return {"tokens": tokens.names, "readings": {name: own}}


def _values(subject: Subject, contents: Contents) -> dict[str, str]:
    """The values that the text of a lesson may name."""
    identity, main = subject.score.identity, contents.main
    return {
        "title": identity.title,
        "text": main.text or "",
        "count": count(len(main), "token"),
        "logprob": decimals(main.logprob),
        "start": main.condition,
        "vocabulary": f"{subject.lm.model.head.size:,}",
    } | contents.values


def _body(lesson: Lesson, text: str, exercises: int) -> str:
    """The HTML between the settings and the end of the page, with places for this number of exercises after the text."""
    text += "".join(f'<section data-panel="exercise" data-level="3" data-exercise="{i}"></section>\n' for i in range(exercises))
    around = [LESSONS[i] if 0 <= i < len(LESSONS) else None for i in (lesson.number - 2, lesson.number)]
    links = "".join(
        f'<li><a rel="{rel}" href="{each.file}">{word}: {each.number}. {escape(each.title)}</a></li>\n'
        for each, rel, word in zip(around, ("prev", "next"), ("Before", "Next"), strict=True)
        if each is not None
    )
    return _PAGE.format(index=INDEX, number=lesson.number, all=len(LESSONS), title=escape(lesson.title), text=text, links=links)


_PAGE = """<article class="lesson">
<header>
<p class="note"><a href="{index}">All lessons</a> · lesson {number} of {all}</p>
<h1>{number}. {title}</h1>
</header>
{text}
<nav aria-label="Lessons" class="no-print">
<ul class="links">
{links}<li><a href="{index}">All lessons</a></li>
</ul>
</nav>
</article>
"""

_INDEX = """<article class="lesson">
<header><h1>The lessons of the chain rule</h1></header>
<p class="formula">Pr(<i>x</i>) = {Pr:0} · {Pr:1} · {Pr:2} · …</p>
<p>Eight short lessons lead from a product of three numbers to a neural network, and to other orders. Each has a text, panels
to try things out, and exercises that check your answers. You need to know what a probability is. The numbers
come from [model], and each was computed by the library.</p>
<ol>
[rows]
</ol>
<p>Begin with the first. Each lesson takes about a quarter of an hour. Nothing that you type leaves this page.</p>
</article>
"""
