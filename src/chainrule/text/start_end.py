"""The start symbol before the first token, and the end factor after the last.

With a start symbol, Pr(x_0) is a factor like the others, and a score is a joint probability. Without one, x_0 is given, and
a score is the conditional probability Pr(x_1 … | x_0).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from chainrule._checks import is_whole
from chainrule.errors import InputError, short

_CHOICES = "'auto', 'bos', 'eos', 'given', or a token id"


@dataclass(frozen=True)
class Start:
    """The start symbol of a score, and the policy that chose it."""

    policy: str  # bos, eos, id, cls (of a pair of texts); given: no start symbol
    id: int | None
    token: str | None
    also_end: bool = False  # one symbol marks both start and end, as GPT-2's <|endoftext|> does

    @property
    def kind(self) -> Literal["joint", "conditional"]:
        """Whether the first token has a factor, or is given."""
        return "conditional" if self.id is None else "joint"

    def describe(self) -> str:
        """A description for users, in one line."""
        if self.id is None:
            return "conditional: the first token is given, and has no factor"
        symbol = {
            "bos": "the start symbol",
            "eos": "the end symbol, used as the start symbol,",
            "id": "the token",
            "cls": "the symbol",
        }
        also = ", which is also the end symbol" if self.also_end and self.policy == "bos" else ""
        return f"joint: the first token is predicted from {symbol[self.policy]} {self.token} (id {self.id}){also}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"kind": self.kind, "policy": self.policy, "id": self.id, "token": self.token}


def resolve_start(
    requested: str | int,
    *,
    vocab_size: int,
    tokenizer_bos: int | None = None,
    tokenizer_eos: int | None = None,
    config_bos: int | Sequence[int] | None = None,
    config_eos: int | Sequence[int] | None = None,
    token: Callable[[int], str] = "<{}>".format,
) -> Start:
    """The requested start symbol of a model with `vocab_size` rows.

    'auto': the BOS symbol; else the EOS symbol, since models trained on packed documents saw each beginning after it; else
    none ('given'). The tokenizer's symbol takes precedence over the config's. If the config has a list, its first symbol is
    used. A symbol without a row in the model is ignored. Raises InputError if the request cannot be met.
    """
    bos = _symbol(vocab_size, tokenizer_bos, config_bos)
    eos = _symbol(vocab_size, tokenizer_eos, config_eos)
    if not isinstance(requested, str):
        id = _checked_id(requested, vocab_size, f"start={short(requested)}", _CHOICES)
        return Start("id", id, token(id), id == eos)
    if requested not in ("auto", "bos", "eos", "given"):
        raise InputError(f"start={short(requested)} is not a start policy: choose {_CHOICES}.")
    if requested in ("auto", "bos") and bos is not None:
        return Start("bos", bos, token(bos), bos == eos)
    if requested in ("auto", "eos") and eos is not None:
        return Start("eos", eos, token(eos), True)
    if requested in ("auto", "given"):
        return Start("given", None, None)
    raise InputError(
        f"start={short(requested)}, but this model has no {requested.upper()} symbol: pass a token id (start=ID), "
        "or take the first token as given (start='given')."
    )


def masked_start(requested: str | int, id: int, token: str) -> Start:
    """The start of a masked model: the symbol of its template before every text, or none ('given').

    Raises InputError for any other symbol, since the model would not see it.
    """
    if requested == "given":
        return Start("given", None, None)
    if requested in ("auto", "cls"):
        return Start("cls", id, token)
    raise InputError(
        f"start={short(requested)} is not possible for a masked model, whose texts always come after {token} (id {id}): omit "
        "it ('auto'), or take the first token in the order as given ('given')."
    )


def given_start(requested: str | int, why: str) -> Start:
    """The only possible start of a model that needs a known token before it can predict. Raises InputError for any other."""
    if requested in ("auto", "given"):
        return Start("given", None, None)
    raise InputError(f"start={short(requested)} is not possible: {why}.")


def resolve_end(
    requested: bool | int | None,
    *,
    vocab_size: int,
    tokenizer_eos: int | None = None,
    config_eos: int | Sequence[int] | None = None,
) -> int | None:
    """The symbol whose factor ends a score: none (False, None), the EOS symbol (True), or a token id."""
    if requested is None or requested is False:
        return None
    if requested is not True:
        return _checked_id(requested, vocab_size, f"end={short(requested)}", "True, False, or a token id")
    eos = _symbol(vocab_size, tokenizer_eos, config_eos)
    if eos is None:
        raise InputError("end=True, but this model has no EOS symbol: pass a token id (end=ID), or omit the end.")
    return eos


def _symbol(vocab_size: int, *candidates: int | Sequence[int] | None) -> int | None:
    """The first candidate that is not None and has a row in the model."""
    for candidate in candidates:
        id = candidate if candidate is None or isinstance(candidate, int) else next(iter(candidate), None)
        if id is not None and 0 <= id < vocab_size:
            return id
    return None


def _checked_id(requested: object, vocab_size: int, what: str, choices: str) -> int:
    if not is_whole(requested):
        raise InputError(f"{what} is not a token id: choose {choices}.")
    if not 0 <= requested < vocab_size:
        raise InputError(f"{what} is out of range: this model has the token ids 0 to {vocab_size - 1}.")
    return int(requested)
