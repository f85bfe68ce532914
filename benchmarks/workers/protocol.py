"""A worker is one system in one process. Requests come as JSON lines on stdin, answers leave on stdout.

    ← {"packages": {"torch": "2.13.0", ...}}                              once, when the model is loaded
    → {"workload": "flat", "texts": [...]}                                ← {"seconds": 1.5, "logprobs": [...]}
    → {"workload": "candidates", "context": "...", "candidates": [...]}   ← {"seconds": 1.5, "logprobs": [...]}

A system is a class: ``__init__(model)`` loads the folder ``model`` in float32, and a method for each workload it takes
part in maps strings to a list of log-probabilities in nats, in the order of the input. The method is what is timed, so
the time runs from strings to numbers, tokenisation included. Anything that a system prints goes to stderr.
"""

import argparse
import json
import os
import sys
import time
from importlib.metadata import distributions


def serve(system: type) -> None:
    """Load ``system`` as the command line says and answer requests until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    set_threads(arguments.threads)
    loaded = system(arguments.model)
    say(answers, packages=packages())
    for line in sys.stdin:
        say(answers, **timed(loaded, **json.loads(line)))


def timed(loaded, workload: str, **request) -> dict:
    method = getattr(loaded, workload)
    start = time.perf_counter()
    logprobs = method(**request)
    return {"seconds": time.perf_counter() - start, "logprobs": [float(logprob) for logprob in logprobs]}


def set_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)


def packages() -> dict[str, str]:
    """Every package of this environment with its version."""
    return dict(sorted({found.metadata["Name"]: found.version for found in distributions()}.items()))


def say(answers, **answer) -> None:
    print(json.dumps(answer), file=answers, flush=True)
