"""Proof by compression: code lengths against surprisals, the round trip of texts, and incomplete or damaged codes."""

from __future__ import annotations

import hashlib
import json
import math
import re
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_zoo import tiny

import chainrule
from chainrule import InputError, LanguageModel, TableModel
from chainrule.engine.decoding.stepper import Stepper
from chainrule.verify.code import bound, decode, encode, prove
from chainrule.verify.code_file import LONGEST, MAGIC, Code, _checksum
from chainrule.verify.coder import TOTAL, ArithmeticDecoder, ArithmeticEncoder, shares

TEXT = "Hello world, hello there! How are you today? naïve café, 日本語 🎉\n\ttwo  spaces "


def coded(symbols, distributions):
    encoder = ArithmeticEncoder()
    for symbol, logprob_V in zip(symbols, distributions, strict=True):
        encoder.encode(symbol, shares(logprob_V))
    return encoder.finish()


@given(st.lists(st.integers(0, 4), max_size=60), st.integers(0, 2**32 - 1))
def test_decoding_restores_the_symbols_and_the_length_is_the_surprisal(symbols, seed):
    draw = np.random.default_rng(seed)
    with np.errstate(divide="ignore"):
        distributions = [np.log(draw.dirichlet([0.05] * 5)) for _ in symbols]
    payload, bits = coded(symbols, distributions)
    decoder = ArithmeticDecoder(payload)
    assert [decoder.decode(shares(logprob_V)) for logprob_V in distributions] == symbols
    assert len(payload) == -(-bits // 8)
    exact = -sum(math.log2(Fraction(int(np.diff(shares(p))[s]), TOTAL)) for s, p in zip(symbols, distributions, strict=True))
    assert exact - 1e-6 <= bits <= exact + 1 + 1e-6


def test_a_carry_propagates_through_bytes_that_were_output():
    """Many symbols at the end of the interval, and then one before it: 0.111…1 becomes 1.000…0 and back."""
    last = np.log([2.0**-9, 2.0**-9, 1 - 2.0**-8])
    middle = np.log([1 - 2.0**-8, 2.0**-9, 2.0**-9])
    for symbols in ([2] * 900 + [1], [1] * 50 + [2] * 50, [0] * 300):
        for p in (last, middle):
            payload, _ = coded(symbols, [p] * len(symbols))
            decoder = ArithmeticDecoder(payload)
            assert [decoder.decode(shares(p)) for _ in symbols] == symbols


def test_shares_cover_the_whole_interval():
    logprob_V = np.array([-math.inf, math.log(0.25), math.log(0.75), -math.inf])
    share_V = np.diff(shares(logprob_V))
    assert share_V.sum() == TOTAL
    assert share_V.tolist() == [1, (TOTAL - 4) // 4 + 1, TOTAL - 2 - (TOTAL - 4) // 4 - 1, 1]
    with pytest.raises(InputError, match="sums to more than 1"):
        shares(np.zeros(3))


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt_oss", "mamba", "bert_decoder"])
def test_a_step_is_the_row_of_a_forest(name):
    """A cached path, extended by one or more tokens at a time, against the conditional of the whole context."""
    lm = tiny(name).lm
    ids = np.random.default_rng(3).integers(0, 61, 40).tolist()
    stepper, tolerance = Stepper(lm.engine, 41), 0 if lm.invariant else 1e-4
    parts = [ids[:1], ids[1:8], *([i] for i in ids[8:])]
    for done, part in zip(np.cumsum([len(p) for p in parts]).tolist(), parts, strict=True):
        expected = lm.conditional(ids[:done], start="given").logprobs
        assert np.abs(stepper.feed(part) - expected).max() <= tolerance
    with pytest.raises(ValueError, match="do not fit"):
        stepper.feed([1, 2])


@pytest.mark.parametrize("start", ["bos", "given"])
def test_decoding_restores_the_text(tiny_folder, start):
    """120 tokens under a context of 64, so that the scorer and the coder use several windows."""
    lm, text = chainrule.load(tiny_folder, start=start), TEXT * 3
    code, report = prove(lm, text)
    assert report.passed, str(report)
    assert lm.score(text).windows > 1
    assert decode(lm, Code.from_bytes(code.to_bytes())) == text
    assert abs(code.bits - lm.score(text).bits) <= 2 + 2e-5 * len(lm.score(text).ids)
    assert report.to_dict()["bytes"] == len(text.encode())


def test_a_table_codes_texts(abc):
    lm = LanguageModel(TableModel(["A", "B", "C"], {"": [1, 2, -math.inf], "A": [0, 0, 0]}, back_off=True))
    assert decode(lm, encode(lm, "ABBAAAB")) == "ABBAAAB"
    code, report = prove(lm, "C")  # impossible, but coded nevertheless
    assert report.passed
    assert 31 <= code.bits <= 33


def test_the_code_of_a_model_that_sees_later_tokens_cannot_be_decoded(tiny_folder, monkeypatch):
    lm = chainrule.load(tiny_folder)
    own = Stepper.feed
    later = iter(lm.tokenizer.encode(TEXT).tolist())

    def peeking(self, ids):
        logprob_V = own(self, ids) - 5
        if (token := next(later, None)) is not None:  # known to the encoder only
            logprob_V[token] = math.log(0.99)
        return logprob_V

    monkeypatch.setattr(Stepper, "feed", peeking)
    _, report = prove(lm, TEXT)
    assert report.failed == ["round trip", "length of the code"]


def test_incomplete_and_damaged_codes(tiny_folder):
    lm = chainrule.load(tiny_folder)
    raw = encode(lm, TEXT).to_bytes()
    _, header, payload = raw.split(b"\n", 2)
    for broken, message in [
        (b"", "no code of chainrule"),
        (b"chainrule", "no code of chainrule"),
        (b"%PDF-1.4 ...", r"begins with b'%PDF-1.4"),
        (raw[:40], "its second line is not a valid header"),
        (raw[: -len(payload)], "cut short: it has 0 of"),
        (raw[:-3], rf"cut short: it has {len(payload) - 3} of {len(payload)} bytes"),
        (raw + b"x", "damaged: its checksum does not match"),
        (raw[:-1] + bytes([raw[-1] ^ 1]), "damaged: its checksum does not match"),
        (raw.replace(b'"bits"', b'"bats"'), "its second line is not a valid header"),
    ]:
        with pytest.raises(InputError, match=message):
            Code.from_bytes(broken)
    for key, value in (("tokens", "many"), ("tokens", -1), ("given", None), ("text_sha256", None), ("fingerprint", "x")):
        damaged = raw.replace(header, json.dumps(json.loads(header) | {key: value}).encode())
        with pytest.raises(InputError, match="damaged"):
            Code.from_bytes(damaged)
    with pytest.raises(InputError, match="does not decode to its text"):
        decode(lm, replace(encode(lm, TEXT), tokens=encode(lm, TEXT).tokens + 5))


@pytest.mark.parametrize("index", range(0, 1000, 41))
def test_every_changed_byte_is_detected(coded_text, index):
    raw = bytearray(coded_text)
    raw[index % len(raw)] ^= 4
    with pytest.raises(InputError, match=r"no code of chainrule|damaged|cut short"):
        Code.from_bytes(bytes(raw))


@pytest.fixture(scope="module")
def single():
    """One thread, as in every test: a code records the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def coded_text(single, tiny_folder):
    return encode(chainrule.load(tiny_folder), TEXT).to_bytes()


def forged(raw: bytes, payload: bytes | None = None, **values: object) -> bytes:
    """The code with other values in its header, and a matching checksum."""
    _, line, own = raw.split(b"\n", 2)
    payload = own if payload is None else payload
    header = json.loads(line) | values
    header.pop("sha256")
    header["sha256"] = _checksum(header, payload)
    return MAGIC + json.dumps(header, sort_keys=True).encode() + b"\n" + payload


def test_forging_without_changes_gives_the_same_code(coded_text):
    assert forged(coded_text) == coded_text


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "values",
    [
        *({"tokens": value} for value in (-1, True, 5.0, math.nan, None, "5", [5], 10**60, 1 << 53)),
        *({"bits": value} for value in (-1, False, 5.0, math.inf, None, 1, 10**18)),
        *({"bytes": value} for value in (-1, True, 0.0, 1)),
        *({"given": value} for value in (None, 5, "0", [True], [-1], [0.0], [[0]], [10**40], [0, 0], {"0": 0}, nested(500))),
        *({"fingerprint": value} for value in (None, [], "x", {"weights": 5}, {"weights": None}, {"weights": {}})),
        *({"text_sha256": value} for value in (None, 5, "", "x" * 64, "A" * 64, "a" * 63, "a" * 64 + "\n")),
        {"more": 5},
        {"fingerprint": {"weights": "x" * LONGEST}},
    ],
    ids=lambda values: f"{values}"[:40],
)
def test_a_header_is_checked_even_if_its_checksum_matches(coded_text, values):
    with pytest.raises(InputError, match=r"the code is (damaged|cut short)"):
        Code.from_bytes(forged(coded_text, **values))


def test_invalid_fields_are_named(coded_text):
    with pytest.raises(InputError, match=r"not a valid header \(given, tokens\)"):
        Code.from_bytes(forged(coded_text, given=None, tokens=-1))


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"null", b"[]", b"5", b"{}", b'"bits"', b"{" * 60_000, b"[" * 60_000, b'{"a":' * 12_000),
        *(b"9" * 5000, b'{"bits": ' + b"9" * 5000 + b"}", b"NaN", b"\xff\xfe{", b"{" + b" " * 100_000_000 + b"}"),
    ],
    ids=lambda line: repr(line[:12]),
)
def test_a_line_that_is_not_a_header(line):
    with pytest.raises(InputError, match="its second line is not a valid header"):
        Code.from_bytes(MAGIC + line + b"\n")


def test_a_header_has_one_spelling(coded_text):
    """Other JSON readers, which may take the first of two values, must read the same header."""
    for other in (coded_text.replace(b'{"bits"', b'{"bits": 5, "bits"'), coded_text.replace(b'{"bits"', b'{ "bits"')):
        with pytest.raises(InputError, match=r"\(all of it\)"):
            Code.from_bytes(other)


def test_extra_bytes_after_the_code(coded_text):
    payload = coded_text.split(b"\n", 2)[2]
    with pytest.raises(InputError, match="its checksum does not match"):
        Code.from_bytes(forged(coded_text, payload + b"\0"))
    with pytest.raises(InputError, match=r"has \d+ bytes, which do not hold \d+ bits"):
        Code.from_bytes(forged(coded_text, payload + b"\0", bytes=len(payload) + 1))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["bits", "bytes", "fingerprint", "given", "text_sha256", "tokens"])


@given(values=st.dictionaries(NAMES, JSON | st.integers(0, 300), min_size=1), payload=st.none() | st.binary(max_size=40))
def test_any_header_is_refused_or_decoded(letters, values, payload):
    """With a table of three letters that has very sharp distributions. Only the coded text is ever returned."""
    lm, raw = letters
    steps: list[int] = []
    with suppress(InputError):
        code = Code.from_bytes(forged(raw, payload, **values))
        assert decode(lm, code, lambda done, _: steps.append(done)) == "ABBAAAB"
    # Of two tokens in a row, one costs 0.45 bits or more: A after B is the only cheaper one. Payloads have 40 bytes at most.
    assert len(steps) <= 2 * (8 * 40 / 0.45 + 1)


@pytest.fixture(scope="module")
def letters(single):
    lm = LanguageModel(TableModel(["A", "B", "C"], {"": [1, 2, -math.inf], "A": [0, 0, 0], "B": [9, 0, 0]}, back_off=True))
    return lm, encode(lm, "ABBAAAB").to_bytes()


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (10**12, r"damaged: 1,000,000,000,000 tokens need at least [\d,]+ bits, and it has 323"),
        (10**8, r"its [\d,]+ bits are used up after \d+ of 100,000,000 tokens"),
        (0, r"damaged: 0 tokens with \[\] given"),
    ],
)
def test_a_code_that_claims_too_many_tokens_is_refused_early(tiny_folder, coded_text, tokens, message):
    lm, steps = chainrule.load(tiny_folder), []
    with pytest.raises(InputError, match=message) as caught:
        decode(lm, Code.from_bytes(forged(coded_text, tokens=tokens)), lambda done, _: steps.append(done))
    if "used up" in message:
        decoded = int(re.search(r"after (\d+) of", str(caught.value))[1])
        assert len(steps) <= decoded <= 2 * Code.from_bytes(coded_text).tokens  # the forged code has the same bits
    else:
        assert not steps


def test_an_invalid_first_token(tiny_folder):
    bos, given = (chainrule.load(tiny_folder, start=start) for start in ("bos", "given"))
    for lm, first in ((bos, [5]), (given, []), (given, [10**6])):
        with pytest.raises(InputError, match=r"the first is given if there is no start symbol"):
            decode(lm, Code.from_bytes(forged(encode(lm, TEXT).to_bytes(), given=first)))


def test_a_digest_of_bytes_that_are_not_a_text(letters, monkeypatch):
    """The bytes of tokens need not be valid UTF-8, and a forged code may have their digest."""
    lm, raw = letters
    monkeypatch.setattr("chainrule.verify.code._bytes", lambda *_: b"\xff\xfe")
    with pytest.raises(InputError, match="does not decode to its text"):
        decode(lm, Code.from_bytes(forged(raw, text_sha256=hashlib.sha256(b"\xff\xfe").hexdigest())))


def test_decoding_needs_a_tokenizer(tiny_folder, coded_text):
    lm, raw = chainrule.load(tiny_folder), coded_text
    with pytest.raises(InputError, match="without a tokenizer"):
        decode(LanguageModel(lm.model, engine=lm.engine), Code.from_bytes(raw))


@pytest.mark.parametrize("now", ["a\nb", "\x1b[31m"])
def test_messages_are_printable(letters, now):
    lm, raw = letters
    code = Code.from_bytes(raw)
    with pytest.raises(InputError, match="weights: ") as caught:
        decode(lm, replace(code, fingerprint=code.fingerprint | {"weights": now}))
    assert str(caught.value).isprintable()


@given(st.lists(st.integers(0, 4), max_size=60), st.integers(0, 2**32 - 1))
def test_decoder_and_encoder_count_the_same_bits(symbols, seed):
    draw = np.random.default_rng(seed)
    distributions = [np.log(draw.dirichlet([0.5] * 5)) for _ in symbols]
    payload, bits = coded(symbols, distributions)
    decoder, counted = ArithmeticDecoder(payload), [0]
    for logprob_V in distributions:
        decoder.decode(shares(logprob_V))
        counted.append(decoder.bits)
    assert counted == sorted(counted)
    assert decoder.bits == bits


def test_tokens_rarer_than_a_count(tiny_folder):
    """Unusual characters under a very confident model: some have a surprisal of more than 32 bits, but a shorter code."""
    lm = chainrule.load(tiny_folder)
    lm.model.lm.lm_head.weight.data *= 20
    text = "".join(map(chr, range(33, 120)))
    score = lm.score(text)
    assert score.surprisals_bits.max() > 40
    _, report = prove(lm, text)
    assert report.passed, str(report)
    assert "with no count below 1" in report["length of the code"].checked


def test_a_code_of_a_different_model_or_setting_is_refused(tiny_folder, monkeypatch):
    lm = chainrule.load(tiny_folder)
    code = encode(lm, TEXT)
    with pytest.raises(InputError, match="start: 0 then, 1 now"):
        decode(chainrule.load(tiny_folder, start="eos"), code)
    with pytest.raises(InputError, match="dtype: float32 then, float64 now"):
        decode(chainrule.load(tiny_folder, dtype="float64"), code)
    lm.model.lm.model.norm.weight.data[0] += 1e-6
    with pytest.raises(InputError, match=r"weights: \w{12}… then, \w{12}… now"):
        decode(lm, code)
    with pytest.raises(InputError, match="threads: missing then, 1 now"):
        decode(lm, replace(code, fingerprint={}))


def test_texts_that_cannot_be_coded(tiny_folder, abc):
    lm = chainrule.load(tiny_folder)
    with pytest.raises(InputError, match="0 tokens, and 1 or more"):
        encode(lm, "")
    with pytest.raises(InputError, match="1 tokens, and 2 or more"):
        encode(chainrule.load(tiny_folder, start="given"), "a")
    with pytest.raises(InputError, match="without a tokenizer"):
        encode(LanguageModel(lm.model, engine=lm.engine), "a")


def test_the_bound():
    assert bound(1000, 49_152) == pytest.approx(2 + 0.02)
    assert bound(1000, 152_000) == pytest.approx(2 + 1000 * (-math.log2(1 - 152_000 / 2**32) + 1e-6))
