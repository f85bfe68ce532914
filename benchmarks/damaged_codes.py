"""Decode damaged and crafted codes, and count the failures.

    .venv/bin/python benchmarks/damaged_codes.py              # 50 of each kind, on a table and on a tiny Llama

`chainrule verify --code` writes a code. Crafted codes have a correct checksum. Each code is passed to `Code.from_bytes` and
`decode`. Failures: an error that is not chainrule's own or has several lines, a run of more than 10 seconds, and a different
text without an error. Exit code 1: there are failures.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from tally import report_outcomes

import chainrule
from chainrule import ChainruleError, LanguageModel, TableModel
from chainrule.verify.code import decode, encode
from chainrule.verify.code_file import MAGIC, Code, _checksum

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

SECONDS = 10
VALUES = (-1, 0, 1, 2, 7, 300, 10**6, 10**8, 10**12, 10**18, 10**60, 0.5, 1e300, float("nan"), True, None, "", "x", [], {})
LISTS = ([0], [1], [-1], [10**6], [10**30], [True], [1.0], [[0]], ["0"], [0] * 5, [[[[]]]], {"0": 0}, [None])
FINGERPRINTS = ({}, {"weights": None}, {"weights": 5}, {"weights": "x" * 60_000}, {"weights": "a\nb"}, {"weights": {"a": []}})
LINES = (
    b"[" * 60_000,
    b'{"a":' * 60_000,
    b"9" * 5000,
    b"NaN",
    b"\xff\xfe",
    b"null",
    b"{}",
    b"[]",
    b"{" + b" " * 50_000_000 + b"}",
)


def parts(raw: bytes) -> tuple[dict, bytes]:
    _, line, payload = raw.split(b"\n", 2)
    return json.loads(line), payload


def forged(header: dict, payload: bytes) -> bytes:
    """A code with a correct checksum."""
    header = {name: value for name, value in header.items() if name != "sha256"}
    header["sha256"] = _checksum(header, payload)
    return MAGIC + json.dumps(header, sort_keys=True).encode() + b"\n" + payload


def flipped(raw: bytes, draw: random.Random) -> bytes:
    changed = bytearray(raw)
    for _ in range(draw.choice((1, 1, 2, 9))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut(raw: bytes, draw: random.Random) -> bytes:
    return raw[: draw.randrange(len(raw))]


def longer(raw: bytes, draw: random.Random) -> bytes:
    header, payload = parts(raw)
    payload += draw.randbytes(draw.randrange(1, 40))
    return draw.choice((raw + b"\0", forged(header, payload), forged(header | {"bytes": len(payload)}, payload)))


def field(raw: bytes, draw: random.Random) -> bytes:
    header, payload = parts(raw)
    name = draw.choice(sorted(header))
    return forged(header | {name: draw.choice((*VALUES, *LISTS, *FINGERPRINTS))}, payload)


def fields(raw: bytes, draw: random.Random) -> bytes:
    header, payload = parts(raw)
    header |= {name: draw.choice((*VALUES, *LISTS)) for name in draw.sample(sorted(header), 3)}
    return forged(header | {draw.choice(("more", "payload", "bits")): draw.choice(VALUES)}, payload)


def claims(raw: bytes, draw: random.Random) -> bytes:
    """A header that claims other numbers of tokens; its bits match the payload."""
    header, payload = parts(raw)
    return forged(header | {"tokens": draw.choice((header["tokens"] + 1, 10**5, 10**8, 10**12, 1 << 52))}, payload)


def other_payload(raw: bytes, draw: random.Random) -> bytes:
    header, _ = parts(raw)
    payload = draw.choice((draw.randbytes, bytes, lambda size: b"\xff" * size))(draw.choice((0, 1, 8, 60, 500)))
    tokens = draw.choice((header["tokens"], 1, 10**8))
    return forged(header | {"bytes": len(payload), "bits": 8 * len(payload), "tokens": tokens}, payload)


def line(raw: bytes, draw: random.Random) -> bytes:
    twice = raw.replace(b'"bits"', b'"bits": 5, "bits"')
    return draw.choice((twice, *(MAGIC + each + draw.choice((b"", b"\n")) for each in LINES)))


KINDS: tuple[Callable[[bytes, random.Random], bytes], ...] = (flipped, cut, longer, field, fields, claims, other_payload, line)


class TooLong(BaseException):
    """Raised when a decode takes too long; not an Exception, so that chainrule does not catch it."""


def late(*_: object) -> None:
    raise TooLong


def outcome(lm: LanguageModel, raw: bytes, text: str) -> str | None:
    """The failure of one decode; None if there is none."""
    signal.alarm(SECONDS)
    try:
        return None if decode(lm, Code.from_bytes(raw)) == text else "a different text, without an error"
    except ChainruleError as error:
        return None if str(error).isprintable() else f"not one line: {error!r}"
    except TooLong:
        return f"more than {SECONDS} s"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=50, help="codes of each kind, for each model")
    parser.add_argument("--output", type=Path, help="a file for the outcomes, as JSON")
    arguments = parser.parse_args()
    from damaged import sound

    torch.set_num_threads(1)
    signal.signal(signal.SIGALRM, late)
    with tempfile.TemporaryDirectory() as scratch:
        sound(Path(scratch))
        whole = Path(scratch) / "whole"
        lms = {f"Llama, start {start}": chainrule.load(whole, start=start) for start in ("bos", "given")}
    rows = {"": [9, 0, -9], "A": [0, 0, 0], "B": [99, 0, 0]}  # after B nearly nothing but A comes
    lms["table"] = LanguageModel(TableModel(["A", "B", "C"], rows, back_off=True))
    tries, failures = Counter(), []
    for name, lm in lms.items():
        text = "ABBAC" * 20 if name == "table" else "Hello world, hello there! How are you today? naïve café " * 2
        raw = encode(lm, text).to_bytes()
        for kind in KINDS:
            for seed in range(arguments.each):
                tries[kind.__name__] += 1
                if wrong := outcome(lm, kind(raw, random.Random(f"{kind.__name__} {seed}")), text):
                    failures.append({"kind": kind.__name__, "model": name, "seed": seed, "what": wrong})
                    print(f"{kind.__name__} {seed}, {name}: {wrong}", flush=True)
    failed = Counter(failure["kind"] for failure in failures)
    table = {name: {"tries": count, "failures": failed[name]} for name, count in tries.items()}
    raise SystemExit(report_outcomes(table, failures, arguments.output))


if __name__ == "__main__":
    main()
