"""Tokenizers: encoding, the bytes of tokens, spans, control symbols, and loading."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import text_zoo
from hypothesis import example, given
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers import logging as transformers_logging
from unicode_texts import PLAIN_TEXTS, check_sound, shown

from chainrule.errors import InputError, ModelError
from chainrule.text import Tokenizer

ALL = text_zoo.LOSSLESS | text_zoo.LOSSY


def sets_a_space(name: str, text: str) -> bool:
    """Whether the tokenizer adds a space before this text: always, only before a text without one, or never."""
    return (name == "llama" and text != "") or (name in ("byte_level_prefix", "unigram") and text[:1] not in ("", " "))


@pytest.mark.parametrize("name", text_zoo.LOSSLESS)
@given(text=PLAIN_TEXTS)
@example(text=" leading and trailing  ")
@example(text="日本語 👩‍👩‍👧 e\u0301 שלום\r\n\t\x00")
def test_joined_bytes_are_the_text(name: str, text: str):
    tokenizer = text_zoo.LOSSLESS[name]()
    ids = tokenizer.encode(text)
    joined = b"".join(tokenizer.token_bytes(id) for id in ids)
    spans = tokenizer.spans(text, ids)
    assert joined == (b" " if sets_a_space(name, text) else b"") + text.encode()
    assert spans.exact
    assert [begin for begin, _ in spans.byte_spans] == [0, *(end for _, end in spans.byte_spans)][: len(ids)]
    assert not text or spans.byte_spans[-1][1] == len(text.encode())
    check_sound(text, spans)


@pytest.mark.parametrize(("text", "want"), [("a▁b", ["", "a", "b"]), ("a</s>b", ["", "a", "</s>", "b"])])
def test_spans_of_characters_lost_by_sentencepiece_are_not_exact(text: str, want: list[str]):
    tokenizer = text_zoo.llama()
    spans = tokenizer.spans(text, tokenizer.encode(text, "parse"))
    assert not spans.exact
    assert shown(text, spans) == want
    check_sound(text, spans)


@pytest.mark.parametrize("name", ALL)
def test_no_tokens_are_added_or_truncated(name: str):
    tokenizer = ALL[name]()
    for text in ("", "the", "the lazy dog " * 50):
        assert not tokenizer.special_ids.intersection(tokenizer.encode(text).tolist()) - {tokenizer.unk_id}
    assert len(tokenizer.encode("")) == 0
    assert len(tokenizer.encode("the cat " * 500)) >= 1000


def test_template_is_never_applied():
    plain, template = text_zoo.byte_level(), text_zoo.byte_level_template()
    text = "Hello world, this is longer than the truncation"
    assert 0 in template.hf(text)["input_ids"]  # transformers would apply it
    assert template.encode(text).tolist() == plain.encode(text).tolist()
    template.hf(["a", "longer"], truncation=True, padding=True, max_length=3)  # other code that uses the same tokenizer
    assert template.encode(text).tolist() == plain.encode(text).tolist()


def test_special_tokens_in_the_text_are_parsed_on_request():
    tokenizer = text_zoo.byte_level()
    ids = tokenizer.encode("<s>Hi</s>", "parse")
    assert (ids[0], ids[-1]) == (tokenizer.bos_id, tokenizer.eos_id) == (0, 1)
    assert (tokenizer.token_bytes(0), tokenizer.token(1)) == (b"<s>", "</s>")


@pytest.mark.parametrize("name", [name for name in text_zoo.LOSSLESS if name != "byt5"])
@pytest.mark.parametrize("continuation", [False, True])
def test_the_name_of_a_control_symbol_is_plain_text(name: str, continuation: bool):
    tokenizer = ALL[name]()
    symbols = sorted(tokenizer.special_ids - {tokenizer.unk_id})
    text = "a " + " b".join(map(tokenizer.token, symbols))
    encode = tokenizer.encode_continuations if continuation else tokenizer.encode_batch
    plain, ids = encode(["Hello", text, "you"])[::2], encode(["Hello", text, "you"])[1]
    assert [other.tolist() for other in plain] == [other.tolist() for other in encode(["Hello", "you"])]
    assert not tokenizer.special_ids.intersection(ids.tolist())
    assert "".join(map(tokenizer.token, ids.tolist())).strip() == text.strip()
    assert tokenizer.symbols(["Hello", text]) == [None, tokenizer.token(symbols[0]) if symbols else None]
    assert len(tokenizer.words(text, ids)) == len(ids)


def test_a_symbol_without_a_spelling_in_other_tokens_is_an_error():
    byt5 = text_zoo.byt5()
    assert byt5.encode("a<extra_id_0>b").tolist() == [byt5.encode(c)[0] for c in "a<extra_id_0>b"]
    vocab = [("<unk>", 0.0), ("<s>", 0.0), ("a", -1.0), ("<", -1.0), (">", -1.0), ("s", -1.0)]
    backend = Backend(models.Unigram(vocab, unk_id=0))
    tokenizer = text_zoo.wrap(backend, unk_token="<unk>", bos_token="<s>")
    assert tokenizer.encode("as").tolist() == [2, 5]
    with pytest.raises(InputError, match=r"no tokens for <s> .*special='parse'"):
        tokenizer.encode("a<s>")
    assert tokenizer.encode("a<s>", "parse").tolist() == [2, 1]


@pytest.mark.parametrize("name", ALL)
def test_a_batch_has_the_tokens_of_its_texts(name: str):
    tokenizer, texts = ALL[name](), ["Hello", "", "the lazy dog", "日本"]
    batch = tokenizer.encode_batch(texts)
    assert [ids.tolist() for ids in batch] == [tokenizer.encode(text).tolist() for text in texts]
    assert {ids.dtype for ids in batch} == {np.dtype(np.int64)}
    assert tokenizer.encode_batch([]) == []


def test_batches_larger_than_a_chunk_keep_their_order():
    texts = [str(number) for number in range(10_000)]
    tokenizer = text_zoo.byte_level()
    spelled = ["".join(tokenizer.token(id) for id in ids) for ids in tokenizer.encode_batch(texts)]
    assert spelled == texts


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_lone_surrogate_is_an_input_error(name: str, text: str):
    with pytest.raises(InputError, match="surrogate"):
        ALL[name]().encode_batch(["fine", text])


def test_text_of_another_type_is_an_input_error():
    with pytest.raises(InputError, match="bytes"):
        text_zoo.byte_level().encode(b"abc")


def test_tokens_are_shown_with_escapes_for_parts_of_characters():
    tokenizer = text_zoo.llama()
    assert [tokenizer.token(id) for id in tokenizer.encode("a ☃")] == [" ", "a", " ", "\\xe2", "\\x98", "\\x83"]
    byt5 = text_zoo.byt5()
    assert [byt5.token(id) for id in byt5.encode("é!")] == ["\\xc3", "\\xa9", "!"]


@pytest.mark.parametrize("name", ALL)
def test_ids_outside_the_vocabulary_are_shown_as_numbers(name: str):
    tokenizer = ALL[name]()
    for id in (tokenizer.size, 10**6, np.int64(tokenizer.size + 1), -1):
        assert tokenizer.token_bytes(id) == b""
        assert tokenizer.token(id) == f"<{id}>"
    assert tokenizer.token(tokenizer.size - 1) != f"<{tokenizer.size - 1}>"


def test_size_counts_added_tokens():
    tokenizer = text_zoo.byte_level_template()
    assert tokenizer.token(tokenizer.size - 1) == tokenizer.hf.pad_token == "[PAD]"
    assert tokenizer.size == max(tokenizer.hf.get_vocab().values()) + 1


def test_special_symbols():
    tokenizer = text_zoo.wordpiece()
    assert (tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id) == (0, 1, 2, 3)
    assert tokenizer.bos_id is tokenizer.eos_id is None
    assert tokenizer.special_ids == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("name", "text", "tokens"),
    [
        ("wordpiece", "Hello world", [" hello", " wor", "ld"]),
        ("word_end", "Hello world", ["hello ", "world "]),
        ("words", "the cat", [" the", " cat"]),
        ("unigram", "world", [" w", "or", "l", "d"]),
        ("byte_level_prefix", "Hello you", [" Hello", " you"]),
    ],
)
def test_spaces_of_each_family(name: str, text: str, tokens: list[str]):
    tokenizer = ALL[name]()
    assert [tokenizer.token(id) for id in tokenizer.encode(text)] == tokens


def test_pipeline_without_decoder_is_read_from_the_pre_tokenizer():
    backend = text_zoo.byte_level_backend()
    backend.decoder = decoders.Sequence([])
    tokenizer = text_zoo.wrap(backend)
    assert b"".join(tokenizer.token_bytes(id) for id in tokenizer.encode("é €")) == "é €".encode()


@pytest.mark.parametrize("name", ["byte_level_prefix", "llama", "unigram", "t5"])
def test_text_after_other_text_gets_no_space(name: str):
    tokenizer = ALL[name]()
    after, alone = tokenizer.encode_continuations(["ab", " ab"]), tokenizer.encode_batch(["ab", " ab"])
    assert "".join(map(tokenizer.token, after[0])) == "ab"
    assert "".join(map(tokenizer.token, alone[0])) == " ab"
    assert "".join(map(tokenizer.token, after[1])) == ("ab" if name == "t5" else " ab")  # t5 strips
    assert tokenizer.encode("ab").tolist() == alone[0].tolist()  # unchanged by the above


def save(tokenizer: Tokenizer, folder: Path) -> str:
    tokenizer.hf.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("name", ["byte_level_template", "llama", "wordpiece", "byt5"])
def test_saved_tokenizer_is_loaded_again(name: str, tmp_path: Path):
    tokenizer = ALL[name]()
    loaded = Tokenizer.load(save(tokenizer, tmp_path))
    assert loaded is not None
    text = "Hello naïve world"
    assert loaded.encode(text).tolist() == tokenizer.encode(text).tolist()
    assert (loaded.bos_id, loaded.cls_id, loaded.size) == (tokenizer.bos_id, tokenizer.cls_id, tokenizer.size)


def test_folder_without_tokenizer_is_none(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert Tokenizer.load(str(tmp_path)) is None


def test_gguf_file_without_tokenizer_is_none(tmp_path: Path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(100))
    assert Tokenizer.load(str(tmp_path), gguf_file="model.gguf") is None


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({"tokenizer.json": '{"version": "1.0"'}, "cannot be read"),
        ({"tokenizer.json": '{"version": "1.0"}'}, "cannot be read"),
        ({"config.json": '{"model_type": "gpt2"}', "tokenizer_config.json": "{}"}, "no vocabulary"),
        ({"config.json": '{"model_type": "llama"}', "vocab.txt": ""}, "cannot be read"),
        (
            {"tokenizer_config.json": '{"tokenizer_class": "X", "auto_map": {"AutoTokenizer": ["x.X", null]}}'},
            "code that comes with a model is never run",
        ),
    ],
)
def test_broken_tokenizer_is_a_model_error(files: dict[str, str], match: str, tmp_path: Path):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "x.py").write_text("raise SystemExit('code of the model was run')")
    with pytest.raises(ModelError, match=match):
        Tokenizer.load(str(tmp_path))


def test_loading_is_silent_and_does_not_change_the_verbosity(tmp_path: Path, capfd: pytest.CaptureFixture, caplog):
    folder = save(text_zoo.byte_level(), tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no_such_model"}))
    before = transformers_logging.get_verbosity()
    with caplog.at_level(logging.DEBUG):
        tokenizer = Tokenizer.load(folder)
        assert tokenizer is not None
        tokenizer.hf.model_max_length = 2
        tokenizer.encode("much longer than that")
    assert transformers_logging.get_verbosity() == before
    assert "".join(capfd.readouterr()) == ""


def test_gaps_in_the_ids():
    backend = Backend(models.WordLevel({"a": 0, "b": 7}, unk_token="a"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = Tokenizer(PreTrainedTokenizerFast(tokenizer_object=backend))
    assert tokenizer.size == 8
    assert [tokenizer.token(id) for id in (0, 3, 7)] == [" a", "<3>", " b"]


def changed(**parts) -> Backend:
    """The backend of `byte_level` with these components replaced."""
    return Backend.from_str(json.dumps(json.loads(text_zoo.byte_level_backend().to_str()) | parts))


def test_a_backend_that_panics_is_a_model_error():
    tokenizer = text_zoo.wrap(changed(normalizer={"type": "Replace", "pattern": {"String": ""}, "content": "x"}))
    for call in (
        tokenizer.encode,
        lambda text: tokenizer.words(text, [1]),
        lambda text: tokenizer.encode_continuations([text]),
    ):
        with pytest.raises(ModelError, match="the tokenizer fails on a text: index out of bounds"):
            call("Hello world")


def test_a_backend_that_lacks_an_unknown_token_is_a_model_error():
    backend = Backend(models.WordPiece({"a": 0, "b": 1}, unk_token="[UNK]"))
    with pytest.raises(ModelError, match=r"WordPiece error: Missing \[UNK\] token.*lacks an unknown token"):
        text_zoo.wrap(backend).encode("c")


def test_a_tokenizer_that_panics_while_it_is_read(tmp_path: Path):
    folder = save(text_zoo.byte_level(), tmp_path)
    state = json.loads((tmp_path / "tokenizer.json").read_text())
    state["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(state))
    with pytest.raises(ModelError, match=r"cannot be read: .*precompiled_charsmap"):
        Tokenizer.load(folder)
