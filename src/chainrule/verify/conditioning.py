"""What a factor is conditioned on: the tokens before it, all of them, nothing else, behind the right start symbol.

Shapes: T tokens, P prefixes of them that something follows, K tokens asked for in each place.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule._types import Floats, Ints
from chainrule.engine.selfcheck.reference import distance
from chainrule.verify.references import Subject, centred
from chainrule.verify.report import Finding

WILD = 0.5  # nats a token: with start symbols that far apart, it matters very much which one is used
TOP = 5  # tokens of a distribution that are looked at
MARGIN = 1e-3  # of a correlation: prefixes that give so nearly the same distribution are not told apart


def causality(s: Subject) -> Finding:
    """Changing later tokens never changes an earlier factor, nor the distribution that the first of them is read from."""
    ids, error, places = s.ids_T, 0.0, 0
    whole = _in_each_place(s, ids)
    for cut in sorted({max(1, len(ids) // 4), max(1, len(ids) // 2), len(ids) - 1}):
        changed = _in_each_place(s, np.concatenate([ids[:cut], s.others(ids[cut:])]))
        distributions = zip(whole[1:], changed[1:], strict=True)  # the last one is that of the first changed token
        error = max(
            error, distance(whole[0][: cut - 1], changed[0][: cut - 1]), *(distance(a[:cut], b[:cut]) for a, b in distributions)
        )
        places += cut
    return Finding(
        f"{places} factors and distributions of a text whose later tokens were changed, from 3 places on",
        error,
        s.same_shape,
        cause="the network sees tokens that come later: its mask is missing or off by one, or it is no causal model",
    )


def _in_each_place(s: Subject, ids: Ints) -> tuple[Floats, Floats, Floats]:
    """The factor, the entropy of its distribution, and the most probable tokens' log probabilities."""
    score = s.lm.score(ids.tolist(), start="given", top=min(TOP, s.model.head.size))
    return score.logprobs, score.entropies, score.top_logprobs


def embeddings(s: Subject) -> Finding:
    """e_i in place of x_i."""
    if s.model.by_ids:
        return Finding("the model looks tokens up in more than one table, so no embeddings can stand for them")
    ids = s.ids_T.tolist()
    given = s.lm.score(ids, embeddings=s.lm.embed(ids), start="given")
    return Finding(
        f"{len(ids)} token ids, and their rows of the model's table in their place",
        distance(given.logprobs, s.given([s.ids_T])[0]),
        s.company,
        cause="embeddings that are given are scaled, cast or placed in another way than those of token ids",
    )


def shift(s: Subject) -> Finding:
    """Every factor is the model's own forward of just its prefix: separate forwards, one for each prefix.

    Which prefix a factor fits is told by the correlation of K log probabilities in its place: neither a normaliser nor a
    scale can hide it.
    """
    found_PK = s.found_PK
    own_PK = np.stack([s.own(s.ids_T[: p + 1])[-1, s.asked_K] for p in range(len(found_PK))])
    fit_PP = _correlations(found_PK, own_PK)
    here_P = fit_PP.diagonal()
    other_PP = fit_PP - np.where(np.eye(len(fit_PP), dtype=bool), np.inf, 0)
    varies_P = (own_PK != own_PK[:, :1]).any(-1)
    gap = distance(found_PK, own_PK)
    wrong_P = varies_P & ~((here_P >= other_PP.max(-1) - MARGIN) & (here_P > 0.5))
    return Finding(
        f"{len(found_PK)} places × {found_PK.shape[1]} tokens: each place fits the separate forward of its own prefix best "
        f"(log Pr within {gap:.1e} nats)",
        float(wrong_P.sum()),
        unit="places",
        cause=_shift_cause(fit_PP, wrong_P),
        details={"nats": gap},
    )


def _correlations(a_PK: Floats, b_PK: Floats) -> Floats:
    """Between each row of a and each of b; 0 where a row does not vary."""
    a_PK, b_PK = (np.nan_to_num(centred(x), neginf=-1e3) for x in (a_PK, b_PK))
    norms = np.linalg.norm(a_PK, axis=1)[:, None] * np.linalg.norm(b_PK, axis=1)
    return np.divide(a_PK @ b_PK.T, norms, out=np.zeros_like(norms), where=norms > 1e-12)


def _shift_cause(fit_PP: Floats, wrong_P: Any) -> str:
    gaps = (fit_PP.argmax(-1) - np.arange(len(fit_PP)))[wrong_P & (fit_PP.max(-1) > 0.5)]
    if len(set(gaps.tolist())) == 1:
        tokens, way = abs(int(gaps[0])), "longer" if gaps[0] > 0 else "shorter"
        fits = f"the factors fit the prefix that is {tokens} token{'s' * (tokens > 1)} {way}"
        return f"{fits}: targets are shifted against the rows that they are read from"
    return "a factor is read for another token than its own, or off another row than that of its prefix"


def start_symbol(s: Subject) -> Finding:
    """The factors are those behind the start symbol that the score names, once; and what other start symbols would give."""
    ids, start = s.ids_T[: max(2, s.longest - 1)], s.lm.start  # a doubled start symbol has to fit as well
    score = s.lm.score(ids.tolist())
    found_T = np.append([np.nan] * (start.id is None), score.logprobs)
    own = {name: _behind(s, ids, symbols) for name, symbols in _start_symbols(s).items()}
    expected_T = own["as named"]
    if len(found_T) == len(ids) and int(score.contexts[0]) == 1:
        error = distance(found_T[start.id is None :], expected_T[start.id is None :])
    else:
        error = np.inf
    behind_T = found_T[1 - len(ids) :]  # all that are there with any start symbol
    fits = [n for n, own_T in own.items() if len(behind_T) == len(ids) - 1 and distance(behind_T, own_T[1:]) <= s.rounding]
    moved = {name: _moved(own_T[1:], expected_T[1:]) for name, own_T in own.items() if name != "as named"}
    wild = [f"{name} {nats:+.1f}" for name, nats in moved.items() if not abs(nats) <= WILD * (len(ids) - 1)]
    return Finding(
        f"{len(found_T)} factors, {start.describe()}; the others would move by "
        + (", ".join(f"{nats:+.2f} ({name})" for name, nats in moved.items()) or "nothing: there is no other start symbol"),
        error,
        s.rounding,
        cause=f"the factors are those with the start symbol {fits[0]}"
        if fits and fits[0] != "as named"
        else "the first factor is missing, or is conditioned on something else than the start symbol that the score names",
        warning=f"another start symbol moves {len(ids) - 1} factors by many nats ({', '.join(wild)}): never compare across them"
        if wild
        else "",
        details={"moved": moved, "factors": len(ids) - 1},
    )


def _moved(own_T: Floats, expected_T: Floats) -> float:
    """By how many nats a sum of factors moves; what is impossible with either start symbol does not."""
    with np.errstate(invalid="ignore"):
        return float(np.where(own_T == expected_T, 0.0, own_T - expected_T).sum())


def _start_symbols(s: Subject) -> dict[str, list[int]]:
    """What may stand before the text, by name."""
    start, tokenizer, model = s.lm.start, s.lm.tokenizer, s.model
    named = [] if start.id is None else [start.id]
    found = {"as named": named} | ({"absent": [], "doubled": 2 * named} if named else {})
    for name, own, of_config in (
        ("BOS", tokenizer and tokenizer.bos_id, model.bos_id),
        ("EOS", tokenizer and tokenizer.eos_id, model.eos_id),
    ):
        ids = [i for i in (own, *(of_config if isinstance(of_config, list) else [of_config])) if isinstance(i, int)]
        if ids and ids[:1] != named and 0 <= ids[0] < model.embeddings:
            found[f"{name} in its place"] = ids[:1]
    return found


def _behind(s: Subject, ids: Ints, symbols: list[int]) -> Floats:
    """The factors of the text behind these symbols, by the model's own forward. Without any, x_0 has none: NaN."""
    ids_T = ids if symbols else ids[1:]
    own_TV = s.own(np.array([*symbols, *ids.tolist()], np.int64)[:-1])[-len(ids_T) :]
    return np.append([np.nan] * (not symbols), own_TV[np.arange(len(ids_T)), ids_T])
