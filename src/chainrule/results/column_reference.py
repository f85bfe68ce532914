"""The reference of all columns, in Markdown."""

from __future__ import annotations

from chainrule.results.columns import Row
from chainrule.results.schema import columns

_SECTIONS = {  # of the reference
    "Sequences": (Row.SEQUENCE,),
    "Sequences in an order: additional columns": (Row.ORDERED,),
    "Tokens": (Row.TOKEN, Row.SEQUENCE_OF_TOKEN),
    "Tokens in an order: additional columns": (Row.ORDERED_TOKEN,),
    "Tokens with alternatives (top): additional columns": (Row.TOP,),
    "Tokens with given ids (targets): additional columns": (Row.TARGETS,),
    "Tokens with random draws (draws): additional columns": (Row.DRAWS,),
    "Several orders, by text": (Row.TEXT, Row.ANY_ORDER),
    "Several orders, by order or by token: additional columns": (Row.ONE_ORDER,),
    "Candidates (rank)": (Row.CANDIDATE,),
    "Documents (corpus): after the columns of the user": (Row.DOCUMENT,),
    "Documents by token (corpus --per token, both): additional columns": (Row.DOCUMENT_LISTS,),
    "Generated texts (generate, infill)": (Row.GENERATED,),
    "Pseudo-log-likelihoods (pseudo)": (Row.PSEUDO,),
    "Numbers beside ours (compare)": (Row.COMPARED, Row.ORIGIN),
    "Words (words): before the columns of tokens from `start` on": (Row.WORD,),
    "Minimal pairs (pairs): before the columns of tokens from `start` on": (Row.PAIR,),
    "Minimal pairs, by measure and phenomenon": (Row.ACCURACY,),
    "Questions (choices, choose): before the columns of tokens from `start` on": (Row.QUESTION,),
    "Choices, before the columns of tokens from `start` on": (Row.CHOICE,),
    "Choices, by measure": (Row.CHOICE_ACCURACY,),
    "Choices, by bin of the confidence": (Row.CALIBRATION,),
    "Suites, by region": (Row.REGION,),
    "Suites, by prediction and item": (Row.OUTCOME,),
    "Suites, by prediction": (Row.PREDICTION,),
    "Acceptability (acceptability): additional columns": (Row.ACCEPTABILITY,),
    "Acceptability with a unigram distribution: additional columns": (Row.UNIGRAM,),
    "Acceptability with a context: additional columns": (Row.PMI,),
    "Detectors: additional columns of sequences": (Row.DETECTORS,),
    "Detectors: additional columns of tokens": (Row.DETECTORS_OF_TOKEN,),
    "JSON only: the factors of a score": (Row.FACTOR, Row.SPAN, Row.ORDERED_FACTOR, Row.TOP_FACTOR),
    "JSON only: generated texts, in addition to those of a sequence": (Row.GENERATION,),
    "JSON only: the terms of a pseudo-log-likelihood": (Row.TERM,),
}


def reference() -> str:
    """Every column of every kind of row, as tables in Markdown."""
    parts = []
    for title, rows in _SECTIONS.items():
        lines = [f"| `{c.name}` | {_in_words(c.type)} | {c.unit} | {c.help} |" for c in columns(*rows)]
        parts.append("\n".join([f"## {title}", "", "| column | type | unit | meaning |", "|---|---|---|---|", *lines]))
    return "\n\n".join(parts)


def _in_words(kind: str) -> str:
    return kind.replace("<", " of ").replace(">", "")
