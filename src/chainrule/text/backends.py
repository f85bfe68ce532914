"""Tokenizer backends (Rust): encoding without added symbols or truncation, and copies of backends with other rules."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from chainrule.errors import InputError, ModelError


def encoded(backend: Any, text: str) -> Any:
    """The backend's full encoding of one text, without special symbols around it."""
    whole(backend)
    with answering():
        return backend.encode(text, add_special_tokens=False)


@contextmanager
def answering(
    what: str = "the tokenizer fails on a text", remedy: str = "; it is damaged, or lacks an unknown token"
) -> Iterator[None]:
    """Convert any failure of a tokenizer, including panics of its Rust code, to a ModelError: what, why, remedy."""
    try:
        yield
    except InputError:
        raise
    except BaseException as error:
        if not (isinstance(error, Exception) or type(error).__name__ == "PanicException"):
            raise  # an interrupt
        first_line = str(error).strip().partition("\n")[0][:300] or type(error).__name__
        raise ModelError(f"{what}: {first_line}{remedy}") from error


def whole(backend: Any) -> None:
    """Disable truncation and padding that the tokenizer was saved with, or that other code has enabled."""
    if backend.truncation is not None:
        backend.no_truncation()
    if backend.padding is not None:
        backend.no_padding()


def literal(backend: Any, special_ids: Collection[int]) -> Any:
    """A copy that encodes the name of a control symbol like any other text."""
    import tokenizers

    state = json.loads(backend.to_str())
    for added in state["added_tokens"]:
        added["special"] = added["special"] or added["id"] in special_ids
    copy = tokenizers.Tokenizer.from_str(json.dumps(state))
    copy.encode_special_tokens = True
    return copy


def without_first_space(backend: Any) -> Any:
    """A copy without the steps that add a space before a text; the backend itself if it has none."""
    import tokenizers

    before = json.loads(backend.to_str())
    steps = {name: _spaceless(before[name]) for name in ("normalizer", "pre_tokenizer")}
    after = before | steps
    return backend if after == before else tokenizers.Tokenizer.from_str(json.dumps(after))


def _spaceless(step: dict[str, Any] | None) -> dict[str, Any] | None:
    """A step of a serialised backend, changed to add no space before a text."""
    match step:
        case {"type": "Sequence", **inner}:
            return step | {name: [_spaceless(each) for each in steps] for name, steps in inner.items()}
        case {"type": "Prepend"}:
            return {"type": "Sequence", "normalizers": []}
        case {"type": "Metaspace"}:
            return step | {"prepend_scheme": "never"}
        case {"type": "ByteLevel"}:
            return step | {"add_prefix_space": False}
    return step
