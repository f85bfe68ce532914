"""What all endpoints share: the models, the worker that owns them, the limits, and the wait for results."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from starlette.requests import Request

from chainrule.engine.question import Progress
from chainrule.errors import InputError, short
from chainrule.serving.errors import ApiError, as_api_error
from chainrule.serving.limits import Limits
from chainrule.serving.metrics import Metrics
from chainrule.serving.served import ServedModel
from chainrule.serving.tasks import Call, Generation, GivenUp, Scoring
from chainrule.serving.worker import TooMany, Worker

T = TypeVar("T")
P = ParamSpec("P")

_RETRY = 1  # seconds after which a client that was refused may try again
_PREPARING = 2  # threads that encode texts and build replies, while the model computes
CLIENT_CLOSED = 499  # the status of a request whose client is gone; nobody reads it


class Service:
    """The models that are served, and the work for them."""

    def __init__(self, models: Sequence[ServedModel], limits: Limits) -> None:
        if len({served.name for served in models}) < len(models):
            raise InputError(f"two models have the same name, of {[served.name for served in models]}: use --model NAME=PATH")
        for served in models:
            if not served.lm.predictor.accepts.left_to_right:
                raise InputError(f"{served.name} does not predict from left to right, so it cannot be served")
        self.models = {served.name: served for served in models}
        self.limits, self.metrics = limits, Metrics()
        self.worker = Worker(limits.waiting, self.metrics)
        self.metrics.watch(self.worker, [served.lm for served in models])
        self._threads = ThreadPoolExecutor(_PREPARING, "chainrule-replies")

    def start(self) -> None:
        """Begin to work, with prefixes that are kept."""
        self._memory = [served.lm.prefix_cache.memory for served in self.models.values()]
        for served in self.models.values():
            served.lm.cache_prefixes(self.limits.prefix_memory)
        self.worker.start()

    def close(self) -> None:
        """Finish the work in hand, end the threads, and leave the models as they were."""
        self.worker.close()
        self._threads.shutdown()
        for served, memory in zip(self.models.values(), self._memory, strict=True):
            served.lm.cache_prefixes(memory)

    def model(self, name: str | None) -> ServedModel:
        """The model of this name; without a name, or for "default", the first. Raises ApiError."""
        if name in (None, "", "default") and name not in self.models:
            return next(iter(self.models.values()))
        if name not in self.models:
            served = ", ".join(self.models)
            message = f"the model {short(name)} is not served here: choose of {served}, or leave model out"
            raise ApiError(404, message, param="model", code="model_not_found")
        return self.models[name]

    def check_tokens(self, tokens: int, param: str) -> None:
        """Raises ApiError if a request has more than it may."""
        if tokens > self.limits.tokens:
            message = f"the request has {tokens} tokens, with those to generate, and may have {self.limits.tokens}: split it"
            raise ApiError(413, message, param=param, code="too_many_tokens")

    def check_logprobs(self, logprobs: int, param: str) -> None:
        """Raises ApiError if a reply would have more log probabilities than it may."""
        if logprobs > self.limits.logprobs:
            message = f"the reply would have {logprobs} log probabilities, and may have {self.limits.logprobs}: ask for fewer"
            raise ApiError(413, message, param=param, code="too_many_logprobs")

    def check_length(self, served: ServedModel, tokens: int, more: int, param: str) -> None:
        """Raises ApiError for a prompt that does not fit, with the tokens after it. The last token is no context."""
        if served.max_length is not None and tokens + max(0, more - 1) > served.max_length:
            after = f", and {more} after it" if more else ""
            most = f"this model's maximum context length is {served.max_length} tokens"
            remedy, param = ("lower max_tokens", "max_tokens") if tokens <= served.max_length else ("shorten it", param)
            message = f"{most}, but the prompt has {tokens}{after}: {remedy}"
            raise ApiError(400, message, param=param, code="context_length_exceeded")

    @property
    def deadline(self) -> float:
        """When a request that comes now has taken too long, on the clock of time.monotonic."""
        return time.monotonic() + self.limits.seconds

    async def in_thread(self, function: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """The result of a function that takes a while without the model."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: function(*args, **options))

    def submit(self, tasks: Sequence[Scoring | Generation | Call]) -> None:
        """Put the tasks of a request at the end of the queue. Raises ApiError."""
        try:
            self.worker.submit(*tasks)
        except TooMany as error:
            raise ApiError(429, f"{error}: try again later", code="queue_full", retry_after=_RETRY) from None

    async def results(self, tasks: Sequence[Scoring | Generation | Call], request: Request) -> list[Any]:
        """The results of tasks, which are given up if one fails, the client goes, or the time is over. Raises ApiError."""
        return await self.while_connected(request, self._all(tasks))

    async def call(self, served: ServedModel, function: Callable[[Progress], T], tokens: int, request: Request) -> T:
        """The result of a function that uses a model, which is called in the model's thread. Raises ApiError.

        tokens: of its texts. The function gets another one, which it calls often, and which may raise an error to stop it.
        """
        task = Call(lm=served.lm, tokens=tokens, deadline=self.deadline, function=function)
        [result] = await self.results([task], request)
        return result

    async def while_connected(self, request: Request, work: Coroutine[Any, Any, T]) -> T:
        """The result of work that is given up if the client closes the connection. Raises ApiError then."""
        doing, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait((doing, gone), return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                return doing.result()
            raise ApiError(CLIENT_CLOSED, "the client closed the connection", code="client_closed")
        finally:
            gone.cancel()
            doing.cancel()

    async def _all(self, tasks: Sequence[Scoring | Generation | Call]) -> list[Any]:
        try:
            self.submit(tasks)
            results: list[Future[Any]] = [task.result for task in tasks]
            async with asyncio.timeout(min(task.deadline for task in tasks) - time.monotonic()):
                return await asyncio.gather(*map(asyncio.wrap_future, results))
        except Exception as error:
            raise self.visible(error) from None
        finally:
            for task in tasks:
                task.cancelled = True  # if it is not done yet, nobody needs it any more

    def visible(self, error: BaseException) -> ApiError:
        """An error as the client sees it: with names of models in place of their paths."""
        if isinstance(error, GivenUp | TimeoutError):
            seconds = math.ceil(self.limits.seconds)
            message = f"the request took longer than {seconds} s: split it, or start the server with a longer --timeout"
            return ApiError(504, message, code="timeout")
        return as_api_error(error, self.paths)

    @property
    def paths(self) -> dict[str, str]:
        """Paths of models on this machine, and the names to show in their place."""
        names = {str(served.lm.model.name): served.name for served in self.models.values()}
        return {path: name for path, name in names.items() if "/" in path or "\\" in path}


async def _gone(request: Request) -> None:
    """Wait until the client closes the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
