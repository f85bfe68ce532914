"""Views of choices: the most probable next tokens, and candidates after a context."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

from chainrule.display.explanations import PROBABILITY_NOTES
from chainrule.display.grid import Grid, column, numbers
from chainrule.display.scores import logprob_column, temperature_note
from chainrule.display.spans import cell, forms_of_probability, token
from chainrule.display.view import View, note, origin
from chainrule.results import units
from chainrule.results.batch import Ranked
from chainrule.results.conditional import Conditional


def conditional_view(conditional: Conditional, top: int = 10) -> View:
    """The most probable next tokens, one per line, and what they are conditioned on."""
    best = conditional.top(min(top, len(conditional.logprobs)))
    logprobs = [a.logprob for a in best]
    sums = accumulate(math.exp(logprob) for logprob in logprobs)
    columns = {
        "rank": column("number", "rank", [cell(str(conditional.rank(a.id))) for a in best]),
        "token": column("fold", "token", [token(a.token, a.logprob) for a in best]),
        "probability": numbers("Pr", forms_of_probability(logprobs), PROBABILITY_NOTES),
        "logprob": logprob_column(logprobs),
        "bits": column("number", "surprisal\n(bits)", [cell(f"{units.bits(one):.4f}") for one in logprobs], "surprisal"),
        "sum": column("number", "sum\nof Pr", [cell(f"{total:.4f}") for total in sums], "the sum of Pr"),
        "bar": column("bar", "", [cell(str(math.exp(one))) for one in logprobs]),
    }
    plan = ["rank", "token", "probability", "logprob", "probability", "bits", "logprob", "probability", "sum", "bar"]
    embeddings = f"{conditional.context} embedding{'s' * (conditional.context != 1)}"
    entropy = f"entropy {conditional.entropy_bits:.4f} bits"
    start = "" if conditional.start.id is None else f", the start symbol {conditional.start.token} included"
    at = "" if conditional.temperature == 1 else f"temperature {conditional.temperature:g}; "
    below = f"{at}conditioned on {embeddings}{start}; {entropy} over {len(conditional.logprobs)} tokens"
    return View(Grid(columns, plan, 3), note(below), origin(conditional))


def ranking_view(ranked: Sequence[Ranked]) -> View:
    """One line per candidate, most probable first."""
    shares = [math.exp(r.logprob_within_set) for r in ranked]
    columns = {
        "rank": column("number", "rank", [cell(str(rank)) for rank in range(1, len(ranked) + 1)]),
        "logprob": logprob_column([r.logprob for r in ranked]),
        "share": column("number", "share of\nthe set", [cell(f"{share:.2%}") for share in shares], "the share of the set"),
        "tokens": column("number", "tokens", [cell(str(len(r.score))) for r in ranked], "tokens"),
        "perplexity": column("number", "perplexity", [cell(f"{r.score.perplexity:.4g}") for r in ranked], "perplexity"),
        "first": column("number", "rank of\n1st token", [cell(str(r.score.ranks[0])) for r in ranked], "rank of the 1st token"),
        "candidate": column(
            "fold", "candidate", [cell(repr(r.text) if isinstance(r.text, str) else str(r.text), own=True) for r in ranked]
        ),
        "bar": column("bar", "", [cell(str(share)) for share in shares]),
    }
    plan = ["rank", "logprob", "candidate", "share", "logprob", "tokens", "perplexity", "first", "bar"]
    below = [part for r in ranked[:1] for part in (*temperature_note(r.score.temperature), origin(r.score))]
    return View(Grid(columns, plan, 3), *below)
