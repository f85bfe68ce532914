"""The signatures of the public interface: every option is a parameter, and the same one means the same in every method."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable
from typing import Any

import pytest

import chainrule
from chainrule import LanguageModel

SCORING = ("score", "score_batch", "score_table", "explain", "rank")
PSEUDO = ("pseudo_log_likelihood", "pseudo_log_likelihoods")
GENERATION = ("generate", "infill")
GROWING = (*GENERATION, "stream")
MANY = ("score_batch", PSEUDO[1])
MEASURING = ("pairs", "suite", "acceptability", "words", "choices")
STARTING = (*SCORING, "page", "conditional", "compare_with", *GROWING, *MEASURING)
OF_TEXT = ("score", "explain", "page", "compare_with")
ENDING = (*SCORING, "page", "compare_with", "pairs", "acceptability", "choices")
READING_CONTEXTS = (*SCORING, *PSEUDO, "page", "compare_with", "pairs", "acceptability", "words", "choices")
READING = (*SCORING, *PSEUDO, "page", "compare_with", "conditional", "embed", *GROWING, *MEASURING)

# Name, methods, annotation, default, and the beginning of its description.
OPTIONS: list[tuple[str, tuple[str, ...], str, Any, str]] = [
    ("context", OF_TEXT, "Context | None", None, "a text or token ids before the text, for Pr(text | context)."),
    ("context", ("pairs",), "Contexts | None", None, "one context for all pairs, or one for each; a missing"),
    ("context", (*MANY, "acceptability", "words"), "Contexts | None", None, "one context for all texts, or one for each; a"),
    ("embeddings", ("score", "explain"), "Embeddings | None", None, "T × D, used in place of the embeddings of the token ids."),
    ("order", SCORING[:3], "Order | None", None, "the order in which the tokens are predicted: a permutation of their"),
    ("order", ("explain", "rank", "page"), "OneOrder | str | None", None, "the order in which the tokens are predicted: a"),
    ("order", GENERATION, "OneOrder | str | None", None, ""),
    ("seed", (*SCORING, "page"), "int", 0, "of random orders"),
    ("targets", ("score",), "Targets | None", None, "ids whose log probability is wanted: one list of ids for each factor"),
    ("targets", ("score_batch",), "TargetsOfTexts | None", None, "ids whose log probability is wanted: for each text, one"),
    ("draws", SCORING[:2], "int", 0, "the number of random tokens to draw from the distribution of each factor"),
    ("last_n", SCORING[:2], "int | None", None, "score the last n tokens of"),
    ("start", STARTING, "StartPolicy | int | None", None, "the start symbol for this call, in place of the model's default: "),
    ("end", ENDING, "bool | int | None", None, "True, or the id of an end symbol: add the factor of the end symbol."),
    ("end", ("unigram",), "bool | int | None", None, "True, or the id of an end symbol: count it once after every text of a"),
    ("end", ("generate", "stream"), "bool | int | None", None, "stop at the end symbol, whose factor is then the last"),
    ("top", (*SCORING, *GROWING), "int", 0, "the number of alternatives to keep at each position."),
    ("temperature", (*SCORING, "page", "conditional", *MEASURING), "float", 1.0, "T in softmax(logits / T), which every"),
    ("window", (*SCORING, "page", *MEASURING), "int | bool | None", None, "the largest number of embeddings to condition on"),
    ("stride", (*SCORING, "page", *MEASURING), "int | None", None, "the number of tokens from one window to the next"),
    ("rows", (*SCORING, *PSEUDO, *MEASURING), "int | None", None, "the number of contexts to compute at a time."),
    ("special", READING, "Special | None", None, "how names of control symbols, such as <|endoftext|>, are read: "),
    ("context_special", READING_CONTEXTS, "Special | None", None, "the same for contexts (default: as `special`)."),
    ("progress", (*SCORING, *PSEUDO, "page", *MEASURING), "Progress | None", None, "called with (done, total), in contexts."),
    ("within_words", PSEUDO, "bool", False, "also hide the tokens to the right within the same word."),
    ("method", GROWING, "Method", "greedy", '"greedy" (default), "sample", "beam" or "best"'),
    ("n", ("stream",), "int | None", None, 'the number of texts (default: 1). For "best" and "beam": the most probable'),
    ("n", GENERATION, "int | None", None, 'the number of texts; a list is returned. For "best" and "beam": the most'),
    ("temperature", GROWING, "float | None", None, 'for "sample": divide the logits by it.'),
    ("top_k", GROWING, "int | None", None, 'for "sample", after temperature: keep this number of tokens.'),
    ("top_p", GROWING, "float | None", None, 'for "sample", after top_k: keep the most probable tokens that'),
    ("min_p", GROWING, "float | None", None, 'for "sample", after top_p: keep tokens of this share of the'),
    ("seed", ("stream",), "int | None", None, 'for "sample" (default: a random one, which the result holds).'),
    ("seed", GENERATION, "int | None", None, 'for "sample" (default: a random one, which the result holds), and for'),
    ("num_beams", GROWING, "int | None", None, 'the width of the beam of "beam" and "best" (default: 4).'),
    ("budget", GROWING, "int | None", None, 'the largest number of contexts that "best" computes (default: 2000).'),
    ("on_token", GENERATION, "Callable[[Step], None] | None", None, "called with each `Step`."),
]  # fmt: skip
# Parameters of one method alone.
OWN = {
    "score_table": {"context", "id", "per"},
    "pseudo_log_likelihood": {"context"},
    "generate": {"max_tokens", "among", "stop"},
    "stream": {"max_tokens", "stop"},
    "page": {"compare", "max_tokens"},
    "verify": {"progress"},
    "pairs": {"phenomenon", "marked", "good_region", "bad_region"},
    "suite": {"no_space_before"},
    "choices": {
        *("question", "choices", "answer", "template", "sep", "among", "answer_as", "answer_from"),
        *("shots", "shots_from", "between_shots", "premise"),
    },
    "acceptability": {"unigram"},
    "words": {"correction", "previous"},
}


def methods_of(owner: type) -> dict[str, Callable[..., Any]]:
    return {name: each for name, each in inspect.getmembers(owner, inspect.isfunction) if not name.startswith("_")}


def options_of(method: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Its parameters that are passed by name alone."""
    each = inspect.signature(method).parameters.items()
    return {name: parameter for name, parameter in each if parameter.kind is parameter.KEYWORD_ONLY}


METHODS = methods_of(LanguageModel)


def described(method: Callable[..., Any]) -> dict[str, str]:
    """The description of each parameter in the docstring, on one line."""
    text = re.sub(r"\n {4,}", " ", inspect.getdoc(method) or "")
    return dict(re.findall(r"^([a-z_]+): (.*)$", text, re.MULTILINE))


def public_callables() -> dict[str, Callable[..., Any]]:
    owners = {name: getattr(chainrule, name) for name in chainrule.__all__}
    of_classes = {
        f"{name}.{method}": each
        for name, owner in owners.items()
        if isinstance(owner, type) and name not in ("AnyOrderForCausalLM", "TableModel")  # models, which engines call
        for method, each in methods_of(owner).items()
        if each.__module__.startswith("chainrule.")
    }
    return of_classes | {name: each for name, each in owners.items() if inspect.isfunction(each)}


@pytest.mark.parametrize("name", public_callables())
def test_every_option_is_a_parameter(name: str):
    parameters = inspect.signature(public_callables()[name]).parameters.values()
    assert [p.name for p in parameters if p.kind is p.VAR_KEYWORD] == []


@pytest.mark.parametrize(("option", "where", "annotation", "default", "meaning"), OPTIONS)
def test_an_option_is_the_same_in_every_method(
    option: str, where: tuple[str, ...], annotation: str, default: Any, meaning: str
):
    for name in where:
        parameter = options_of(METHODS[name])[option]
        assert (name, parameter.annotation, parameter.default) == (name, annotation, default)
        assert described(METHODS[name])[option].startswith(meaning), name


@pytest.mark.parametrize("name", METHODS)
def test_every_option_is_in_the_table(name: str):
    known = {option for option, where, *_ in OPTIONS if name in where} | OWN.get(name, set())
    assert options_of(METHODS[name]).keys() == known


@pytest.mark.parametrize("name", METHODS)
def test_every_parameter_is_described_and_typed(name: str):
    parameters = list(inspect.signature(METHODS[name]).parameters.values())[1:]
    assert list(described(METHODS[name])) == [p.name for p in parameters]
    assert [p.name for p in parameters if p.annotation in (p.empty, "Any")] == []


@pytest.mark.parametrize("name", METHODS)
def test_an_overload_has_the_parameters_and_defaults_of_its_method(name: str):
    want = inspect.signature(METHODS[name]).parameters
    for overload in typing.get_overloads(METHODS[name]):
        parameters = inspect.signature(overload).parameters
        assert list(parameters) == list(want)
        given = {p.name: p.default for p in parameters.values() if p.default is not p.empty}
        assert given == {p.name: p.default for p in want.values() if p.name in given and p.default is not p.empty}
        assert set(want) - set(given) <= {"self", "texts", "template", "n", "order"}


def test_the_annotations_can_be_resolved():
    for name, method in METHODS.items():
        if name not in ("verify", "compare_with", "page"):  # their results are imported when it runs
            assert typing.get_type_hints(method)["return"]
