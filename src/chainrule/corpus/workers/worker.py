"""The work of a worker: a part of documents is scored, and becomes the bytes of a Parquet file."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import torch

from chainrule.corpus.table import to_parquet, with_results
from chainrule.corpus.work import Loading, Part, Scored, Scoring, Tally
from chainrule.engine.question import Settings
from chainrule.errors import InputError, ModelError
from chainrule.models.identity import identity_of
from chainrule.results import Scores
from chainrule.text.reading import Reading

if TYPE_CHECKING:
    from chainrule.language import LanguageModel


class Worker:
    """Scores parts with one model. Its results depend on the part alone."""

    def __init__(self, lm: LanguageModel, how: Scoring) -> None:
        """Raises InputError for options that the model does not take."""
        self.lm, self.how = lm, how
        lm.score_batch([], **how.options())

    @classmethod
    def load(cls, loading: Loading, how: Scoring, threads: int | None = None) -> Worker:
        """A worker with a model of its own. Raises ModelError."""
        from chainrule.loading import load, load_shared

        arguments: dict[str, Any] = {name: value for name, value in vars(loading).items() if value is not None}
        folder = arguments.pop("shared", None)
        make = load if folder is None else partial(load_shared, folder)
        return cls(make(**arguments, threads=threads), how)

    @cached_property
    def about(self) -> dict[str, Any]:
        """The model as the manifest describes it: two workers with equal descriptions give the same numbers."""
        lm, identity = self.lm, identity_of(self.lm.model)
        limit = self.how.window if self.how.window not in (None, False, True) else lm.model.max_rows
        return {
            **identity.to_dict(),
            "revision": identity.revision or _digest(lm.model),
            "tokenizer": getattr(lm.tokenizer, "digest", None),
            "start": lm.start.policy,
            "start_id": lm.start.id,
            "end_id": self.lm.scorer.end(self.how.end),
            "window": limit,
            "strategy": lm.predictor.strategy,
            "invariant": bool(lm.invariant),
        }

    def use(self, threads: int) -> None:
        """Use this number of threads from now on."""
        from chainrule.models.threads import choose

        choose(threads)

    def gpus(self) -> int:
        """The number of GPUs of this machine; 0 if the model is on the CPU."""
        device = self.lm.model.device
        return torch.cuda.device_count() if device.type == "cuda" else 0

    def scores(self, part: Part) -> tuple[list[Scores], list[str]]:
        """The scores of the documents that can be scored, in groups, and the errors of all; "" for those with a score."""
        errors, groups = list(part.errors), list[Scores]()
        numbers = [number for number, text in enumerate(part.texts) if text is not None]
        for group, outcome in self._each(part.texts, numbers):
            if isinstance(outcome, str):
                errors[group[0]] = outcome
            else:
                groups.append(outcome)
        return groups, errors

    def score(self, part: Part) -> Scored:
        """Score a part. A document that cannot be scored becomes a row with the reason."""
        groups, errors = self.scores(part)
        failed = [error for error in errors if error]
        tally = Tally(
            documents=len(part),
            failed=len(failed),
            tokens=sum(int(scores.tokens.sum()) for scores in groups),
            bytes=sum(int(scores.bytes.sum()) for scores in groups),
            contexts=sum(scores.distinct_contexts for scores in groups),
            first_error=next(iter(failed), ""),
        )
        table = with_results(part, errors, groups, self.how)
        return Scored(part.name, to_parquet(table, self.about, part.digest, tally), tally)

    def count(self, part: Part) -> Tally:
        """The tokens and distinct contexts of a part, without scoring it."""
        tally = Tally(len(part), sum(map(bool, part.errors)), first_error=next(filter(None, part.errors), ""))
        return tally + self._counted([text for text in part.texts if text is not None])

    def time(self, texts: Sequence[str]) -> tuple[int, float]:
        """Score texts: the number of distinct contexts, and the seconds that it took."""
        began, contexts = time.perf_counter(), 0
        for _, outcome in self._each(texts, range(len(texts))):
            contexts += 0 if isinstance(outcome, str) else outcome.distinct_contexts
        return contexts, time.perf_counter() - began

    def _counted(self, texts: Sequence[str]) -> Tally:
        """The tokens and contexts of texts. Those that cannot be scored are counted as failed."""
        if not texts:
            return Tally()
        settings = Settings(window=self.how.window, stride=self.how.stride, temperature=self.how.temperature)
        try:
            tokens, contexts = self.lm.scorer.count(list(texts), settings, Reading.of(self.how.special), end=self.how.end)
        except InputError as error:
            if len(texts) == 1:
                return Tally(failed=1, first_error=error.reason)
            half = len(texts) // 2
            return self._counted(texts[:half]) + self._counted(texts[half:])
        return Tally(tokens=tokens, contexts=contexts, bytes=sum(len(text.encode()) for text in texts))

    def _each(self, texts: Sequence[str | None], numbers: Sequence[int]) -> Iterator[tuple[list[int], Scores | str]]:
        """The scores of these texts, in groups; for one that cannot be scored, the reason.

        Of a group with such a text, the halves are scored apart.
        """
        if not numbers:
            return
        try:
            yield list(numbers), self.lm.score_batch([texts[number] or "" for number in numbers], **self.how.options())
        except (InputError, ModelError) as error:
            if len(numbers) == 1:
                yield list(numbers), error.reason if isinstance(error, InputError) else str(error)
                return
            half = len(numbers) // 2
            yield from self._each(texts, numbers[:half])
            yield from self._each(texts, numbers[half:])


def _digest(model: Any) -> str | None:
    """SHA-256 of the weights of a network in memory, as "sha256:…"; None for a model that is no network."""
    network = getattr(model, "own", getattr(model, "lm", None))
    if network is None or not hasattr(network, "state_dict"):
        return None
    whole = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        whole.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return f"sha256:{whole.hexdigest()}"
