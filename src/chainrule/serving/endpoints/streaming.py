"""Streams of server-sent events: a prompt's factors, then an event for each token as soon as it is generated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any

from starlette.responses import Response, StreamingResponse

from chainrule.generation import Step
from chainrule.serving.endpoints.generating import Answering
from chainrule.serving.errors import ApiError
from chainrule.serving.replies.continuation import Continuation, finish_of
from chainrule.serving.replies.factors import Factors
from chainrule.serving.replies.logprobs import Offsets
from chainrule.serving.replies.text import TextStream
from chainrule.serving.wire import DONE, event

_Item = Step | BaseException | None  # a token, an error, or the end


async def streamed(answering: Answering) -> Response:
    """The stream. An error before the first token is raised, and becomes a reply of its own. Raises ApiError."""
    events = _events(answering)
    first = await answering.service.while_connected(answering.request, anext(events))

    async def body() -> AsyncGenerator[bytes, None]:
        async with aclosing(events):
            yield first
            try:
                async for each in events:
                    yield each
            except ApiError as error:
                yield event(error.to_dict())
                yield DONE

    return StreamingResponse(body(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


async def _events(answering: Answering) -> AsyncGenerator[bytes, None]:
    call, shape = answering.call, answering.shape
    scores = await answering.scores() if call.prompt_top is not None else [None] * len(call.prompts)
    writers = [_Writer(answering, index) for index in range(len(call.prompts) * call.body.n)]
    generated = 0
    async with aclosing(_steps(answering)) as steps:
        step = await anext(steps, None)  # before the first event, so that it can still be an error
        for each in shape.first_events(call, answering.prompt_factors(scores)):
            yield event(each)
        while step is not None:
            number, token = step
            first = number * call.body.n
            for writer in writers[first : first + call.body.n] if call.body.greedy else [writers[first + token.sample]]:
                generated += 1
                yield event(writer.event(token) | usage_so_far(answering, generated))
            step = await anext(steps, None)
    if (options := call.body.stream_options) is not None and options.include_usage:
        yield event(call.base(shape.chunk) | {"choices": [], "usage": call.usage(generated)})
    yield DONE


def usage_so_far(answering: Answering, generated: int) -> dict[str, dict[str, int]]:
    """The numbers of tokens up to now, if every event is to have them."""
    options = answering.call.body.stream_options
    return {"usage": answering.call.usage(generated)} if options is not None and options.continuous_usage_stats else {}


async def _steps(answering: Answering) -> AsyncGenerator[tuple[int, Step], None]:
    """Tokens as they are generated, with the number of the prompt that each follows. Raises ApiError.

    Of several prompts, each has its next token in turn, so that the order does not depend on other requests.
    """
    service, loop = answering.service, asyncio.get_running_loop()
    prompts = answering.call.prompts if answering.call.length else []
    queues: list[asyncio.Queue[_Item]] = [asyncio.Queue() for _ in prompts]

    def put(number: int, item: _Item) -> None:
        loop.call_soon_threadsafe(queues[number].put_nowait, item)

    tasks = [answering.generation(prompt.ids, partial(put, number)) for number, prompt in enumerate(prompts)]
    try:
        for number, task in enumerate(tasks):
            task.result.add_done_callback(lambda done, number=number: put(number, done.exception()))
        service.submit(tasks)
        active = list(range(len(tasks)))
        while active:
            for number in list(active):
                item = await asyncio.wait_for(queues[number].get(), max(0.0, tasks[0].deadline - time.monotonic()))
                if isinstance(item, BaseException):
                    raise service.visible(item)
                if item is None:
                    active.remove(number)
                else:
                    yield number, item
    except TimeoutError as error:
        raise service.visible(error) from None
    finally:
        for task in tasks:
            task.cancelled = True


class _Writer:
    """Writes the events of one text."""

    def __init__(self, answering: Answering, index: int) -> None:
        call = self._call = answering.call
        self._shape, self._index = answering.shape, index
        prompt = call.prompts[index // call.body.n]
        self._text = TextStream(call.served, call.body.stop, skip_special=call.body.skip_special_tokens)
        self._offsets = Offsets(call.served, len(call.served.text_of_prompt(prompt)), call.hidden)

    def event(self, step: Step) -> dict[str, Any]:
        """The event for a token."""
        others = step.alternatives
        factors = Factors(
            [step.id], [step.logprob], [None], [[other.id for other in others]], [[other.logprob for other in others]]
        )
        text = self._text.feed(step.id, last=step.finish is not None)
        part = Continuation(text, factors, finish_of(step.finish), self._text.stop)
        return self._shape.event(self._call, self._index, part, self._offsets.before([step.id]))
