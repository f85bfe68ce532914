"""Tokens and texts: ids that the tokenizer cannot produce, and whether tokens spell the text they were made from."""

from __future__ import annotations

import math

import numpy as np

from chainrule.verify.references import ModelUnderTest
from chainrule.verify.report import Finding

MUCH = 0.01  # probability of tokens that no text has, above which there is a warning


def unreachable(m: ModelUnderTest) -> Finding:
    """The probability of tokens that no text has: rows beyond the tokenizer's vocabulary, and special tokens."""
    tokenizer, size = m.lm.tokenizer, m.model.head.size
    if tokenizer is None:
        return Finding("there is no tokenizer")
    special = np.array([i for i in sorted(tokenizer.special_ids) if i < size], np.int64)
    missing = np.array([i for i in range(size) if not tokenizer.token_bytes(i) and i not in tokenizer.special_ids], np.int64)
    probabilities = [np.exp(logprob_V) for logprob_V in m.distributions]
    on_missing, on_special = (float(np.mean([p_V[ids].sum() for p_V in probabilities])) for ids in (missing, special))
    lost = on_missing + on_special
    parts = [f"{on_missing:.2g} on the {len(missing):,} ids that the tokenizer cannot produce"] if len(missing) else []
    parts += [f"{on_special:.2g} on the {len(special):,} special tokens"] if len(special) else []
    return Finding(
        f"mean probability at {len(probabilities)} positions: {' and '.join(parts) or 'every id is the token of some text'}",
        lost,
        1.0,
        "",
        warning=f"{-math.log1p(-min(lost, 1 - 1e-12)):.2g} nats per token go to tokens that no text has: "
        "nothing is rescaled, so consider it when comparing models"
        if lost > MUCH
        else "",
        details={"beyond the tokenizer": on_missing, "special tokens": on_special},
    )


def tokenizer(m: ModelUnderTest) -> Finding:
    """The tokens of a text spell it, and the text that they spell has the same tokens: they are canonical."""
    tok = m.lm.tokenizer
    if tok is None or not m.texts:
        return Finding("there is no tokenizer" if tok is None else "there are no texts to tokenize")
    wrong, changed = [], []
    for text, ids in zip(m.texts, tok.encode_batch(m.texts), strict=True):
        spelled = b"".join(map(tok.token_bytes, ids.tolist())).decode("utf-8", "replace")
        exact = tok.spans(text, ids).exact
        again = tok.encode(text if exact else spelled)
        if not np.array_equal(again, ids) and getattr(tok, "unk_id", None) not in ids:
            wrong.append(f"the tokens of {text[:30]!r} spell {spelled[:30]!r}, which has other tokens")
        elif not exact:
            changed.append(f"{text[:30]!r} became {spelled[:30]!r}")
    return Finding(
        f"{len(m.texts)} texts to tokens, to bytes, and to the same tokens again",
        float(len(wrong)),
        unit="texts",
        cause=f"{wrong[0]}: the bytes of its tokens are unknown, or its rules depend on earlier calls" if wrong else "",
        warning=f"{len(changed)} of them are changed by the tokenizer, or have unknown characters ({changed[0]}): the "
        "probability is that of the changed text"
        if changed
        else "",
    )
