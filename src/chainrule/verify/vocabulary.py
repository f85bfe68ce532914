"""Tokens and texts: what the tokenizer cannot produce, and whether tokens spell the text they were made from."""

from __future__ import annotations

import math

import numpy as np

from chainrule.verify.references import Subject
from chainrule.verify.report import Finding

MUCH = 0.01  # of the probability: more than this on what no text can be is told


def unreachable(s: Subject) -> Finding:
    """How much probability goes to tokens that no text has: rows beyond the tokenizer's, and special tokens."""
    tokenizer, size = s.lm.tokenizer, s.model.head.size
    if tokenizer is None:
        return Finding("there is no tokenizer")
    special = np.array([i for i in sorted(tokenizer.special_ids) if i < size], np.int64)
    missing = np.array([i for i in range(size) if not tokenizer.token_bytes(i) and i not in tokenizer.special_ids], np.int64)
    found = [np.exp(logprob_V) for logprob_V in s.distributions]
    missed, marked = (float(np.mean([p_V[ids].sum() for p_V in found])) for ids in (missing, special))
    lost = missed + marked
    said = [f"{missed:.2g} on the {len(missing):,} ids that the tokenizer cannot produce"] if len(missing) else []
    said += [f"{marked:.2g} on the {len(special):,} special tokens"] if len(special) else []
    return Finding(
        f"mean probability in {len(found)} places: {' and '.join(said) or 'every id is the token of some text'}",
        lost,
        1.0,
        "",
        warning=f"{-math.log1p(-min(lost, 1 - 1e-12)):.2g} nats a token go to what no text has: "
        "nothing is rescaled, so mind it where models are compared"
        if lost > MUCH
        else "",
        details={"beyond the tokenizer": missed, "special tokens": marked},
    )


def tokenizer(s: Subject) -> Finding:
    """The tokens of a text spell the text, and what they spell has these tokens: their form is the canonical one."""
    found = s.lm.tokenizer
    if found is None or not s.texts:
        return Finding("there is no tokenizer" if found is None else "there are no texts that it could cut into tokens")
    wrong, changed = [], []
    for text, ids in zip(s.texts, found.encode_batch(s.texts), strict=True):
        spelled = b"".join(map(found.token_bytes, ids.tolist())).decode("utf-8", "replace")
        exact = found.spans(text, ids).exact
        again = found.encode(text if exact else spelled)
        if not np.array_equal(again, ids) and getattr(found, "unk_id", None) not in ids:
            wrong.append(f"the tokens of {text[:30]!r} spell {spelled[:30]!r}, which has other tokens")
        elif not exact:
            changed.append(f"{text[:30]!r} became {spelled[:30]!r}")
    return Finding(
        f"{len(s.texts)} texts to tokens, to bytes, and to the same tokens again",
        float(len(wrong)),
        unit="texts",
        cause=f"{wrong[0]}: the bytes of its tokens are not known, or its rules depend on what it saw before" if wrong else "",
        warning=f"{len(changed)} of them are changed by the tokenizer, or hold characters it does not know ({changed[0]}): the "
        "probability is that of what it makes of them"
        if changed
        else "",
    )
