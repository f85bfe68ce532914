"""The proof by compression: a text coded with the model's factors, and brought back by the model and the code alone.

A code of −log2 Pr(x) bits that gives the text back to the byte is one only if the factors are conditional probabilities: one
that peeks ahead cannot be decoded, and one whose distributions do not sum to 1 has another length. Both sides go through one
path that grows a token at a time (`Stepper`), since a decoder has nothing else.

A code is a line "chainrule code 1", a line of JSON (what it was made with and of) and the arithmetic code. It depends on the
last bit of every factor, and so on the model, the versions, the machine and the number of threads: they stand in it.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from chainrule.engine.job import rows_and_stride
from chainrule.engine.stepper import Stepper
from chainrule.errors import InputError
from chainrule.forest.windows import windows
from chainrule.models.precision import name_of
from chainrule.models.pretrained import PretrainedModel
from chainrule.text.spans import spells
from chainrule.verify.coder import TOTAL, ArithmeticDecoder, ArithmeticEncoder, shares
from chainrule.verify.report import Finding, Property, Report, versions
from chainrule.verify.subject import Language, check_causal

MAGIC = b"chainrule code 1\n"
ENDS, A_TOKEN = 2.0, 2e-5  # bits that a code may be longer than −log2 Pr: at its end, and for every token

Progress = Callable[[int, int], None]  # tokens done, tokens in all


@dataclass(frozen=True)
class Code:
    """The code of a text: `bits` of `payload`, and what is needed besides the model to read it."""

    payload: bytes
    bits: int
    tokens: int
    given: list[int]  # the first token, where it is given and so has no factor
    text_sha256: str
    fingerprint: dict[str, str]  # of what it was made with

    def to_bytes(self) -> bytes:
        """As it is written to a file."""
        header = {name: value for name, value in vars(self).items() if name != "payload"} | {"bytes": len(self.payload)}
        header |= {"sha256": _checksum(header, self.payload)}
        return MAGIC + json.dumps(header, sort_keys=True).encode() + b"\n" + self.payload

    @classmethod
    def from_bytes(cls, raw: bytes) -> Code:
        """Raises InputError for what is no code, or no whole one."""
        if not raw.startswith(MAGIC):
            raise InputError(f"this is no code of chainrule: it begins with {raw[:16]!r}, not with {MAGIC[:-1].decode()!r}")
        line, newline, payload = raw[len(MAGIC) :].partition(b"\n")
        header: dict[str, Any] = {}
        try:
            header = json.loads(line)
            wrong = [name for name, kind in _HEADER.items() if type(header[name]) is not kind]
        except (ValueError, KeyError, TypeError):
            wrong = ["all of it"]
        if wrong or not newline:
            raise InputError("the code is damaged, or cut short: its second line is not what chainrule writes there")
        digest, size = header.pop("sha256"), header["bytes"]
        if len(payload) < size:
            raise InputError(f"the code is cut short: {len(payload)} of {size} bytes are here")
        if _checksum(header, payload) != digest:
            raise InputError("the code is damaged: its bytes are not those that its checksum was made of")
        del header["bytes"]
        return cls(payload, **header)


_HEADER = {"bits": int, "bytes": int, "fingerprint": dict, "given": list, "sha256": str, "text_sha256": str, "tokens": int}


def _checksum(header: dict[str, Any], payload: bytes) -> str:
    return _digest(json.dumps(header, sort_keys=True).encode() + payload)


def encode(lm: Language, text: str, progress: Progress | None = None) -> Code:
    """The code of a text under a model. Raises InputError where the tokens do not spell the text, or are too few."""
    check_causal(lm)
    if lm.tokenizer is None:
        raise InputError("this model came without a tokenizer, so there is no text that it could code")
    ids = np.asarray(lm.tokenizer.encode(text), np.int64)
    first = int(lm.start.id is None)
    if len(ids) <= first:
        raise InputError(f"the text has {len(ids)} tokens, and {first + 1} or more are needed: give a longer one")
    if not spells(text, [_bytes(lm, ids)]):
        raise InputError("the tokenizer changes this text (its tokens do not spell it), so no code could bring it back")
    encoder = ArithmeticEncoder()
    steps = _distributions(lm, ids, first, progress)
    for place, logprob_V in enumerate(steps, first):
        encoder.encode(int(ids[place]), shares(logprob_V))
    payload, bits = encoder.finish()
    return Code(payload, bits, len(ids), ids[:first].tolist(), _digest(text.encode()), fingerprint(lm))


def decode(lm: Language, code: Code, progress: Progress | None = None) -> str:
    """The text of a code, by the model alone. Raises InputError for a damaged one, or one that was made in another way."""
    check_causal(lm)
    _check_fingerprint(code.fingerprint, fingerprint(lm))
    ids, given = np.zeros(code.tokens, np.int64), code.given
    ids[: len(given)] = given
    decoder = ArithmeticDecoder(code.payload)
    for place, logprob_V in enumerate(_distributions(lm, ids, len(given), progress), len(given)):
        ids[place] = decoder.decode(shares(logprob_V))  # before the next distribution is asked for
    raw = _bytes(lm, ids)
    for text in (raw, raw.removeprefix(b" "), raw.removesuffix(b" ")):  # `spells`: a tokenizer may set a space there
        if _digest(text) == code.text_sha256:
            return text.decode()
    raise InputError("the code does not give its text back: this machine computes other bits than the one that made it")


def prove(lm: Language, text: str, progress: Callable[[str, int, int], None] | None = None) -> tuple[Code, Report]:
    """Code a text, decode it, and hold the length of the code against −log2 Pr of the scorer.

    Counts of 1 at least make what is rarer than 2^−32 cheaper than its probability says: the length is held against
    Σ −log2(Pr(x_i | …) + 2^−32), which is −log2 Pr but for such tokens.
    """
    begin, say = time.perf_counter(), progress or (lambda *_: None)
    code = encode(lm, text, lambda done, all: say("coding", done, all))
    score = lm.score(text)
    found, cause = "", "the decoder's factors are not the encoder's"
    try:
        found = decode(lm, Code.from_bytes(code.to_bytes()), lambda done, all: say("decoding", done, all))
    except InputError as error:
        cause = str(error)
    size, tokens, most = len(text.encode()), len(score.ids), bound(len(score.ids), lm.model.head.size)
    floored = -float(np.log2(np.exp(score.logprobs) + 1 / TOTAL).sum())  # every count is 1 at least, whatever the probability
    properties = [
        Finding(
            f"{size:,} bytes of text, coded, and decoded by the model and the code alone",
            float(found != text),
            unit="texts",
            cause=cause,
        ),
        Finding(
            f"{code.bits:,} bits of code, −log2 Pr = {score.bits:,.2f} bits for {tokens:,} tokens"
            + (f", {floored:,.2f} with no count below 1" if score.bits - floored > 0.01 else "")
            + f": {code.bits / size:.3f} bits a byte, {8 * size / max(1, code.bits):.1f} times shorter than the text",
            abs(code.bits - floored),
            most,
            "bits",
            cause="the scorer's factors are not those that the text can be coded with",
        ),
    ]
    names = ("round trip", "length of the code")
    made = [Property.judged(name, finding) for name, finding in zip(names, properties, strict=True)]
    about = {"bits": code.bits, "logprob_bits": score.bits, "tokens": tokens, "bytes": size, "code_bytes": len(code.payload)}
    return code, Report(lm.model.name, made, about | {"fingerprint": code.fingerprint}, time.perf_counter() - begin)


def bound(tokens: int, size: int) -> float:
    """Bits that a code may be longer than −log2 Pr: a vocabulary of more than 56,000 pays more for its floors of 1."""
    return ENDS + tokens * max(A_TOKEN, -math.log2(1 - size / TOTAL) + 1e-6)


def fingerprint(lm: Language) -> dict[str, str]:
    """All that the bits of a factor depend on."""
    model = lm.model
    return {
        "weights": _weights(model),
        "tokenizer": _digest(
            repr([lm.tokenizer.token_bytes(i) for i in range(model.head.size)]).encode() if lm.tokenizer else b""
        ),
        "start": str(lm.start.id),
        "dtype": name_of(model.dtype),
        "path": lm.engine.path,
        "device": "cpu" if model.device.type == "cpu" else torch.cuda.get_device_name(model.device),
        "machine": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "kernels": f"compiled, {lm.kernels.lanes} lanes" if lm.kernels else "PyTorch's",
        "threads": str(torch.get_num_threads()),
        **{f"version of {name}": number for name, number in versions().items()},
    }


def _check_fingerprint(made: dict[str, str], here: dict[str, str]) -> None:
    then = {name: str(made.get(name, "not told")) for name in here}
    other = [f"{name}: {_short(then[name])} then, {_short(now)} now" for name, now in here.items() if then[name] != now]
    if other:
        raise InputError(
            f"the code was made in another way, so factors have other bits here ({'; '.join(other)}); decode it as it was made"
        )


def _distributions(
    lm: Language, ids: NDArray[np.int64], first: int, progress: Progress | None
) -> Iterator[NDArray[np.float64]]:
    """log Pr(· | what stands before) for the places from `first` on, in the windows that the scorer uses.

    `ids` is read behind each place only after its distribution was taken: a decoder fills it in meanwhile.
    """
    start = [] if lm.start.id is None else [lm.start.id]
    rows, stride = rows_and_stride(lm.model.max_rows, None, None)
    rows = rows or len(ids) + len(start)
    for window in windows(first, len(ids), rows, stride, bool(start)):
        stepper = Stepper(lm.engine, min(rows, len(start) + len(ids)))
        logprob_V = stepper.feed([*start, *ids[window.begin : window.first].tolist()])
        for place in range(window.first, window.stop):
            yield logprob_V
            if progress is not None:
                progress(place + 1, len(ids))
            if place + 1 < window.stop:
                logprob_V = stepper.feed([int(ids[place])])


def _bytes(lm: Language, ids: NDArray[np.int64]) -> bytes:
    assert lm.tokenizer is not None
    return b"".join(map(lm.tokenizer.token_bytes, ids.tolist()))


def _weights(model: Any) -> str:
    if not isinstance(model, PretrainedModel):
        return _digest(repr(sorted((key, row.tolist()) for key, row in model.rows.items())).encode())
    digest = hashlib.sha256(repr(model.lm.config.to_dict()).encode())
    for name, tensor in sorted(model.lm.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _short(value: str) -> str:
    return value if len(value) <= 40 else value[:12] + "…"
