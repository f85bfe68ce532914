"""Jobs computed by several threads at once."""

import threading
import time
from contextvars import ContextVar

import pytest
import torch

from chainrule.ops import workers

VARIABLE: ContextVar[str] = ContextVar("of a caller", default="none")

pytestmark = pytest.mark.skipif(not workers.available(), reason="OpenMP's functions are not found in this build of torch")


def test_each_job_is_done_once_by_a_worker_of_its_own_state():
    made = []

    def make():
        made.append(threading.get_ident())
        return lambda job: iter([(job, VARIABLE.get(), torch.get_num_threads(), torch.is_inference_mode_enabled())] * 2)

    token = VARIABLE.set("caller")
    try:
        found = list(workers.results(range(20), make, 3, 2))
    finally:
        VARIABLE.reset(token)
    assert sorted(job for job, *_ in found) == sorted([*range(20)] * 2)
    assert {tuple(state) for _, *state in found} == {("caller", 2, True)}
    assert len(made) == 3
    assert threading.get_ident() not in made
    assert torch.get_num_threads() == 1  # in this thread, and by default in new ones
    number: list[int] = []
    thread = threading.Thread(target=lambda: number.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert number == [1]


def test_a_product_in_one_thread_uses_one():
    torch.set_num_threads(2)
    x = torch.ones(300, 300)
    assert workers.in_one_thread(lambda: (torch.mm(x, x).sum().item(), torch.get_num_threads())) == (27e6, 1)
    assert torch.get_num_threads() == 2


def test_an_error_stops_all_workers_and_is_raised():
    done: list[int] = []

    def run(job: int):
        if job == 3:
            raise ZeroDivisionError("job 3")
        for part in range(1000):
            time.sleep(0.001)
            done.append(part)
            yield part

    with pytest.raises(ZeroDivisionError, match="job 3"):
        list(workers.results([0, 3, 1, 2], lambda: run, 2))
    count = len(done)
    time.sleep(0.05)
    assert len(done) == count < 1000  # nothing runs any more


def test_workers_end_with_the_generator():
    done: list[int] = []

    def run(job: int):
        while True:
            workers.stop_if_asked()
            time.sleep(0.001)
            done.append(job)
            if len(done) == 5:
                yield job

    found = workers.results([0, 1], lambda: run, 2)
    assert next(found) in (0, 1)
    found.close()
    count = len(done)
    time.sleep(0.05)
    assert len(done) == count


def test_fewer_threads_than_asked_for_do_all_jobs(monkeypatch: pytest.MonkeyPatch):
    start, calls = workers.start_new_thread, []

    def limited(*arguments):
        calls.append(arguments)
        if len(calls) > 1:
            raise RuntimeError("can't start new thread")
        return start(*arguments)

    monkeypatch.setattr(workers, "start_new_thread", limited)
    assert sorted(workers.results(range(5), lambda: lambda job: iter([job]), 4)) == [*range(5)]
