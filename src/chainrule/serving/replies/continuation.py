"""A call that continues prompts, and the texts that continue them, before they take a shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from chainrule.generation import Generated
from chainrule.results.score import Score
from chainrule.serving.fragments import Fragments
from chainrule.serving.replies.factors import Factors
from chainrule.serving.replies.text import text_of_tokens
from chainrule.serving.requests.generation import GenerationBody
from chainrule.serving.served import Prompt, ServedModel


@dataclass(frozen=True)
class Call:
    """Prompts to continue, each by `body.n` texts of at most `length` tokens.

    id: made of the request alone, so that equal requests get equal replies. top, prompt_top: the alternatives at each
    generated token and at each token of the prompt; None: no factors are wanted.
    """

    served: ServedModel
    body: GenerationBody
    prompts: list[Prompt]
    id: str
    seed: int | None
    length: int
    top: int | None
    prompt_top: int | None

    def base(self, object: str) -> dict[str, Any]:
        """What every reply and event has."""
        served = self.served
        return {
            "id": self.id,
            "object": object,
            "created": served.created,
            "model": served.name,
            "system_fingerprint": served.fingerprint,
        }

    @property
    def hidden(self) -> frozenset[int]:
        """The symbols that generated texts do not show."""
        return self.served.symbols if self.body.skip_special_tokens else frozenset()

    @property
    def fragments(self) -> Fragments:
        """What the reply says of each token."""
        return self.served.fragments(self.body.return_tokens_as_token_ids)

    def usage(self, generated: int) -> dict[str, int]:
        """The numbers of tokens."""
        return usage(sum(len(prompt.ids) for prompt in self.prompts), generated)


def usage(prompt: int, generated: int = 0) -> dict[str, int]:
    """The numbers of tokens, in OpenAI's shape."""
    return {"prompt_tokens": prompt, "completion_tokens": generated, "total_tokens": prompt + generated}


@dataclass(frozen=True)
class Continuation:
    """A generated text, or a part of one. finish: "stop" or "length"; None: more follows. stop: the text that ended it."""

    text: str
    factors: Factors
    finish: str | None
    stop: str | None = None

    @classmethod
    def of(cls, call: Call, generated: Generated) -> Continuation:
        """Of a text that was generated at once."""
        ids = generated.ids.tolist()
        text, stop = text_of_tokens(call.served, ids, call.body.stop, skip_special=call.body.skip_special_tokens)
        return cls(text, Factors.of(generated, call.top or 0), finish_of(generated.finish), stop)

    @classmethod
    def most_probable(cls, call: Call, score: Score) -> Continuation:
        """The most probable token after a prompt, of the score of the prompt and one more token."""
        factors = Factors.most_probable(score, call.top or 0)
        ends = not call.body.ignore_eos and factors.ids[0] == call.served.end_id
        text, stop = text_of_tokens(call.served, factors.ids, call.body.stop, skip_special=call.body.skip_special_tokens)
        return cls(text, factors, "stop" if ends or stop is not None else "length", stop)


def finish_of(finish: str | None) -> str | None:
    """Why a text ended, in OpenAI's words."""
    return "stop" if finish == "end" else finish


class Shape(Protocol):
    """How replies of one endpoint are built. prompts: the factors of each prompt, if they are wanted."""

    chunk: str  # the name of an event

    def reply(self, call: Call, prompts: list[Factors | None], texts: list[Continuation]) -> dict[str, Any]:
        """The reply, with `call.body.n` texts for each prompt."""
        ...

    def first_events(self, call: Call, prompts: list[Factors | None]) -> list[dict[str, Any]]:
        """The events of a stream before the first token."""
        ...

    def event(self, call: Call, index: int, part: Continuation, offsets: list[int]) -> dict[str, Any]:
        """The event for one token. offsets: the characters before it, those of the prompt among them."""
        ...
