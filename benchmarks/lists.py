"""Texts that share much: continuations of one context, answers to questions, and n-best lists."""

import random

from texts import Source, book, fortunes, ids
from tokenizers import Tokenizer

CONTEXT_TOKENS, CANDIDATE_TOKENS = 1000, 10
ANSWERS = 4
HYPOTHESES, HYPOTHESIS_TOKENS, EDITS, CONFUSIONS = 50, 20, 4, 2
SEED = 1


def behind(tokenizer: Tokenizer, source: Source, count: int) -> tuple[str, list[str]]:
    """The first 1,000 tokens of ``source``, and ``count`` continuations of 10 tokens.

    The true continuation first, then distinct slices of the rest of the book and of the fortunes, half and half.
    """
    end = source.starts[CONTEXT_TOKENS]
    context, rest = source.text[:end], source.text[end:]
    pools = [slices(Source(tokenizer, text)) for text in (rest, "\n".join(fortunes()))]
    shuffled = [random.Random(SEED).sample(pool, len(pool)) for pool in pools]
    taken = [pools[0][0], *(text for pair in zip(*shuffled, strict=False) for text in pair)]
    return context, fitting(tokenizer, context, taken, count)


def questionnaire(tokenizer: Tokenizer, count: int) -> list[tuple[str, list[str]]]:
    """Questions of 1,000 tokens, pieces of the book that do not overlap, each with 4 answers of 10 tokens.

    The first answer is how the book goes on, or what comes nearest to it; the others are from the fortunes.
    """
    source = Source(tokenizer, book())
    draw = random.Random(SEED)
    pool = slices(Source(tokenizer, "\n".join(fortunes())))
    found, first = [], 0
    while len(found) < count:
        question, following = source.piece(first, CONTEXT_TOKENS), source.piece(first + CONTEXT_TOKENS, CANDIDATE_TOKENS)
        first += 1
        if question and following and proper(following):
            answers = fitting(tokenizer, question, [following, *draw.sample(pool, 40)], ANSWERS)
            if answers[0] == following:
                found.append((question, answers))
                first += CONTEXT_TOKENS
    return found


def fitting(tokenizer: Tokenizer, context: str, texts: list[str], count: int) -> list[str]:
    """The first ``count`` different ``texts`` that have the same 10 tokens behind ``context`` as alone."""
    context_ids, found = ids(tokenizer, context), {}
    for text in texts:
        own = ids(tokenizer, text)
        if len(own) == CANDIDATE_TOKENS and ids(tokenizer, context + text) == context_ids + own:
            found[text] = None
        if len(found) == count:
            return list(found)
    raise ValueError(f"wanted {count} continuations, the data gives {len(found)}")


def slices(source: Source) -> list[str]:
    """Runs of 10 tokens within one line, each beginning with a space and ending at the end of a word."""
    starts = source.starts[:-1]
    spans = ((starts[i], starts[i + CANDIDATE_TOKENS]) for i in range(len(starts) - CANDIDATE_TOKENS))
    return [source.text[a:b] for a, b in spans if source.text[b] == " " and proper(source.text[a:b])]


def proper(text: str) -> bool:
    """Whether a slice is a space and then two words or more, on one line."""
    return text.isprintable() and text == " " + " ".join(text.split()) and len(text.split()) > 1


def hypotheses(tokenizer: Tokenizer, count: int) -> list[list[str]]:
    """``count`` n-best lists of 50 different hypotheses of 20 tokens, as speech recognition gives them.

    A list has a reference, 20 tokens of the book, and for each of its places 2 other words that could have been heard.
    Each hypothesis takes one of these in 4 places, drawn evenly, so it shares 80 % of its tokens with the reference at the
    same place, and two hypotheses share the tokens before the first place in which they differ. Every hypothesis has the
    same tokens as a text and as pieced together.
    """
    source, draw = Source(tokenizer, book()), random.Random(SEED)
    stride = (len(source.ids) - HYPOTHESIS_TOKENS) // count
    return [nbest_list(source, begin * stride, draw) for begin in range(count)]


def nbest_list(source: Source, first: int, draw: random.Random) -> list[str]:
    while True:  # the next reference that can be edited in enough places
        reference = source.piece(first, HYPOTHESIS_TOKENS)
        if reference is not None and reference == " " + " ".join(reference.split()):
            words = [source.text[source.starts[i] : source.starts[i + 1]] for i in range(first, first + HYPOTHESIS_TOKENS)]
            confused = {place: heard(source, words, place, draw) for place in range(HYPOTHESIS_TOKENS)}
            if (found := edited(source.tokenizer, words, {k: v for k, v in confused.items() if v}, draw)) is not None:
                return found
        first += 1


def heard(source: Source, words: list[str], place: int, draw: random.Random) -> list[str]:
    """2 words of the book that can stand at ``place`` without changing any token beside it; none where that is not so."""
    found: dict[str, None] = {}
    for _ in range(30):
        i = draw.randrange(len(source.ids))
        word = source.text[source.starts[i] : source.starts[i + 1]]
        text = "".join([*words[:place], word, *words[place + 1 :]])
        if word[:1] == " " and word[1:].isalpha() and word != words[place] and tokens(source.tokenizer, text) is not None:
            found[word] = None
        if len(found) == CONFUSIONS:
            return list(found)
    return []


def edited(tokenizer: Tokenizer, words: list[str], confused: dict[int, list[str]], draw: random.Random) -> list[str] | None:
    """50 hypotheses; None where too few places can be edited to make them evenly."""
    if len(confused) < HYPOTHESIS_TOKENS * 3 // 4:
        return None
    found: dict[str, None] = {}
    while len(found) < HYPOTHESES:
        places = draw.sample(sorted(confused), EDITS)
        text = "".join(draw.choice(confused[i]) if i in places else word for i, word in enumerate(words))
        if tokens(tokenizer, text) is not None:
            found[text] = None
    return list(found)


def tokens(tokenizer: Tokenizer, text: str) -> list[int] | None:
    """The tokens of ``text`` if there are 20, each its own word."""
    own = ids(tokenizer, text)
    return own if len(own) == HYPOTHESIS_TOKENS else None
