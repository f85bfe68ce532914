"""Factors do not depend on the other sequences in the batch, nor on repetition, order, padding, chunk size or caching."""

from __future__ import annotations

from chainrule._types import Ints
from chainrule.engine.selfcheck.reference import distance
from chainrule.verify.references import ModelUnderTest, farthest
from chainrule.verify.report import Finding

EQUAL = 16  # tokens of sequences of equal length, which need no padding
CHUNKS = (3, 16, 64)  # contexts computed at a time, besides the default
CARRIED = (7, 16)  # the same for a single text, so that its path is cached several times


def repeatability(m: ModelUnderTest) -> Finding:
    """Scoring twice gives the same factors."""
    first, again = m.factors(m.sequences), m.factors(m.sequences)
    return Finding(
        f"{len(m.sequences)} texts, of at most {max(map(len, m.sequences))} tokens, scored twice",
        farthest(first, again),
        cause="a kernel without a fixed order of summation, dropout left on, or state that outlives a call",
    )


def batch_and_order(m: ModelUnderTest) -> Finding:
    """Sequences of equal length, alone and together, in both orders. One of them shares a prefix with another."""
    several = m.random(5, EQUAL)
    related = several[0].copy()
    related[len(related) // 2 :] = m.other_tokens(related[len(related) // 2 :])
    several.append(related)
    alone, together, reverse = m.factors_alone(several), m.factors(several), m.factors(several[::-1])[::-1]
    errors = {"together": farthest(alone, together), "in reverse": farthest(alone, reverse)}
    return Finding(
        f"{len(several)} sequences of equal length, alone, together and in reverse",
        max(errors.values()),
        m.batch_tolerance,
        cause="a row sees the state of its neighbour in the batch, or results are returned in another order than the texts"
        if errors["together"] > m.rounding
        else "kernels whose order of summation depends on the number of rows",
        details=errors,
    )


def padding(m: ModelUnderTest) -> Finding:
    """Short and long sequences, alone and together."""
    most = min(m.longest, 24)
    several = [ids[:length] for ids, length in zip(m.random(4, most), (most, 3, 2 + most // 3, 2), strict=True)]
    return Finding(
        f"{len(several)} sequences of {min(map(len, several))} to {most} tokens, alone and together",
        farthest(m.factors_alone(several), m.factors(several)),
        m.batch_tolerance,
        cause="padding is attended to, or moves the positions (left padding without position ids)",
    )


def path_carry(m: ModelUnderTest) -> Finding:
    """One text in several chunks, with its path cached between them, and in one chunk."""
    if m.lm.engine.strategy != "forest":
        return Finding(f"the {m.lm.engine.strategy} strategy caches no keys and values")
    (ids,) = m.random(1, 48)
    errors = _in_chunks(m, [ids], CARRIED)
    return Finding(
        f"a sequence of {len(ids)} tokens in chunks of {' and '.join(map(str, CARRIED))} contexts, and in one chunk",
        max(errors.values()),
        m.batch_tolerance,
        cause="keys or values of the path are lost, duplicated or misplaced between two chunks",
        details=errors,
    )


def chunk_sizes(m: ModelUnderTest) -> Finding:
    """Sequences that branch from each other, in chunks of several sizes."""
    trunk, *others = m.random(5, EQUAL)
    several = [trunk]
    for ids, shared in zip(others, (2, 5, 9, 14), strict=True):
        ids[:shared] = trunk[:shared]
        several.append(ids)
    errors = _in_chunks(m, several, CHUNKS)
    return Finding(
        f"{len(several)} sequences with shared prefixes, {', '.join(map(str, CHUNKS))} contexts at a time and the default",
        max(errors.values()),
        m.batch_tolerance,
        cause="at a chunk boundary a factor is read from the wrong row, or a branch sees the path of another",
        details=errors,
    )


def _in_chunks(m: ModelUnderTest, sequences: list[Ints], sizes: tuple[int, ...]) -> dict[str, float]:
    """The largest change of a factor for each number of contexts computed at a time, compared with the default."""
    default = m.factors(sequences)
    return {f"{rows} contexts": farthest(default, m.factors(sequences, rows=rows)) for rows in sizes}


def windows(m: ModelUnderTest) -> Finding:
    """A text longer than a window: every token is scored once, conditioned on as many embeddings as `contexts` says."""
    window, stride = min(16, m.longest), min(6, m.longest // 2)
    if m.longest < 4:
        return Finding(f"a context of {m.longest} tokens is too short to be cut into windows")
    ids_T = m.stream(48)
    score = m.lm.score(ids_T, window=window, stride=stride)
    start, skipped = score.start.id is not None, len(ids_T) - len(score.ids)
    wrong = sum(int(i) != j for i, j in zip(score.ids, ids_T[skipped:], strict=False)) + abs(skipped - (not start))
    wrong += sum(c > window or c < min(t + skipped + start, window - stride + 1) for t, c in enumerate(score.contexts.tolist()))
    if wrong:
        return Finding(
            f"a sequence of {len(ids_T)} tokens in windows of {window} embeddings",
            float(wrong),
            unit="tokens",
            cause="tokens are dropped, scored twice, or conditioned on more or less than the window",
        )
    slices = [ids_T[t + skipped - (c - start) : t + skipped + 1] for t, c in enumerate(score.contexts.tolist())]
    own = [float(each.logprobs[-1]) for each in m.lm.score_batch(slices)]
    return Finding(
        f"{len(slices)} tokens in windows of {window} embeddings with stride {stride}, and each alone given the same context",
        distance(score.logprobs, own),
        m.batch_tolerance,
        cause="in a window a factor sees other embeddings, or other positions, than in the text cut to that window",
    )
