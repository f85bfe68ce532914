"""A worker is one system in one process. It reads requests as JSON lines from stdin and writes answers to stdout.

    ← {"packages": {"torch": "2.13.0", ...}}                            once, when the model is loaded
    → {"method": "flat", "texts": [...]}                                ← {"seconds": 1.5, "logprobs": [...]}
    → {"method": "candidates", "context": "...", "candidates": [...]}   ← {"seconds": 1.5, "logprobs": [...]}

A system is a class. ``__init__(model, dtype)`` loads the folder ``model`` in that dtype. A method for each kind of request
maps strings to a list of log-probabilities in nats, in the order of the input. The method call is timed, so the time includes
tokenisation. Everything that a system prints goes to stderr.

    flat(texts)                     log Pr of each text
    rolling(texts)                  the same, by the program's own function for whole documents
    candidates(context, candidates) log Pr of each candidate after the context
    questions(questions)            pairs of a question and its answers: log Pr of each answer after its question
    book(text, window, stride)      log Pr of the text; every window follows the start symbol
"""

import argparse
import json
import os
import sys
import time
from importlib.metadata import distributions


def serve(system: type) -> None:
    """Load ``system`` with the options of the command line and answer requests until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    set_threads(arguments.threads)
    loaded = system(arguments.model, arguments.dtype)
    say(answers, packages=packages())
    for line in sys.stdin:
        say(answers, **timed(loaded, **json.loads(line)))


def timed(loaded, method: str, **request) -> dict:
    call = getattr(loaded, method)
    start = time.perf_counter()
    logprobs = call(**request)
    return {"seconds": time.perf_counter() - start, "logprobs": [float(logprob) for logprob in logprobs]}


def set_threads(count: int) -> None:
    """Set the threads of PyTorch. A system without PyTorch reads OMP_NUM_THREADS."""
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(count)


def packages() -> dict[str, str]:
    """Every package of this environment with its version."""
    return dict(sorted({package.metadata["Name"]: package.version for package in distributions()}.items()))


def say(answers, **answer) -> None:
    print(json.dumps(answer), file=answers, flush=True)
