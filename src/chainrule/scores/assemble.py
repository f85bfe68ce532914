"""From requests, through the engine, to Scores."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from chainrule.engine.engine import ROWS, Answer, Engine, Progress
from chainrule.engine.job import Body, Job, plan
from chainrule.errors import InputError
from chainrule.forest.forest import offsets
from chainrule.scores.scores import Scores
from chainrule.text.policy import Start
from chainrule.text.quiet import outside
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
        _add_ends(made, end, engine)
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
        invariant=engine.invariance,
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
    return offsets([len(r.ids) - (s.id is None and not len(r.context_ids)) for r, s in zip(made, starts, strict=True)])


def _add_ends(made: list[Request], end: int, engine: Engine) -> None:
    """The end symbol is predicted and never fed, so whatever stands for its embedding is not looked at."""
    symbol = np.array([end], np.int64)
    for request in made:
        request.ids = np.concatenate((request.ids, symbol))
        if request.embeddings is not None:
            nothing = request.embeddings.new_zeros(1, engine.model.width)
            request.embeddings = torch.cat([request.embeddings, nothing])


def _body(request: Request, start: Start) -> Body:
    ids = np.concatenate((request.context_ids, request.ids)) if len(request.context_ids) else request.ids
    if start.id is not None and ids[0] == start.id:
        warnings.warn(
            f"the tokens begin with the start symbol {start.token} (id {start.id}) themselves, so it stands there twice; "
            "leave it out, or take the first token as given with start='given'",
            stacklevel=outside(),
        )
    return Body(ids, len(request.context_ids), start.id, request.embeddings)


def _name(tokenizer: Tokenizes | None, id: int) -> str:
    return tokenizer.token(id) if tokenizer else f"<{id}>"
