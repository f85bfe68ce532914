"""Generation as lm-evaluation-harness asks for it: a text after a context, cut before the first of the texts to stop at."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainrule._checks import is_whole
from chainrule.errors import InputError, short
from chainrule.evaluation.convention import Convention
from chainrule.language import LanguageModel
from chainrule.text.base import TokenizerLike

LENGTH = 256  # the harness's default number of tokens
_LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # names of one argument, the first counts
_SAMPLING = ("temperature", "top_k", "top_p", "min_p")
_GREEDY = (  # arguments of transformers that change greedy texts
    "repetition_penalty", "encoder_repetition_penalty", "no_repeat_ngram_size", "bad_words_ids", "suppress_tokens",
    "begin_suppress_tokens", "sequence_bias", "min_length", "min_new_tokens", "forced_bos_token_id", "forced_eos_token_id",
    "num_beams", "guidance_scale",
)  # fmt: skip
_PLAIN = {"num_beams": 1, "num_return_sequences": 1, "use_cache": True}  # values that change nothing


@dataclass(frozen=True)
class Call:
    """The arguments of one request, checked. sampling: None: greedy."""

    until: tuple[str, ...]
    length: int
    sampling: dict[str, Any] | None

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Call:
        """From the `generation_kwargs` of a task. Raises InputError for what chainrule does not do."""
        left = {name: value for name, value in arguments.items() if value is not None}
        until = left.pop("until", ())
        until = (until,) if isinstance(until, str) else tuple(until)
        length = next((left[name] for name in _LENGTHS if name in left), LENGTH)
        if not is_whole(length, 1):
            raise InputError(f"max_gen_toks must be a whole number, 1 or more, not {short(length)}")
        sampling = {name: left.pop(name) for name in _SAMPLING if name in left}
        drawn = left.pop("do_sample", float(sampling.get("temperature", 0)) > 0)
        unknown = [name for name, value in left.items() if name not in _LENGTHS and _PLAIN.get(name) != value]
        if unknown:
            given = f"{unknown[0]}={short(left[unknown[0]])}"
            raise InputError(
                f"generation_kwargs has {given}, but chainrule generates greedily or by sampling: it takes until, "
                f"max_gen_toks, do_sample, {', '.join(_SAMPLING)}"
            )
        return cls(tuple(text for text in until if text), int(length), sampling if drawn else None)


def continuation(
    lm: LanguageModel, convention: Convention, context: str, call: Call, ends: Sequence[int], seed: Callable[[], int]
) -> str:
    """The text after a context, without control symbols. A long context is cut from the left, so that `call.length` tokens fit.

    ends: the end symbols, that of the tokenizer first. seed: gives a new number for each call that samples.
    Raises InputError.
    """
    most = convention.max_length - call.length
    if most < 1:
        raise InputError(
            f"max_gen_toks={call.length} leaves nothing of max_length={convention.max_length} for the context: choose fewer"
        )
    ids, tokenizer = convention.encode([context])[context][-most:] or [convention.prefix_id], convention.tokenizer
    texts = [tokenizer.token_bytes(id).decode("utf-8", "replace") for id in ends]
    stops = list(dict.fromkeys([*call.until, *filter(None, texts)]))
    options: dict[str, Any] = {"max_tokens": call.length, "stop": stops, "start": "given"}
    if call.sampling is not None:
        options |= {"method": "sample", "seed": seed(), **call.sampling}
    text = decoded(tokenizer, lm.generate(ids, **options).ids.tolist())
    for stop in (*call.until, *filter(None, texts[:1])):
        text = text.partition(stop)[0]
    return text


def end_ids(lm: LanguageModel, tokenizer: TokenizerLike, defaults: Mapping[str, Any]) -> list[int]:
    """The end symbols of the tokenizer, the config and the defaults of generation, that of the tokenizer first."""
    ids = [tokenizer.eos_id]
    for symbol in (lm.model.eos_id, defaults.get("eos_token_id")):
        ids += symbol if isinstance(symbol, list) else [symbol]
    return list(dict.fromkeys(id for id in ids if isinstance(id, int) and 0 <= id < lm.model.head.size))


def defaults_of(folder: str | Path) -> dict[str, Any]:
    """The defaults of generation in a model's folder; none if it has none that can be read."""
    with suppress(OSError, ValueError):
        found = json.loads((Path(folder) / "generation_config.json").read_text("utf-8"))
        return found if isinstance(found, dict) else {}
    return {}


def left_out(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults that would change a greedy text of transformers, and that are not applied here."""
    return {name: value for name, value in defaults.items() if name in _GREEDY and value not in (None, 0, 1, [], {})}


def decoded(tokenizer: TokenizerLike, ids: list[int]) -> str:
    """The text of the ids, without control symbols, as the tokenizer of transformers decodes it."""
    hf: Any = getattr(tokenizer, "hf", None)
    if hf is not None:
        return hf.decode(ids, skip_special_tokens=True)
    kept = [id for id in ids if id not in tokenizer.special_ids]
    return b"".join(map(tokenizer.token_bytes, kept)).decode("utf-8", "replace")
