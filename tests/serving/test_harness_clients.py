"""Clients of lm-evaluation-harness against the server: their numbers are those of its own model, `hf`.

These tests need lm_eval, which has an environment of its own: make harness.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval", reason="lm_eval is not installed here: make harness")
os.environ["HF_DATASETS_OFFLINE"] = "1"

from harness_models import CONTEXT, FAMILIES, write
from lm_eval.api.instance import Instance
from lm_eval.models.gguf import GGUFLM
from lm_eval.models.huggingface import HFLM
from lm_eval.models.openai_completions import LocalChatCompletion, LocalCompletionsAPI
from served import serving
from text_zoo import CORPUS

import chainrule

PAIRS = [
    *((line[:cut], line[cut:end]) for line in CORPUS[:3] for cut, end in ((9, 20), (16, 44))),
    ("Hello world, ", "hello"),
    *(("Pack my", choice) for choice in (" A", " B", " C", " five dozen", " box")),
]
WITHIN = 1e-4  # nats


class Served:
    """One model: by `hf`, and by a server."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url, self.hf = folder, url, HFLM(str(folder), dtype="float32", device="cpu", batch_size=1)

    def completions(self, **options: Any) -> LocalCompletionsAPI:
        arguments = {"max_length": CONTEXT + 1, "tokenizer": str(self.folder), "tokenizer_backend": "huggingface"} | options
        return LocalCompletionsAPI(base_url=f"{self.url}/v1/completions", model="tiny", **arguments)


@pytest.fixture(scope="module", params=list(FAMILIES))
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = write(request.param, tmp_path_factory.mktemp("family"))
    with serving({"tiny": chainrule.load(folder)}) as url:
        yield Served(folder, url)


def answers(lm: Any, kind: str, arguments: list[tuple[Any, ...]]) -> list[Any]:
    return getattr(lm, kind)([Instance(kind, {}, each, i) for i, each in enumerate(arguments)], disable_tqdm=True)


def assert_equal(ours: list[tuple[float, bool]], hf: list[tuple[float, bool]]) -> None:
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in hf]
    assert max(abs(a - b) for (a, _), (b, _) in zip(hf, ours, strict=True)) < WITHIN


@pytest.mark.parametrize("batch_size", [1, 3])
def test_local_completions_of_token_ids(served: Served, batch_size: int):
    if _adds_end(served):
        pytest.skip("the tokenizer ends every text with a symbol, which the client and `hf` count differently")
    pairs = [*PAIRS, ("", "Hello world")]
    with_greedy = [*pairs, ("Hello", served.hf.generate_until(
        [Instance("generate_until", {}, ("Hello", {"max_gen_toks": 2, "until": ["\n\n"]}), 0)], True)[0] or "x")]  # fmt: skip
    client = served.completions(batch_size=batch_size, add_bos_token=_adds_start(served))
    assert_equal(answers(client, "loglikelihood", with_greedy), answers(served.hf, "loglikelihood", with_greedy))


def _adds_start(served: Served) -> bool:
    """Whether the tokenizer puts a symbol before a text, as `hf` has it then."""
    return served.hf.tokenizer("a")["input_ids"][0] != served.hf.tokenizer("a", add_special_tokens=False)["input_ids"][0]


def _adds_end(served: Served) -> bool:
    """Whether it puts one after a text, too."""
    return served.hf.tokenizer("a")["input_ids"][-1] != served.hf.tokenizer("a", add_special_tokens=False)["input_ids"][-1]


def test_local_completions_of_texts(served: Served):
    if _adds_start(served):
        pytest.skip("the client counts the tokens of the context without the start symbol")
    client = served.completions(tokenized_requests=False, batch_size=2)
    assert_equal(answers(client, "loglikelihood", PAIRS), answers(served.hf, "loglikelihood", PAIRS))


def test_local_completions_with_the_tokenizer_of_the_server(served: Served):
    if _adds_start(served):
        pytest.skip("the client counts the tokens of the context without the start symbol")
    client = served.completions(tokenizer=None, tokenizer_backend="remote", num_concurrent=4)
    assert_equal(answers(client, "loglikelihood", PAIRS), answers(served.hf, "loglikelihood", PAIRS))


def test_rolling(served: Served):
    client = served.completions(add_bos_token=_adds_start(served))
    texts = [("Hello",), (CORPUS[2],)]
    assert answers(client, "loglikelihood_rolling", texts) == pytest.approx(
        answers(served.hf, "loglikelihood_rolling", texts), abs=WITHIN
    )


def test_gguf(served: Served):
    """The client counts characters, so a token across the end of the context belongs to the context."""
    if _adds_end(served):
        pytest.skip("the tokenizer ends every text with a symbol, whose factor the client adds to the text's")
    lm = chainrule.load(served.folder)
    ours = answers(GGUFLM(base_url=served.url), "loglikelihood", PAIRS)
    for (context, text), (logprob, greedy) in zip(PAIRS, ours, strict=True):
        start = None if _adds_start(served) else "given"
        score = lm.score(context + text, start=start, top=1, special="parse")
        own = [i for i, (first, _) in enumerate(_spans(score)) if first >= len(context)]
        assert logprob == pytest.approx(sum(score.logprobs[i] for i in own), abs=WITHIN)
        assert greedy in (True, False)


def _spans(score: chainrule.Score) -> list[tuple[int, int]]:
    assert score.spans is not None
    return score.spans.char_spans


def test_texts_are_generated(served: Served):
    arguments = [("Hello world", {"until": ["e", "\n"], "max_gen_toks": 12}), ("Hello", {"until": ["\n\n"], "max_gen_toks": 5})]
    client = served.completions(add_bos_token=_adds_start(served))
    pairs = zip(answers(client, "generate_until", arguments), answers(served.hf, "generate_until", arguments), strict=True)
    for ours, theirs in pairs:  # SentencePiece of transformers drops the first space, and what is near a byte that is no text
        assert ours.lstrip() == theirs.lstrip() or "\ufffd" in theirs
    assert all(isinstance(text, str) for text in answers(GGUFLM(base_url=served.url), "generate_until", arguments))


def test_chats_are_generated(served: Served):
    client = LocalChatCompletion(base_url=f"{served.url}/v1/chat/completions", model="tiny")
    messages = [client.apply_chat_template([{"role": "user", "content": "Hello"}])]
    [text] = answers(client, "generate_until", [(each, {"max_gen_toks": 4}) for each in messages])
    assert isinstance(text, str)
