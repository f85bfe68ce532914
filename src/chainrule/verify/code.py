"""Proof by compression: a text is coded with the model's factors, and decoded from the code with the model alone.

Decoding a code of −log2 Pr(x) bits to exactly the same text is only possible if the factors are conditional probabilities:
factors that see later tokens cannot be decoded, and distributions that do not sum to 1 give another length. Encoder and
decoder both compute one path token by token (`Stepper`), since a decoder knows no later tokens.

A code consists of the line "chainrule code 1", a line of JSON (the header) and the arithmetic code. It depends on the last bit
of every factor, and so on the model, the versions, the machine and the number of threads, which the header records.
"""

from __future__ import annotations

import hashlib
import math
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch

from chainrule._types import Floats
from chainrule.engine.decoding.stepper import Stepper
from chainrule.engine.plan import rows_and_stride
from chainrule.errors import InputError
from chainrule.forest.windows import each_window
from chainrule.models.causal import PretrainedModel
from chainrule.models.dtype import name_of
from chainrule.models.identity import identity_of
from chainrule.text.base import TokenizerLike
from chainrule.text.spans import spells
from chainrule.verify.code_file import Code, sha256
from chainrule.verify.coder import TOTAL, ArithmeticDecoder, ArithmeticEncoder, shares
from chainrule.verify.references import Language, check_causal
from chainrule.verify.report import Finding, Property, Report, versions

ENDS, A_TOKEN = 2.0, 2e-5  # bits that a code may exceed −log2 Pr by: in total, and per token

Progress = Callable[[int, int], None]  # tokens done, tokens in total


def encode(lm: Language, text: str, progress: Progress | None = None) -> Code:
    """The code of a text under a model. Raises InputError if the tokens do not spell the text, or are too few."""
    tokenizer = _tokenizer(lm)
    ids = np.asarray(tokenizer.encode(text), np.int64).tolist()
    first = int(lm.start.id is None)
    if len(ids) <= first:
        raise InputError(f"the text has {len(ids)} tokens, and {first + 1} or more are needed: give a longer one")
    if not spells(text, [_bytes(tokenizer, ids)]):
        raise InputError("the tokenizer changes this text (its tokens do not spell it), so it cannot be decoded exactly")
    encoder = ArithmeticEncoder()
    steps = _distributions(lm, ids, first, len(ids), progress)
    for i, logprob_V in enumerate(steps, first):
        encoder.encode(ids[i], shares(logprob_V))
    payload, bits = encoder.finish()
    return Code(payload, bits, len(ids), ids[:first], sha256(text.encode()), fingerprint(lm))


def decode(lm: Language, code: Code, progress: Progress | None = None) -> str:
    """The text of a code, from the model alone. Raises InputError if the code is damaged or was made under other conditions."""
    tokenizer = _tokenizer(lm)
    _check_fingerprint(code.fingerprint, fingerprint(lm))
    _check_tokens(lm, code)
    ids, decoder = list(code.given), ArithmeticDecoder(code.payload)
    for logprob_V in _distributions(lm, ids, len(ids), code.tokens, progress):
        ids.append(decoder.decode(shares(logprob_V)))  # before the next distribution is computed
        if decoder.bits > code.bits:
            raise InputError(
                f"the code does not decode to its text: its {code.bits:,} bits are used up after {len(ids):,} of "
                f"{code.tokens:,} tokens, so it is damaged, or this machine computes other bits than the one that made it"
            )
    raw = _bytes(tokenizer, ids)
    for text in (raw, raw.removeprefix(b" "), raw.removesuffix(b" ")):  # as in `spells`: a tokenizer may add a space
        if sha256(text) == code.text_sha256:
            with suppress(UnicodeDecodeError):
                return text.decode()
    raise InputError("the code does not decode to its text: this machine computes other bits than the one that made it")


def _check_tokens(lm: Language, code: Code) -> None:
    """Raises InputError if the code is too short for its tokens: each leaves the other V − 1 tokens counts of at least 1."""
    size, first = lm.model.head.size, int(lm.start.id is None)
    if len(code.given) != first or any(not 0 <= i < size for i in code.given) or code.tokens <= first:
        raise InputError(
            f"the code is damaged: {code.tokens:,} tokens with {code.given} given; the first is given if there is no start "
            f"symbol, and its id must be below {size:,}"
        )
    least = -math.log1p((1 - size) / TOTAL) / math.log(2) * (code.tokens - first)
    if least > code.bits + 1:
        raise InputError(
            f"the code is damaged: {code.tokens:,} tokens need at least {least:,.0f} bits, and it has {code.bits:,}"
        )


def prove(lm: Language, text: str, progress: Callable[[str, int, int], None] | None = None) -> tuple[Code, Report]:
    """Code a text, decode it, and compare the length of the code with −log2 Pr of the scorer.

    Counts of at least 1 make tokens rarer than 2^−32 cheaper than their probability. So the length is compared with
    Σ −log2(Pr(x_i | …) + 2^−32), which differs from −log2 Pr only for such tokens.
    """
    begin, report = time.perf_counter(), progress or (lambda *_: None)
    code = encode(lm, text, lambda done, total: report("coding", done, total))
    score = lm.score(text, special="text")
    decoded, cause = "", "the decoder's factors differ from the encoder's"
    try:
        decoded = decode(lm, Code.from_bytes(code.to_bytes()), lambda done, total: report("decoding", done, total))
    except InputError as error:
        cause = str(error)
    size, tokens, most = len(text.encode()), len(score.ids), bound(len(score.ids), lm.model.head.size)
    floored = -float(np.log2(np.exp(score.logprobs) + 1 / TOTAL).sum())  # every count is at least 1
    findings = [
        Finding(
            f"{size:,} bytes of text, coded, and decoded by the model and the code alone",
            float(decoded != text),
            unit="texts",
            cause=cause,
        ),
        Finding(
            f"{code.bits:,} bits of code, −log2 Pr = {score.bits:,.2f} bits for {tokens:,} tokens"
            + (f", {floored:,.2f} with no count below 1" if score.bits - floored > 0.01 else "")
            + f": {code.bits / size:.3f} bits per byte, {8 * size / max(1, code.bits):.1f} times shorter than the text",
            abs(code.bits - floored),
            most,
            "bits",
            cause="the scorer's factors are not those that the text can be coded with",
        ),
    ]
    names = ("round trip", "length of the code")
    properties = [Property.judged(name, finding) for name, finding in zip(names, findings, strict=True)]
    about: dict[str, Any] = {"code_bits": code.bits, "surprisal_bits": score.bits, "tokens": tokens, "bytes": size}
    about |= {"code_bytes": len(code.payload), "fingerprint": code.fingerprint}
    return code, Report(identity_of(lm.model), properties, about, time.perf_counter() - begin)


def bound(tokens: int, size: int) -> float:
    """Bits that a code may exceed −log2 Pr by. A vocabulary of more than 56,000 tokens needs more, for its counts of 1."""
    return ENDS + tokens * max(A_TOKEN, -math.log2(1 - size / TOTAL) + 1e-6)


def fingerprint(lm: Language) -> dict[str, str]:
    """Everything that the bits of a factor depend on."""
    model = lm.model
    return {
        "weights": _weights(model),
        "tokenizer": sha256(
            repr([lm.tokenizer.token_bytes(i) for i in range(model.head.size)]).encode() if lm.tokenizer else b""
        ),
        "start": str(lm.start.id),
        "dtype": name_of(model.dtype),
        "path": lm.engine.strategy,
        "device": "cpu" if model.device.type == "cpu" else torch.cuda.get_device_name(model.device),
        "machine": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "kernels": f"compiled, {lm.kernels.lanes} lanes" if lm.kernels else "PyTorch's",
        "threads": str(torch.get_num_threads()),
        **{f"version of {name}": number for name, number in versions().items()},
    }


def _check_fingerprint(encoder: dict[str, str], decoder: dict[str, str]) -> None:
    then = {name: str(encoder.get(name, "missing")) for name in decoder}
    changes = [f"{name}: {_short(then[name])} then, {_short(now)} now" for name, now in decoder.items() if then[name] != now]
    if changes:
        raise InputError(
            f"the code was made under other conditions, so factors have other bits here ({'; '.join(changes)}); "
            "decode it under the same"
        )


def _distributions(lm: Language, ids: Sequence[int], first: int, length: int, progress: Progress | None) -> Iterator[Floats]:
    """log Pr(· | the tokens before) at positions `first` to `length` − 1, in the windows that the scorer uses.

    `ids` is read at each position only after its distribution was yielded, so that a decoder can append the token in between.
    Memory does not grow with `length`, which a decoder reads from an untrusted code.
    """
    start = [] if lm.start.id is None else [lm.start.id]
    rows, stride = rows_and_stride(lm.model.max_rows, None, None)
    rows = rows or length + len(start)
    for window in each_window(first, length, rows, stride, bool(start)):
        stepper = Stepper(lm.engine, min(rows, len(start) + length))
        logprob_V = stepper.feed([*start, *ids[window.begin : window.first]])
        for i in range(window.first, window.stop):
            yield logprob_V
            if progress is not None:
                progress(i + 1, length)
            if i + 1 < window.stop:
                logprob_V = stepper.feed([ids[i]])


def _tokenizer(lm: Language) -> TokenizerLike:
    check_causal(lm)
    if lm.tokenizer is None:
        raise InputError("this model came without a tokenizer, so it cannot code a text")
    return lm.tokenizer


def _bytes(tokenizer: TokenizerLike, ids: Sequence[int]) -> bytes:
    return b"".join(map(tokenizer.token_bytes, ids))


def _weights(model: Any) -> str:
    if not isinstance(model, PretrainedModel):
        return sha256(repr(sorted((key, row.tolist()) for key, row in model.rows.items())).encode())
    digest = hashlib.sha256(repr(model.lm.config.to_dict()).encode())
    for name, tensor in sorted(model.lm.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _short(value: str) -> str:
    shown = value if value.isprintable() else repr(value)
    return shown if len(shown) <= 40 else shown[:12] + "…"
