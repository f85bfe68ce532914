"""The model's thread: what waits becomes one forest, nobody harms a neighbour, and what nobody waits for is not done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from further_models import FURTHER
from model_zoo import untouched

import chainrule
from chainrule import LanguageModel
from chainrule.errors import InputError, ModelError
from chainrule.results.batch import Scores
from chainrule.serving import worker as module
from chainrule.serving.tasks import Call, Conditions, Generation, GivenUp, Scoring
from chainrule.serving.worker import BATCH, Observer, TooMany, Worker
from chainrule.text.requests import Request


class Counting(Observer):
    """Remembers the number of requests of each forest."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.tokens = 0

    def scored(self, requests: int, scores: Scores) -> None:
        self.batches.append(requests)

    def generated(self, tokens: int) -> None:
        self.tokens += tokens


@pytest.fixture
def observer() -> Counting:
    return Counting()


@pytest.fixture
def worker(observer: Counting) -> Iterator[Worker]:
    """A worker that has not started."""
    worker = Worker(1000, observer)
    yield worker
    if worker.works is None:
        worker.start()
    worker.close()


def scoring(lm: LanguageModel, *ids: int, **more: Any) -> Scoring:
    options: dict[str, Any] = {"tokens": len(ids), "deadline": time.monotonic() + 60} | more
    return Scoring(lm=lm, requests=[Request(np.array(ids, np.int64))], **options)


def generation(lm: LanguageModel, **more: Any) -> Generation:
    options: dict[str, Any] = {"context": [5], "start": "given", "max_tokens": 20, "end": False} | more.pop("options", {})
    return Generation(lm=lm, tokens=20, deadline=time.monotonic() + 60, options=options, **more)


def test_what_waits_is_one_forest_for_each_model_and_conditions(
    worker: Worker, observer: Counting, tiny: LanguageModel, abc: Any
):
    tasks = [scoring(tiny, 5, 6, i) for i in range(8)] + [scoring(abc, 0), scoring(tiny, 5, 6, conditions=Conditions(end=1))]
    tasks[8].conditions = Conditions("auto")
    for task in tasks:
        worker.submit(task)
    worker.start()
    for task in tasks[:8]:
        ids = task.requests[0].ids
        assert task.result.result(30).logprobs.tolist() == tiny.score(ids, start="given").logprobs.tolist()
    assert tasks[9].result.result(30)[0].logprobs.tolist() == tiny.score([5, 6], start="given", end=1).logprobs.tolist()
    tasks[8].result.result(30)
    assert sorted(observer.batches) == [1, 1, 8]


def test_each_task_gets_its_own_alternatives_and_targets(worker: Worker, tiny: LanguageModel):
    tasks = [scoring(tiny, 5, 6, 7, top=top, targets=targets) for top, targets in ((0, None), (3, [[[1, 2], []]]), (1, None))]
    for task in tasks:
        worker.submit(task)
    worker.start()
    scores = [task.result.result(30)[0] for task in tasks]
    assert [each.tolist() for each in scores[1].target_ids] == [[1, 2], []]
    assert (
        scores[1].target_logprobs[0].tolist()
        == tiny.score([5, 6, 7], start="given", targets=[[1, 2], []]).target_logprobs[0].tolist()
    )
    assert scores[2].top_ids[:, :1].tolist() == tiny.score([5, 6, 7], start="given", top=1).top_ids.tolist()


def test_the_next_forest_waits_for_the_clients_of_the_last_one(
    worker: Worker, observer: Counting, tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "RETURNING", 1e9)  # as if the first forest had taken long
    monkeypatch.setattr(module, "LONGEST", 30.0)
    first, again = [scoring(tiny, 5, i) for i in range(4)], [scoring(tiny, 6, i) for i in range(4)]
    first[3].result.add_done_callback(lambda _: worker.submit(again[0]))  # its client is quick
    for task in first:
        worker.submit(task)
    worker.start()
    for task in first:
        task.result.result(30)
    assert not again[0].result.done()
    for task in again[1:]:
        worker.submit(task)
    for task in again:
        task.result.result(30)
    assert observer.batches == [4, 4]


def test_a_batch_has_a_limit_and_order(worker: Worker, observer: Counting, tiny: LanguageModel):
    tasks = [scoring(tiny, 5, i, tokens=BATCH // 2) for i in range(5)] + [scoring(tiny, 5, 6, tokens=3 * BATCH)]
    for task in tasks:
        worker.submit(task)
    worker.start()
    for task in tasks:
        task.result.result(30)
    assert observer.batches == [2, 2, 1, 1]


def test_a_task_that_fails_harms_no_neighbour(worker: Worker, tiny: LanguageModel):
    good, bad = scoring(tiny, 5, 6), scoring(tiny, 5, targets=[[[1]]])
    for task in (good, bad):
        worker.submit(task)
    worker.start()
    assert len(good.result.result(30)) == 1
    with pytest.raises(InputError, match="targets has 1 lists of ids, and the text has 0 factors"):
        bad.result.result(30)


def test_a_model_whose_bits_depend_on_the_batch_scores_one_request_at_a_time(worker: Worker, observer: Counting):
    lm = chainrule.load(untouched(FURTHER["mamba2"][0]()))
    assert not lm.invariant
    tasks = [scoring(lm, 5, 6, i) for i in range(3)]
    for task in tasks:
        worker.submit(task)
    worker.start()
    for task in tasks:
        task.result.result(60)
    assert observer.batches == [1, 1, 1]


def test_no_more_may_wait_than_admitted(observer: Counting, tiny: LanguageModel):
    worker = Worker(2, observer)
    tasks = [scoring(tiny, 5, 6) for _ in range(2)]
    for task in tasks:
        worker.submit(task)
    with pytest.raises(TooMany, match=r"^2 requests wait for the model, and no more may$"):
        worker.submit(scoring(tiny, 5, 6))
    tasks[0].cancelled = True  # makes room
    worker.submit(last := scoring(tiny, 5, 6))
    worker.start()
    with pytest.raises(GivenUp):
        tasks[0].result.result(30)
    assert len(last.result.result(30)) == 1
    worker.close()
    with pytest.raises(ModelError, match="stopping"):
        worker.submit(scoring(tiny, 5, 6))


@pytest.mark.parametrize("make", [scoring, generation])
def test_what_nobody_waits_for_is_not_computed(
    worker: Worker, observer: Counting, tiny: LanguageModel, make: Callable[..., Any]
):
    late = make(tiny, *([5, 6] if make is scoring else []))
    late.deadline = time.monotonic() - 1
    worker.submit(late)
    worker.start()
    with pytest.raises(GivenUp):
        late.result.result(30)
    assert (observer.batches, observer.tokens) == ([], 0)


def test_scoring_stops_once_all_its_tasks_are_given_up(
    worker: Worker, observer: Counting, tiny: LanguageModel, monkeypatch: Any
):
    task, began = scoring(tiny, *range(5, 60)), threading.Event()
    check = module.scored

    def cancelled(group: Any, observer: Any) -> Any:
        task.cancelled = True  # as if the client went just now
        began.set()
        return check(group, observer)

    monkeypatch.setattr(module, "scored", cancelled)
    worker.submit(task)
    worker.start()
    with pytest.raises(GivenUp):
        task.result.result(30)
    assert began.is_set()
    assert observer.batches == []


def test_a_generation_stops_at_the_next_token(worker: Worker, observer: Counting, tiny: LanguageModel):
    task = generation(tiny, on_step=lambda step: setattr(task, "cancelled", step.step == 3))
    worker.submit(task)
    worker.start()
    with pytest.raises(GivenUp):
        task.result.result(30)
    assert observer.tokens == 4


def test_texts_are_generated_in_turn_with_scoring_between(worker: Worker, observer: Counting, tiny: LanguageModel):
    order: list[Any] = []
    tasks = [generation(tiny, on_step=lambda step, n=n: order.append((n, step.step))) for n in range(2)]
    tasks[0].on_step = lambda step: (order.append((0, step.step)), step.step == 2 and worker.submit(between))
    between = scoring(tiny, 5, 6, 7)
    between.result.add_done_callback(lambda _: order.append("scored"))
    for task in tasks:
        worker.submit(task)
    worker.start()
    texts = [task.result.result(30) for task in tasks]
    assert order[:6] == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]
    assert order[6] == "scored"
    alone = tiny.generate([5], start="given", max_tokens=20, end=False)
    assert [text[0].ids.tolist() for text in texts] == [alone.ids.tolist()] * 2
    assert texts[0][0].logprobs.tolist() == alone.logprobs.tolist()


def call(lm: LanguageModel, function: Callable[[Any], Any], **more: Any) -> Call:
    options: dict[str, Any] = {"tokens": 1, "deadline": time.monotonic() + 60} | more
    return Call(lm=lm, function=function, **options)


def test_functions_are_called_one_at_a_time_between_forests(worker: Worker, tiny: LanguageModel):
    order: list[Any] = []
    between = scoring(tiny, 5, 6, 7)
    between.result.add_done_callback(lambda _: order.append("scored"))
    tasks = [call(tiny, lambda _, n=n: (order.append((n, threading.current_thread().name)), n)[1]) for n in range(3)]
    tasks[0].function = lambda _: (order.append("first"), worker.submit(between), 0)[2]
    worker.submit(*tasks)
    worker.start()
    assert [task.result.result(30) for task in tasks] == [0, 1, 2]
    assert order == ["first", "scored", (1, "chainrule-page"), (2, "chainrule-page")]


def until(check: Callable[..., None], ready: Callable[[], object]) -> bool:
    """Work, as a function that calls `check` often, until something is ready. Returns whether it is, after 30 s at most."""
    end = time.monotonic() + 30
    while not ready() and time.monotonic() < end:
        check(1, 2)
    return bool(ready())


def test_a_function_lets_scoring_generation_and_other_functions_take_turns(worker: Worker, tiny: LanguageModel):
    other = call(tiny, lambda check: until(check, lambda: long.result.done() or begun))
    begun: list[int] = []
    between = [scoring(tiny, 5, 6, 7), generation(tiny), call(tiny, lambda _: begun.append(1))]

    def work(check: Callable[..., None]) -> bool:
        worker.submit(*between)
        return until(check, lambda: all(task.result.done() for task in (*between, other)))

    long = call(tiny, work)
    worker.submit(long, other)
    worker.start()
    assert long.result.result(60)
    assert between[0].result.result()[0].logprobs.tolist() == tiny.score([5, 6, 7], start="given").logprobs.tolist()


def test_no_two_functions_compute_at_the_same_time(worker: Worker, tiny: LanguageModel):
    at_once, most, turns = [0], [0], [0]

    def work(check: Callable[..., None]) -> None:
        for _ in range(40):
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
            time.sleep(0.005)
            at_once[0] -= 1
            turns[0] += 1
            check()

    tasks = [call(tiny, work) for _ in range(6)]
    worker.submit(*tasks)
    worker.start()
    for task in tasks:
        task.result.result(60)
    assert (most, turns) == ([1], [240])


def test_a_function_that_waits_for_its_turn_is_given_up(worker: Worker, tiny: LanguageModel):
    def work(check: Callable[..., None]) -> None:
        worker.submit(between)
        until(check, lambda: False)

    long, between = call(tiny, work), scoring(tiny, 5, 6)
    between.result.add_done_callback(lambda _: setattr(long, "cancelled", True))
    worker.submit(long)
    worker.start()
    with pytest.raises(GivenUp):
        long.result.result(20)


def test_a_call_that_fails_or_that_nobody_waits_for(worker: Worker, tiny: LanguageModel):
    called: list[int] = []
    late = call(tiny, lambda _: called.append(1), deadline=time.monotonic() - 1)
    gone = call(tiny, lambda _: called.append(2))
    gone.cancelled = True
    bad = call(tiny, lambda _: tiny.score(""))
    good = call(tiny, lambda _: tiny.score([5, 6]).logprob)
    worker.submit(late, gone, bad, good)
    worker.start()
    assert good.result.result(30) == tiny.score([5, 6]).logprob
    for task, error in ((late, GivenUp), (gone, GivenUp), (bad, InputError)):
        with pytest.raises(error):
            task.result.result(30)
    assert called == []


def test_a_call_that_is_given_up_during_the_forest_before_it(worker: Worker, tiny: LanguageModel):
    before, task = scoring(tiny, 5, 6), call(tiny, lambda _: 1)
    before.result.add_done_callback(lambda _: setattr(task, "cancelled", True))
    worker.submit(before, task)
    worker.start()
    with pytest.raises(GivenUp):
        task.result.result(30)


def test_a_call_stops_once_nobody_waits_for_it(worker: Worker, tiny: LanguageModel):
    reached: list[str] = []

    def work(check: Callable[..., None]) -> None:
        reached.append("began")
        task.cancelled = True  # as if the client went just now
        tiny.score(list(range(5, 60)), progress=check)
        reached.append("ended")

    worker.submit(task := call(tiny, work))
    worker.start()
    with pytest.raises(GivenUp):
        task.result.result(30)
    assert reached == ["began"]


def test_calls_count_among_those_that_wait(observer: Counting, tiny: LanguageModel):
    worker = Worker(1, observer)
    worker.submit(task := call(tiny, lambda _: 3))
    assert worker.waiting == 1
    with pytest.raises(TooMany):
        worker.submit(scoring(tiny, 5, 6))
    worker.start()
    worker.close()
    assert task.result.result(0) == 3


def test_closing_finishes_what_waits(worker: Worker, tiny: LanguageModel):
    tasks = [scoring(tiny, 5, 6), generation(tiny), generation(tiny)]
    for task in tasks:
        worker.submit(task)
    worker.start()
    worker.close()
    assert all(task.result.done() for task in tasks)
    assert len(tasks[1].result.result()[0].ids) == 20
