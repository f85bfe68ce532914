"""The columns of words."""

from __future__ import annotations

from chainrule.results import column_values as values
from chainrule.results.columns import Column, Row

_WORD = (Row.WORD,)

OF_WORDS: tuple[Column, ...] = (
    Column("index", "int64", "number of the text in the input, from 0", _WORD, given=True),
    Column("word", "string", "the word, or other unit", _WORD, batch=lambda words: words.words),
    Column("word_index", "int64", "number of the word in its text, from 0", _WORD, batch=lambda words: words.word_index),
    Column("begin", "int64", "first character of the word in its text", _WORD, batch=lambda words: words.begin),
    Column("stop", "int64", "one past the last character", _WORD, batch=lambda words: words.stop),
    Column("tokens", "int32", "number of factors", _WORD, batch=lambda words: words.tokens),
    Column(
        "logprob", "double", "log probability of the word, with its correction; null for a given first word", _WORD, "nats",
        batch=lambda words: values.none_if_nan(words.logprob),
    ),
    Column(
        "surprisal_bits", "double", "−log2 of that probability", _WORD, "bits",
        batch=lambda words: values.none_if_nan(words.surprisal_bits),
    ),
    Column(
        "logprob_uncorrected", "double", "sum of the factors of the tokens of the word", _WORD, "nats",
        batch=lambda words: values.none_if_nan(words.logprob_uncorrected),
    ),
    Column(
        "entropy_bits", "double", "entropy of the distribution before the first token of the word", _WORD, "bits",
        batch=lambda words: values.none_if_nan(words.entropy_bits),
    ),
    Column(
        "boundary", "string", "`clean`, `token crosses` or `unmarked`: see [words](../words.md#boundaries)", _WORD,
        batch=lambda words: words.boundary,
    ),
    Column(
        "crossing", "list<string>", "the tokens that are also part of another word", _WORD,
        batch=lambda words: [words.crossing.get(w) for w in range(len(words))],
    ),
    Column(
        "unit", "string", "`whitespace`, `unicode`, the name of a function, or `given`", _WORD,
        batch=lambda words: [words.unit] * len(words),
    ),
    Column(
        "correction", "string", "`full` or `none`: whether the probability that the word begins and ends is in `logprob`",
        _WORD, batch=lambda words: [words.correction] * len(words),
    ),
    Column(
        "rule", "string", "which tokens begin a word; null without correction", _WORD,
        batch=lambda words: [words.rule] * len(words),
    ),
)  # fmt: skip
