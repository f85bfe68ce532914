"""Generation as a sequence of steps, which the caller can interleave with other work and end at any token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from chainrule.errors import InputError
from chainrule.generation.options import Options
from chainrule.generation.result import Generated, Step

if TYPE_CHECKING:
    from chainrule.generation.hypothesis import Hypothesis, Steps
    from chainrule.scoring.scorer import Scorer
    from chainrule.text.requests import Request
    from chainrule.text.start_end import Start


class Stream(Iterator[Step]):
    """An iterator over the `Step`s of a generation, made by `LanguageModel.stream`. A token is computed when it is asked for.

    Between two steps the model can be used for anything else, also for other streams, without an effect on the bits of either.
    One thread at a time may take steps. The end of the loop, `close` and the end of a `with` block free the memory of the
    stream: the keys and values of its tokens.

    A step raises ModelError if the network gives NaN, and InputError if all continuations are impossible; the stream is then
    closed.
    """

    def __init__(self, steps: Steps[list[Generated]], step_of: Callable[[int, Hypothesis], Step]) -> None:
        self._steps: Steps[list[Generated]] | None = steps
        self._step_of = step_of
        self._texts: list[Generated] | None = None

    def __next__(self) -> Step:
        if self._steps is None:
            raise StopIteration
        try:
            return self._step_of(*next(self._steps))
        except StopIteration as end:
            self._steps, self._texts = None, end.value
            raise StopIteration from None
        except BaseException:
            self.close()
            raise

    @property
    def texts(self) -> list[Generated]:
        """The texts that `generate` with n= gives, once all steps have been taken: when the loop over the stream has ended.

        `logprobs` of a greedy text or a sample are the numbers of its steps, bit for bit; if `invariant`, of `score` too.
        Raises InputError before that, and if the stream was ended early.
        """
        if self._texts is None:
            state = (
                "it was ended before its last step" if self._steps is None else "it has further steps: take all of them first"
            )
            raise InputError(f"this stream has no texts, since {state}")
        return self._texts

    def close(self) -> None:
        """End the generation, and free its memory. Steps that were taken remain; there are no further ones, and no texts."""
        if self._steps is not None:
            self._steps.close()
            self._steps = None

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def stream(scorer: Scorer, context: Request | None, start: Start, end: bool | int | None, options: Options) -> Stream:
    """The steps of `generate` from left to right. Raises InputError, before anything is computed."""
    from chainrule.generation.generate import Continuations  # imports torch
    from chainrule.generation.strategies import stepper

    left_to_right = scorer.predictor.accepts.left_to_right
    if not left_to_right:
        raise InputError(f"a stream goes from left to right: use generate() with order= ({left_to_right.reason})")
    continuations = Continuations.of(scorer, context, start, end, options, kept=True)
    return Stream(continuations.steps(), stepper(scorer.tokenizer, continuations.before))
