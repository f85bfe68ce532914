"""A factor is conditioned on all tokens before it, on nothing else, and on the right start symbol.

Shapes: T tokens, P proper prefixes of them, K tokens scored after each prefix.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule._types import Floats, Ints
from chainrule.engine.selfcheck.reference import distance
from chainrule.verify.references import ModelUnderTest, centred
from chainrule.verify.report import Finding

WILD = 0.5  # nats per token: a difference between start symbols that is worth a warning
TOP = 5  # tokens of a distribution that are compared
MARGIN = 1e-3  # of a correlation: prefixes with such similar distributions are not distinguished


def causality(m: ModelUnderTest) -> Finding:
    """Changing later tokens changes no earlier factor and not the distribution of the first changed token."""
    ids, error, positions = m.ids_T, 0.0, 0
    original = _at_each_position(m, ids)
    for cut in sorted({max(1, len(ids) // 4), max(1, len(ids) // 2), len(ids) - 1}):
        changed = _at_each_position(m, np.concatenate([ids[:cut], m.other_tokens(ids[cut:])]))
        distributions = zip(original[1:], changed[1:], strict=True)  # up to that of the first changed token
        error = max(
            error,
            distance(original[0][: cut - 1], changed[0][: cut - 1]),
            *(distance(a[:cut], b[:cut]) for a, b in distributions),
        )
        positions += cut
    return Finding(
        f"{positions} factors and distributions of a text whose later tokens were changed, from 3 positions on",
        error,
        m.content_tolerance,
        cause="the network sees later tokens: its mask is missing or off by one, or it is not a causal model",
    )


def _at_each_position(m: ModelUnderTest, ids: Ints) -> tuple[Floats, Floats, Floats]:
    """Each factor, the entropy of its distribution, and the log probabilities of the most probable tokens."""
    score = m.lm.score(ids.tolist(), start="given", top=min(TOP, m.model.head.size))
    return score.logprobs, score.entropies, score.top_logprobs


def embeddings(m: ModelUnderTest) -> Finding:
    """Embeddings e_i instead of token ids x_i."""
    if m.model.by_ids:
        return Finding("the model looks tokens up in more than one table, so embeddings cannot replace them")
    ids = m.ids_T.tolist()
    score = m.lm.score(ids, embeddings=m.lm.embed(ids), start="given")
    return Finding(
        f"{len(ids)} token ids, and their rows of the embedding table instead",
        distance(score.logprobs, m.factors([m.ids_T])[0]),
        m.batch_tolerance,
        cause="embeddings that are passed in are scaled, cast or positioned differently from those of token ids",
    )


def shift(m: ModelUnderTest) -> Finding:
    """Every factor agrees with the model's own forward of its prefix: separate forwards, one for each prefix.

    Prefixes are matched by the correlation of K log probabilities, which a normaliser or a scale cannot change.
    """
    scored_PK = m.scored_PK
    own_PK = np.stack([m.own(m.ids_T[: p + 1])[-1, m.token_K] for p in range(len(scored_PK))])
    fit_PP = _correlations(scored_PK, own_PK)
    here_P = fit_PP.diagonal()
    other_PP = fit_PP - np.where(np.eye(len(fit_PP), dtype=bool), np.inf, 0)
    varies_P = (own_PK != own_PK[:, :1]).any(-1)
    gap = distance(scored_PK, own_PK)
    wrong_P = varies_P & ~((here_P >= other_PP.max(-1) - MARGIN) & (here_P > 0.5))
    return Finding(
        f"{len(scored_PK)} positions × {scored_PK.shape[1]} tokens: each fits the separate forward of its own prefix best "
        f"(log Pr within {gap:.1e} nats)",
        float(wrong_P.sum()),
        unit="positions",
        cause=_shift_cause(fit_PP, wrong_P),
        details={"nats": gap},
    )


def _correlations(a_PK: Floats, b_PK: Floats) -> Floats:
    """Of each row of a with each row of b; 0 where a row is constant."""
    a_PK, b_PK = (np.nan_to_num(centred(x), neginf=-1e3) for x in (a_PK, b_PK))
    norms = np.linalg.norm(a_PK, axis=1)[:, None] * np.linalg.norm(b_PK, axis=1)
    return np.divide(a_PK @ b_PK.T, norms, out=np.zeros_like(norms), where=norms > 1e-12)


def _shift_cause(fit_PP: Floats, wrong_P: Any) -> str:
    gaps = (fit_PP.argmax(-1) - np.arange(len(fit_PP)))[wrong_P & (fit_PP.max(-1) > 0.5)]
    if len(set(gaps.tolist())) == 1:
        tokens, direction = abs(int(gaps[0])), "longer" if gaps[0] > 0 else "shorter"
        fits = f"the factors fit the prefix that is {tokens} token{'s' * (tokens > 1)} {direction}"
        return f"{fits}: targets are shifted relative to the rows that they are read from"
    return "a factor is read for another token than its own, or from another row than that of its prefix"


def start_symbol(m: ModelUnderTest) -> Finding:
    """Factors are conditioned on the start symbol that the score names, once. Also reports what others would change."""
    ids, start = m.ids_T[: max(2, m.longest - 1)], m.lm.start  # leaves space for a doubled start symbol
    score = m.lm.score(ids.tolist())
    scored_T = np.append([np.nan] * (start.id is None), score.logprobs)
    own = {name: _after(m, ids, symbols) for name, symbols in _start_symbols(m).items()}
    expected_T = own["as named"]
    if len(scored_T) == len(ids) and int(score.contexts[0]) == 1:
        error = distance(scored_T[start.id is None :], expected_T[start.id is None :])
    else:
        error = np.inf
    common_T = scored_T[1 - len(ids) :]  # the factors that exist with any start symbol
    fits = [n for n, own_T in own.items() if len(common_T) == len(ids) - 1 and distance(common_T, own_T[1:]) <= m.rounding]
    moved = {name: _moved(own_T[1:], expected_T[1:]) for name, own_T in own.items() if name != "as named"}
    wild = [f"{name} {nats:+.1f}" for name, nats in moved.items() if not abs(nats) <= WILD * (len(ids) - 1)]
    return Finding(
        f"{len(scored_T)} factors, {start.describe()}; other start symbols would change their sum by "
        + (", ".join(f"{nats:+.2f} ({name})" for name, nats in moved.items()) or "nothing: there are none"),
        error,
        m.rounding,
        cause=f"the factors are those with the start symbol {fits[0]}"
        if fits and fits[0] != "as named"
        else "the first factor is missing, or is conditioned on something other than the start symbol that the score names",
        warning=f"another start symbol moves {len(ids) - 1} factors by many nats ({', '.join(wild)}): never compare across them"
        if wild
        else "",
        details={"moved": moved, "factors": len(ids) - 1},
    )


def _moved(own_T: Floats, expected_T: Floats) -> float:
    """The change of a sum of factors, in nats. Tokens that are impossible with both start symbols count as 0."""
    with np.errstate(invalid="ignore"):
        return float(np.where(own_T == expected_T, 0.0, own_T - expected_T).sum())


def _start_symbols(m: ModelUnderTest) -> dict[str, list[int]]:
    """Start symbols that the text may follow, by name."""
    start, tokenizer, model = m.lm.start, m.lm.tokenizer, m.model
    named = [] if start.id is None else [start.id]
    symbols = {"as named": named} | ({"absent": [], "doubled": 2 * named} if named else {})
    for name, own, of_config in (
        ("BOS", tokenizer and tokenizer.bos_id, model.bos_id),
        ("EOS", tokenizer and tokenizer.eos_id, model.eos_id),
    ):
        ids = [i for i in (own, *(of_config if isinstance(of_config, list) else [of_config])) if isinstance(i, int)]
        if ids and ids[:1] != named and 0 <= ids[0] < model.embeddings:
            symbols[f"{name} in its place"] = ids[:1]  # a key of the JSON report
    return symbols


def _after(m: ModelUnderTest, ids: Ints, symbols: list[int]) -> Floats:
    """The factors of the text after these symbols, by the model's own forward. Without symbols, x_0 has no factor: NaN."""
    ids_T = ids if symbols else ids[1:]
    own_TV = m.own(np.array([*symbols, *ids.tolist()], np.int64)[:-1])[-len(ids_T) :]
    return np.append([np.nan] * (not symbols), own_TV[np.arange(len(ids_T)), ids_T])
