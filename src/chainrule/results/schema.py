"""The table of all columns. It defines Arrow tables, files, JSON objects and rows of the command line.

To add a column, add one `Column` to `COLUMNS`, or to one of its parts (`columns_of_orders`, `columns_of_pairs` …). The columns
of a row are in the order of that table. A name appears more than once if its meaning or position differs between kinds of row.
These modules use only attributes of results; results import them, not the reverse.

Shapes: S sequences, T tokens scored in all, k alternatives at each position.
"""

from __future__ import annotations

import math

import numpy as np

from chainrule.forest.forest import ranges
from chainrule.results import column_values as values
from chainrule.results.columns import EVERY_TEXT, SCORE, Column, Row
from chainrule.results.columns_of_acceptability import OF_ACCEPTABILITY
from chainrule.results.columns_of_choices import OF_CHOICES
from chainrule.results.columns_of_detectors import OF_DETECTORS
from chainrule.results.columns_of_documents import OF_DOCUMENTS
from chainrule.results.columns_of_orders import OF_ORDERS
from chainrule.results.columns_of_origin import OF_ORIGIN
from chainrule.results.columns_of_pairs import OF_PAIRS
from chainrule.results.columns_of_suites import OF_SUITES
from chainrule.results.columns_of_words import OF_WORDS


def columns(*rows: Row) -> list[Column]:
    """The columns of rows that are of all these kinds, in table order."""
    return [column for column in COLUMNS if any(row in column.rows for row in rows)]


def unit(row: Row, name: str) -> str:
    """The unit of a column. Raises KeyError for a column that such rows do not have."""
    return {column.name: column.unit for column in columns(row)}[name]


_KIND = "`joint` if every token has a factor, `conditional` if a context or other tokens are given"
_BOUNDARY = "`same` if context and text tokenise together as they do apart, else `apart`; null without a context"
_METHOD = "`greedy`, `sample`, `beam` or `best`"

COLUMNS: tuple[Column, ...] = (
    Column("rank", "int64", "1 for the best candidate", (Row.CANDIDATE,), given=True),
    Column(
        "index", "int64", "number of the sequence in the input, from 0",
        (Row.SEQUENCE, Row.TOKEN, Row.TEXT, Row.CANDIDATE, Row.GENERATED, Row.PSEUDO), given=True,
    ),
    *OF_PAIRS,
    *OF_CHOICES,
    *OF_WORDS,
    *OF_SUITES,
    *OF_DOCUMENTS,
    Column("nth_order", "int64", "which of the orders of the text, from 0", (Row.ONE_ORDER,), given=True),
    Column(
        "place", "int64", "number of the token among those scored, from 0", (Row.TOKEN,),
        of=lambda score: range(len(score)), batch=lambda scores: ranges(np.zeros_like(scores.tokens), scores.tokens),
    ),
    Column(
        "token", "string", "the token, readable", (Row.TOKEN, Row.FACTOR, Row.TERM, Row.COMPARED),
        of=lambda result: result.tokens, batch=lambda scores: values.token_names(scores.tokenizer, scores.ids),
    ),
    Column(
        "id", "int64", "id of the token", (Row.TOKEN, Row.FACTOR, Row.TERM),
        of=lambda score: score.ids, batch=lambda scores: scores.ids,
    ),
    Column(
        "text", "string", "the text; null for token ids and embeddings", EVERY_TEXT,
        batch=lambda scores: [request.text for request in scores.requests],
    ),
    Column(
        "context_text", "string", "the context, if it was a text", EVERY_TEXT,
        of=lambda score: score.context, batch=lambda scores: [request.context for request in scores.requests],
    ),
    Column("pll_nats", "double", "pseudo-log-likelihood: the sum of the terms", (Row.PSEUDO,), "nats"),
    Column(
        "logprob", "double", "log probability of the sequence",
        (Row.SEQUENCE, Row.DOCUMENT, Row.CANDIDATE, Row.GENERATED), "nats",
        batch=lambda scores: scores.logprob,
    ),
    Column(
        "logprob", "double", "log probability of the token", (Row.TOKEN, Row.FACTOR), "nats",
        of=lambda score: score.logprobs, batch=lambda scores: scores.logprobs,
    ),
    Column(
        "logprob", "double", "our log probability of the token; null if we have none", (Row.COMPARED,), "nats",
        of=lambda comparison: values.none_if_nan(comparison.logprobs),
    ),
    Column(
        "yours", "double", "the number that was passed, in the unit `unit`", (Row.COMPARED,),
        of=lambda comparison: values.none_if_nan(comparison.yours),
    ),
    Column(
        "expected", "double", "the number that the causes give; ours if there are none", (Row.COMPARED,),
        of=lambda comparison: values.none_if_nan(comparison.expected),
    ),
    Column(
        "difference", "double", "yours − expected", (Row.COMPARED,),
        of=lambda comparison: values.none_if_nan(comparison.differences),
    ),
    Column(
        "unit", "string", "unit of `yours`, `expected` and `difference`", (Row.COMPARED,),
        of=lambda comparison: [comparison.unit] * len(comparison),
    ),
    Column(
        "term_logprob", "double", "log probability of the token given all others", (Row.TERM,), "nats",
        of=lambda pseudo: pseudo.term_logprobs,
    ),
    Column(
        "logprob_within_set", "double", "log probability normalised within the candidates", (Row.CANDIDATE,), "nats",
        given=True,
    ),
    Column(
        "surprisal_bits", "double", "−log2 of the factor", (Row.TOKEN,), "bits",
        of=lambda score: score.surprisals_bits, batch=lambda scores: scores.surprisals_bits,
    ),
    Column(
        "context", "int64", "embeddings that the factor was conditioned on, start symbol included", (Row.TOKEN, Row.FACTOR),
        "embeddings", of=lambda score: score.contexts, batch=lambda scores: scores.contexts,
    ),
    Column(
        "rank", "int32", "1 for the most probable token at its position", (Row.TOKEN, Row.FACTOR),
        of=lambda score: score.ranks, batch=lambda scores: scores.ranks,
    ),
    Column(
        "entropy_bits", "double", "entropy of the conditional distribution", (Row.TOKEN, Row.FACTOR), "bits",
        of=lambda score: score.entropies_bits, batch=lambda scores: scores.entropies_bits,
    ),
    Column(
        "begin", "int64", "first character of the text that the token spells; null without a text", (Row.TOKEN,),
        of=lambda score: values.span_bounds(score, 0), batch=lambda scores: values.null_if_negative(scores.char_spans[0]),
    ),
    Column(
        "stop", "int64", "one past the last character", (Row.TOKEN,),
        of=lambda score: values.span_bounds(score, 1), batch=lambda scores: values.null_if_negative(scores.char_spans[1]),
    ),
    Column(
        "tokens", "int32", "number of factors: tokens scored, the end symbol included",
        (*EVERY_TEXT, Row.DOCUMENT, Row.CANDIDATE),
        of=len, batch=lambda scores: scores.tokens,
    ),
    Column(
        "pll_nats_per_token", "double", "pll_nats / tokens", (Row.PSEUDO,), "nats",
        of=lambda score: score.pll_nats / len(score),
    ),
    Column("within_words", "bool", "whether tokens to the right in the same word were hidden", (Row.PSEUDO,)),
    Column(
        "bits", "double", "−log2 of the probability of the sequence", (Row.SEQUENCE, Row.DOCUMENT), "bits", batch=values.bits,
    ),
    Column("perplexity", "double", "exp(−logprob / tokens)", (Row.SEQUENCE, Row.DOCUMENT), batch=values.perplexities),
    *OF_ACCEPTABILITY,
    *OF_DETECTORS,
    Column("method", "string", _METHOD, (Row.GENERATION,)),
    Column(
        "finish", "string", "what ended the text: `end` symbol, `stop` text, `length`, or `among` a closed set",
        (Row.GENERATED, Row.GENERATION),
    ),
    Column("method", "string", _METHOD, (Row.GENERATED,)),
    Column(
        "sampling", "string", "how the sampling distribution differs from the model's",
        (Row.GENERATED, Row.GENERATION),
    ),
    Column("sampling_logprob", "double", "log probability under that distribution", (Row.GENERATED, Row.GENERATION), "nats"),
    Column("seed", "int64", "seed of the sample", (Row.GENERATED, Row.GENERATION)),
    Column("canonical", "bool", "whether the text, tokenised again, has these tokens", (Row.GENERATED, Row.GENERATION)),
    Column(
        "running_logprob", "double", "log probability as computed during generation; it differs from `logprob` by rounding",
        (Row.GENERATION,), "nats", of=lambda generated: math.fsum(generated.running_logprobs.tolist()),
    ),
    Column(
        "certain", "bool", "method `best`: whether no continuation is more probable", (Row.GENERATED,),
        of=values.certificate_field("certain"),
    ),
    Column(
        "logprob_bound", "double", "method `best`: log probability that no other continuation exceeds", (Row.GENERATED,),
        "nats", of=values.certificate_field("logprob_bound"),
    ),
    Column(
        "bytes", "int64", "UTF-8 bytes of the text that was scored", (*SCORE, Row.DOCUMENT), "bytes",
        batch=lambda scores: scores.bytes,
    ),
    Column("bits_per_byte", "double", "bits / bytes", (Row.SEQUENCE, Row.DOCUMENT), "bits/byte", batch=values.bits_per_byte),
    Column("kind", "string", _KIND, SCORE, batch=lambda scores: scores.kinds),
    Column("boundary", "string", _BOUNDARY, (Row.CANDIDATE,)),
    Column(
        "start", "string", "start policy: `bos`, `eos`, `cls`, `id` or `given`",
        (*SCORE, Row.SEQUENCE_OF_TOKEN, Row.CANDIDATE, Row.GENERATED),
        of=lambda score: score.start.policy, batch=lambda scores: [start.policy for start in scores.starts],
    ),
    Column(
        "start_id", "int64", "id of the start symbol; null with start `given`",
        (*SCORE, Row.SEQUENCE_OF_TOKEN, Row.CANDIDATE, Row.GENERATED),
        of=lambda score: score.start.id, batch=lambda scores: [start.id for start in scores.starts],
    ),
    Column(
        "end_id", "int64", "id of the end symbol whose factor is the last one; null without",
        (*SCORE, Row.SEQUENCE_OF_TOKEN, Row.CANDIDATE, Row.GENERATED),
        of=lambda score: score.end, batch=lambda scores: [scores.end] * len(scores),
    ),
    Column("kind", "string", _KIND, (Row.SEQUENCE_OF_TOKEN, Row.GENERATED), batch=lambda scores: scores.kinds),
    Column("boundary", "string", _BOUNDARY, SCORE, batch=lambda scores: [request.boundary for request in scores.requests]),
    Column(
        "temperature", "double", "each factor is one of softmax(logits / temperature)",
        (*SCORE, Row.SEQUENCE_OF_TOKEN, Row.CANDIDATE), batch=lambda scores: [scores.temperature] * len(scores),
    ),
    Column("windows", "int32", "number of windows", (Row.SEQUENCE, Row.DOCUMENT), batch=lambda scores: scores.windows),
    Column(
        "least_context", "int64", "fewest embeddings that a factor was conditioned on, start symbol included",
        (Row.SEQUENCE, Row.DOCUMENT, Row.CANDIDATE), "embeddings", batch=lambda scores: scores.least_context,
    ),
    Column(
        "cut", "bool", "whether a factor was conditioned on fewer embeddings than precede it",
        (Row.SEQUENCE, Row.DOCUMENT, Row.CANDIDATE),
        batch=lambda scores: scores.cut,
    ),
    Column(
        "special", "string", "how names of control symbols in the text were read: `text` or `parse`; null if there are none",
        (*EVERY_TEXT, Row.CANDIDATE),
        batch=lambda scores: [request.special for request in scores.requests],
    ),
    Column(
        "context_special", "string", "the same for the context", (*EVERY_TEXT, Row.CANDIDATE),
        batch=lambda scores: [request.context_special for request in scores.requests],
    ),
    Column("kind", "string", "`pseudo-log-likelihood`: not a probability", (Row.PSEUDO,), of=lambda _: "pseudo-log-likelihood"),
    Column(
        "invariant", "bool", "whether the number has the same bits in any batch and order (`lm.invariant`)", SCORE,
        of=lambda score: bool(score.invariant), batch=lambda scores: [bool(scores.invariant)] * len(scores),
    ),
    Column(
        "span", "list<int64>", "first character that the token spells, and one past the last", (Row.SPAN,),
        of=lambda score: [list(span) for span in score.spans.char_spans],
    ),
    *OF_ORDERS,
    Column(
        "top", "list<string>", "the most probable tokens at this position (`top=`)", (Row.TOP,),
        of=lambda score: [[token for token, _ in score.top(i)] for i in range(len(score))],
        batch=lambda scores: values.lists(scores, values.token_names(scores.tokenizer, scores.top_ids.ravel())),
    ),
    Column(
        "top_logprob", "list<double>", "their log probabilities", (Row.TOP,), "nats",
        of=lambda score: score.top_logprobs, batch=lambda scores: values.lists(scores, scores.top_logprobs.ravel()),
    ),
    Column(
        "top", "list of objects", "the most probable tokens at this position (`top=`), each with its log probability",
        (Row.TOP_FACTOR,), of=values.alternatives,
    ),
    Column(
        "target_id", "list<int64>", "the ids that were given for this position (`targets=`)", (Row.TARGETS,),
        of=lambda score: [ids.tolist() for ids in score.target_ids],
        batch=lambda scores: scores.targets.arrow(scores.targets.ids),
    ),
    Column(
        "target_logprob", "list<double>", "log probability of each in place of the token", (Row.TARGETS,), "nats",
        of=lambda score: [logprobs.tolist() for logprobs in score.target_logprobs],
        batch=lambda scores: scores.targets.arrow(scores.targets.logprobs),
    ),
    Column(
        "draw_id", "list<int64>", "ids drawn from the distribution at this position (`draws=`)", (Row.DRAWS,),
        of=lambda score: score.draw_ids, batch=lambda scores: scores.draws.arrow(scores.draws.ids),
    ),
    Column(
        "draw_logprob", "list<double>", "their log probabilities", (Row.DRAWS,), "nats",
        of=lambda score: score.draw_logprobs, batch=lambda scores: scores.draws.arrow(scores.draws.logprobs),
    ),
    Column("candidate", "string", "the candidate", (Row.CANDIDATE,), given=True),
    *OF_ORIGIN,
)  # fmt: skip
