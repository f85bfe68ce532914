"""Texts with long shared prefixes: continuations of one context, answers to questions, and n-best lists."""

import random

from texts import Source, book, fortunes, ids
from tokenizers import Tokenizer

CONTEXT_TOKENS, CANDIDATE_TOKENS = 1000, 10
ANSWERS = 4
HYPOTHESES, HYPOTHESIS_TOKENS, EDITS, CONFUSIONS = 50, 20, 4, 2
SEED = 1


def continuations(tokenizer: Tokenizer, source: Source, count: int) -> tuple[str, list[str]]:
    """The first 1,000 tokens of ``source``, and ``count`` continuations of 10 tokens.

    The first is the true continuation. The others are distinct slices of the rest of the book and of the fortunes, half each.
    """
    end = source.starts[CONTEXT_TOKENS]
    context, rest = source.text[:end], source.text[end:]
    pools = [slices(Source(tokenizer, text)) for text in (rest, "\n".join(fortunes()))]
    shuffled = [random.Random(SEED).sample(pool, len(pool)) for pool in pools]
    taken = [pools[0][0], *(text for pair in zip(*shuffled, strict=False) for text in pair)]
    return context, fitting(tokenizer, context, taken, count)


def questionnaire(tokenizer: Tokenizer, count: int) -> list[tuple[str, list[str]]]:
    """Questions of 1,000 tokens, each with 4 answers of 10 tokens. Questions are pieces of the book that do not overlap.

    The first answer is the continuation in the book; the others are from the fortunes.
    """
    source = Source(tokenizer, book())
    draw = random.Random(SEED)
    pool = slices(Source(tokenizer, "\n".join(fortunes())))
    pairs, first = [], 0
    while len(pairs) < count:
        question, following = source.piece(first, CONTEXT_TOKENS), source.piece(first + CONTEXT_TOKENS, CANDIDATE_TOKENS)
        first += 1
        if question and following and proper(following):
            answers = fitting(tokenizer, question, [following, *draw.sample(pool, 40)], ANSWERS)
            if answers[0] == following:
                pairs.append((question, answers))
                first += CONTEXT_TOKENS
    return pairs


def fitting(tokenizer: Tokenizer, context: str, texts: list[str], count: int) -> list[str]:
    """The first ``count`` different ``texts`` that have the same 10 tokens after ``context`` as alone."""
    context_ids, fits = ids(tokenizer, context), {}
    for text in texts:
        own = ids(tokenizer, text)
        if len(own) == CANDIDATE_TOKENS and ids(tokenizer, context + text) == context_ids + own:
            fits[text] = None
        if len(fits) == count:
            return list(fits)
    raise ValueError(f"{count} continuations are needed, but the data has only {len(fits)}")


def slices(source: Source) -> list[str]:
    """Runs of 10 tokens within one line. Each begins with a space and ends at the end of a word."""
    starts = source.starts[:-1]
    spans = ((starts[i], starts[i + CANDIDATE_TOKENS]) for i in range(len(starts) - CANDIDATE_TOKENS))
    return [source.text[a:b] for a, b in spans if source.text[b] == " " and proper(source.text[a:b])]


def proper(text: str) -> bool:
    """Whether a slice is a space followed by two words or more, on one line."""
    return text.isprintable() and text == " " + " ".join(text.split()) and len(text.split()) > 1


def hypotheses(tokenizer: Tokenizer, count: int) -> list[list[str]]:
    """``count`` n-best lists of 50 different hypotheses of 20 tokens, as in speech recognition.

    A list has a reference of 20 tokens of the book, and 2 alternative words for most positions. Each hypothesis has an
    alternative at 4 positions, drawn uniformly, so it shares 80 % of its tokens with the reference at the same position. Two
    hypotheses share the tokens before the first position at which they differ. The tokens of a hypothesis as a text are those
    of its parts.
    """
    source, draw = Source(tokenizer, book()), random.Random(SEED)
    stride = (len(source.ids) - HYPOTHESIS_TOKENS) // count
    return [nbest_list(source, begin * stride, draw) for begin in range(count)]


def nbest_list(source: Source, first: int, draw: random.Random) -> list[str]:
    while True:  # the next reference that can be edited at enough positions
        reference = source.piece(first, HYPOTHESIS_TOKENS)
        if reference is not None and reference == " " + " ".join(reference.split()):
            words = [source.text[source.starts[i] : source.starts[i + 1]] for i in range(first, first + HYPOTHESIS_TOKENS)]
            confused = {position: alternatives(source, words, position, draw) for position in range(HYPOTHESIS_TOKENS)}
            if (texts := edited(source.tokenizer, words, {k: v for k, v in confused.items() if v}, draw)) is not None:
                return texts
        first += 1


def alternatives(source: Source, words: list[str], position: int, draw: random.Random) -> list[str]:
    """2 words of the book that fit at ``position`` without changing other tokens; none if there are fewer."""
    fits: dict[str, None] = {}
    for _ in range(30):
        i = draw.randrange(len(source.ids))
        word = source.text[source.starts[i] : source.starts[i + 1]]
        text = "".join([*words[:position], word, *words[position + 1 :]])
        if word[:1] == " " and word[1:].isalpha() and word != words[position] and tokens(source.tokenizer, text) is not None:
            fits[word] = None
        if len(fits) == CONFUSIONS:
            return list(fits)
    return []


def edited(tokenizer: Tokenizer, words: list[str], confused: dict[int, list[str]], draw: random.Random) -> list[str] | None:
    """50 hypotheses; None if too few positions can be edited."""
    if len(confused) < HYPOTHESIS_TOKENS * 3 // 4:
        return None
    texts: dict[str, None] = {}
    while len(texts) < HYPOTHESES:
        positions = draw.sample(sorted(confused), EDITS)
        text = "".join(draw.choice(confused[i]) if i in positions else word for i, word in enumerate(words))
        if tokens(tokenizer, text) is not None:
            texts[text] = None
    return list(texts)


def tokens(tokenizer: Tokenizer, text: str) -> list[int] | None:
    """The tokens of ``text``; None if there are not 20."""
    own = ids(tokenizer, text)
    return own if len(own) == HYPOTHESIS_TOKENS else None
