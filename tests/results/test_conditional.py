"""The next-token distribution."""

import math
from itertools import pairwise

import numpy as np
import pytest
from oracle import entropy, rank

from chainrule import InputError, LanguageModel, TableModel

PROBABILITIES = [0.5, 0.0, 0.2, 0.2, 0.1]


@pytest.fixture
def lm() -> LanguageModel:
    rows = {"": PROBABILITIES, "A": [1, 0, 0, 0, 0]}
    return LanguageModel(TableModel("ABCDE", rows, probabilities=True))


def test_the_whole_distribution(lm: LanguageModel, tiny: LanguageModel):
    assert np.exp(lm.conditional().logprobs) == pytest.approx(PROBABILITIES, abs=1e-15)
    conditional = tiny.conditional("The quick")
    assert conditional.logprobs.dtype == np.float64
    assert conditional.logprobs.shape == (tiny.model.head.size,)
    assert np.exp(conditional.logprobs).sum() == pytest.approx(1, abs=1e-6)  # the model is float32
    assert (conditional.context, conditional.model, conditional.start.policy) == (
        1 + len(tiny.tokenizer.encode("The quick")),
        tiny.model.name,
        "bos",
    )


def test_top_is_sorted_and_breaks_ties_by_id(lm: LanguageModel):
    top = lm.conditional().top(5)
    assert [(a.token, a.id) for a in top] == [("A", 0), ("C", 2), ("D", 3), ("E", 4), ("B", 1)]
    assert top[0].logprob == pytest.approx(math.log(0.5), abs=1e-15)
    assert top[-1].logprob == -math.inf
    assert lm.conditional().top(2) == top[:2]
    assert lm.conditional().top(99) == top


def test_top_of_a_network(tiny: LanguageModel):
    conditional = tiny.conditional("The quick")
    assert len(conditional.top()) == 5
    assert all(a.logprob >= b.logprob for a, b in pairwise(conditional.top(50)))
    assert conditional.top(1)[0].logprob == conditional.logprobs.max()


def test_logprob_and_rank_of_a_token_by_text_or_id(lm: LanguageModel):
    conditional = lm.conditional()
    assert conditional.logprob("C") == conditional.logprob(2) == conditional.logprob(np.int64(2)) == conditional.logprobs[2]
    assert [conditional.rank(t) for t in "ABCDE"] == [rank(conditional.logprobs, i) for i in range(5)] == [1, 5, 2, 2, 4]


def test_entropy_is_in_nats_and_never_negative(lm: LanguageModel, tiny: LanguageModel):
    assert lm.conditional().entropy == pytest.approx(0.5 * math.log(2) + 0.4 * math.log(5) + 0.1 * math.log(10), abs=1e-14)
    assert math.copysign(1, lm.conditional("A").entropy) == 1  # 0, and not −0
    conditional = tiny.conditional("The quick")
    assert conditional.entropy == pytest.approx(entropy(conditional.logprobs), abs=1e-12)


def test_no_space_is_added_before_a_token(tiny: LanguageModel):
    conditional = tiny.conditional("The quick")
    token = tiny.tokenizer.encode("e").tolist()
    assert conditional.logprob("e") == conditional.logprob(token[0])


@pytest.mark.parametrize("method", ["logprob", "rank"])
@pytest.mark.parametrize("token", [-1, 5, True, 1.0, None])
def test_invalid_token_ids(lm: LanguageModel, method: str, token):
    with pytest.raises(InputError, match=f"{token!r} is not a token id from 0 to 4"):
        getattr(lm.conditional(), method)(token)


def test_texts_that_are_not_a_single_token(lm: LanguageModel, tiny: LanguageModel):
    with pytest.raises(InputError, match=r"'AB' is 2 tokens.*rank\(context, \['AB'\]\)"):
        lm.conditional().logprob("AB")
    with pytest.raises(InputError, match="'' is 0 tokens"):
        lm.conditional().logprob("")
    with pytest.raises(InputError, match="'Z' is not in the vocabulary"):
        lm.conditional().rank("Z")
    bare = LanguageModel(tiny.model, engine=tiny.engine)
    assert bare.conditional([3]).top(1)[0].token.startswith("<")
    with pytest.raises(InputError, match="has no tokenizer: pass a token id"):
        bare.conditional([3]).logprob("a")


@pytest.mark.parametrize("count", [0, -1])
def test_invalid_counts(lm: LanguageModel, count: int):
    with pytest.raises(InputError, match=f"1 or more, not {count}"):
        lm.conditional().top(count)


def test_to_dict_and_repr(lm: LanguageModel):
    conditional = lm.conditional("")
    contents = conditional.to_dict(top=2)
    assert (contents["context"], contents["start"], contents["start_id"], contents["model"]) == (1, "bos", 5, "table")
    assert contents["entropy_bits"] == conditional.entropy_bits == conditional.entropy / math.log(2)
    assert [(a["index"], a["rank"], a["token"], a["id"]) for a in contents["top"]] == [(0, 1, "A", 0), (1, 2, "C", 2)]
    assert contents["top"][0]["probability"] == pytest.approx(0.5, abs=1e-15)
    assert "entropy 1.761 bits: 'A' 0.5, 'C' 0.2, 'D' 0.2" in repr(conditional)
