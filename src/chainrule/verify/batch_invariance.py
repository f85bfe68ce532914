"""A factor does not depend on its company: not on the run, the batch, its order, padding, chunks, nor on what was carried."""

from __future__ import annotations

from chainrule._types import Ints
from chainrule.engine.selfcheck.reference import distance
from chainrule.verify.references import Subject, farthest
from chainrule.verify.report import Finding

EQUAL = 16  # tokens of sequences of one length, which need no padding
CHUNKS = (3, 16, 64)  # contexts computed at a time, besides the usual number
CARRIED = (7, 16)  # … of a single text, so that its path is carried several times


def repeatability(s: Subject) -> Finding:
    """The same question has the same answer."""
    first, again = s.given(s.sequences), s.given(s.sequences)
    return Finding(
        f"{len(s.sequences)} texts, of {max(map(len, s.sequences))} tokens at most, scored twice",
        farthest(first, again),
        cause="a kernel whose order of addition is not fixed, dropout left on, or a state that outlives a call",
    )


def batch_and_order(s: Subject) -> Finding:
    """Sequences of one length, alone and together, in both orders; one of them shares a prefix with another."""
    several = s.random(5, EQUAL)
    related = several[0].copy()
    related[len(related) // 2 :] = s.others(related[len(related) // 2 :])
    several.append(related)
    alone, together, turned = s.alone(several), s.given(several), s.given(several[::-1])[::-1]
    errors = {"together": farthest(alone, together), "in reverse": farthest(alone, turned)}
    return Finding(
        f"{len(several)} sequences of one length, alone, together and in reverse",
        max(errors.values()),
        s.company,
        cause="a row sees the state of its neighbour in the batch, or results come back in another order than the texts"
        if errors["together"] > s.rounding
        else "kernels that add up in another order for other numbers of rows",
        details=errors,
    )


def padding(s: Subject) -> Finding:
    """Short sequences beside long ones."""
    most = min(s.longest, 24)
    several = [ids[:length] for ids, length in zip(s.random(4, most), (most, 3, 2 + most // 3, 2), strict=True)]
    return Finding(
        f"{len(several)} sequences of {min(map(len, several))} to {most} tokens, alone and together",
        farthest(s.alone(several), s.given(several)),
        s.company,
        cause="padding is attended to, or moves the positions (left padding without position ids)",
    )


def path_carry(s: Subject) -> Finding:
    """One text in several chunks, with its path carried in between, and in one."""
    if s.lm.engine.strategy != "forest":
        return Finding(f"nothing is carried on the {s.lm.engine.strategy} path")
    (ids,) = s.random(1, 48)
    errors = _in_chunks(s, [ids], CARRIED)
    return Finding(
        f"a sequence of {len(ids)} tokens in chunks of {' and '.join(map(str, CARRIED))} contexts, and in one",
        max(errors.values()),
        s.company,
        cause="keys or values of the path are lost, doubled or put in the wrong place between two chunks",
        details=errors,
    )


def chunk_sizes(s: Subject) -> Finding:
    """Sequences that branch off each other, in chunks of several sizes."""
    trunk, *others = s.random(5, EQUAL)
    several = [trunk]
    for ids, shared in zip(others, (2, 5, 9, 14), strict=True):
        ids[:shared] = trunk[:shared]
        several.append(ids)
    errors = _in_chunks(s, several, CHUNKS)
    return Finding(
        f"{len(several)} sequences with shared prefixes, {', '.join(map(str, CHUNKS))} contexts at a time and the usual number",
        max(errors.values()),
        s.company,
        cause="at the bounds of chunks a factor is read off the wrong row, or a branch sees the path of another",
        details=errors,
    )


def _in_chunks(s: Subject, sequences: list[Ints], sizes: tuple[int, ...]) -> dict[str, float]:
    """How far factors move when so many contexts are computed at a time, from the usual number."""
    usual = s.given(sequences)
    return {f"{rows} contexts": farthest(usual, s.given(sequences, rows=rows)) for rows in sizes}


def windows(s: Subject) -> Finding:
    """A text longer than a window: every token once, each conditioned on what `contexts` says and on nothing else."""
    window, stride = min(16, s.longest), min(6, s.longest // 2)
    if s.longest < 4:
        return Finding(f"a context of {s.longest} tokens is too short to be cut into windows")
    ids_T = s.stream(48)
    score = s.lm.score(ids_T, window=window, stride=stride)
    start, skipped = score.start.id is not None, len(ids_T) - len(score.ids)
    wrong = sum(int(i) != j for i, j in zip(score.ids, ids_T[skipped:], strict=False)) + abs(skipped - (not start))
    wrong += sum(c > window or c < min(t + skipped + start, window - stride + 1) for t, c in enumerate(score.contexts.tolist()))
    if wrong:
        return Finding(
            f"a sequence of {len(ids_T)} tokens in windows of {window} embeddings",
            float(wrong),
            unit="tokens",
            cause="tokens are dropped, scored twice, or conditioned on more or less than the window gives",
        )
    slices = [ids_T[t + skipped - (c - start) : t + skipped + 1] for t, c in enumerate(score.contexts.tolist())]
    own = [float(each.logprobs[-1]) for each in s.lm.score_batch(slices)]
    return Finding(
        f"{len(slices)} tokens in windows of {window} embeddings that move by {stride}, and each behind just those, by itself",
        distance(score.logprobs, own),
        s.company,
        cause="in a window a factor sees other embeddings, or others as their positions, than the text cut there has",
    )
