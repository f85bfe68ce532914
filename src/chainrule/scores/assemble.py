"""From requests, through the engine, to Scores."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from chainrule.engine.engine import ROWS, Answer, Engine, Progress
from chainrule.engine.job import Body, Job, plan
from chainrule.errors import InputError
from chainrule.scores.scores import Scores
from chainrule.text.policy import Start
from chainrule.text.requests import Request
from chainrule.text.tokenizer import Tokenizes


@dataclass(frozen=True)
class Settings:
    """How to compute and what to keep; see `LanguageModel.score_batch`."""

    top: int = 0
    window: int | bool | None = None
    stride: int | None = None
    rows: int = ROWS
    progress: Progress | None = None

    def check(self, vocab_size: int) -> None:
        """Raises InputError for a number out of range."""
        for name, value, low, high in (("top", self.top, 0, vocab_size), ("rows", self.rows, 1, 1 << 20)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
                raise InputError(f"{name} must be a whole number from {low} to {high}, not {value!r}")


def score_requests(
    engine: Engine, tokenizer: Tokenizes | None, made: list[Request], start: Start, end: int | None, settings: Settings
) -> Scores:
    """Score the requests, in their order. Raises InputError for what has no factor, ModelError where there is NaN."""
    settings.check(engine.model.head.size)
    starts = [start if r.start_id is None else Start("cls", r.start_id, _name(tokenizer, r.start_id)) for r in made]
    if end is not None:
        for request in made:
            _add_end(request, end, engine)
    bodies = [_body(request, own) for request, own in zip(made, starts, strict=True)]
    job = plan(bodies, engine.model.max_rows, settings.window, settings.stride)
    answer = engine.answer(job.question, rows=settings.rows, top=settings.top, progress=settings.progress)
    return Scores(
        requests=made,
        starts=starts,
        end=end,
        offsets=_offsets(made, starts),
        tokenizer=tokenizer,
        model=engine.model.name,
        windows=job.windows_S,
        rows=answer.rows,
        distinct_contexts=answer.contexts,
        **_columns(job, answer),
    )


def _columns(job: Job, answer: Answer) -> dict[str, Any]:
    return {
        "ids": job.question.token_N[job.node_T],
        "logprobs": answer.logprob_N[job.node_T],
        "contexts": job.context_T,
        "ranks": answer.rank_N[job.node_T],
        "entropies": answer.entropy_N[job.node_T],
        "top_ids": answer.top_id_Nk[job.node_T],
        "top_logprobs": answer.top_logprob_Nk[job.node_T],
    }


def _offsets(made: list[Request], starts: list[Start]) -> np.ndarray:
    """A first token that is given has no factor."""
    given = (s.id is None and not len(r.context_ids) for r, s in zip(made, starts, strict=True))
    lengths = [len(r.ids) - g for r, g in zip(made, given, strict=True)]
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def _add_end(request: Request, end: int, engine: Engine) -> None:
    """The end symbol is predicted and never fed, so whatever stands for its embedding is not looked at."""
    request.ids = np.append(request.ids, end)
    if request.embeddings is not None:
        nothing = request.embeddings.new_zeros(1, engine.model.width)
        request.embeddings = torch.cat([request.embeddings, nothing])


def _body(request: Request, start: Start) -> Body:
    ids = np.concatenate([request.context_ids, request.ids])
    if start.id is not None and ids[0] == start.id:
        warnings.warn(
            f"the tokens begin with the start symbol {start.token} (id {start.id}) themselves, so it stands there twice; "
            "leave it out, or take the first token as given with start='given'",
            stacklevel=_outside(),
        )
    return Body(ids, len(request.context_ids), start.id, request.embeddings)


def _outside() -> int:
    """The stacklevel of the first caller that is no part of this package, as seen from the function that asks."""
    level, frame = 1, sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "chainrule":
        level, frame = level + 1, frame.f_back
    return level


def _name(tokenizer: Tokenizes | None, id: int) -> str:
    return tokenizer.token(id) if tokenizer else f"<{id}>"
