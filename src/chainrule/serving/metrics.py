"""What the server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from chainrule.language import LanguageModel
from chainrule.results.batch import Scores
from chainrule.serving.worker import Observer, Worker

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_REQUESTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics(Observer):
    """The counters of one server."""

    def __init__(self) -> None:
        self._registry = own = CollectorRegistry()
        self.requests = Counter("chainrule_requests", "Requests, by path and status.", ["path", "status"], registry=own)
        self.seconds = Histogram(
            "chainrule_request_seconds",
            "Time from a request to the end of its reply.",
            ["path"],
            buckets=_SECONDS,
            registry=own,
        )
        self._batch = Histogram(
            "chainrule_batch_requests", "Requests that were scored as one forest.", buckets=_REQUESTS, registry=own
        )
        self._factors = Counter("chainrule_factors", "Factors of the texts that were scored.", registry=own)
        self._contexts = Counter("chainrule_contexts", "Distinct contexts of their forests.", registry=own)
        self._rows = Counter("chainrule_rows", "Contexts that the network computed for them, padding included.", registry=own)
        self._tokens = Counter("chainrule_generated_tokens", "Tokens that were generated.", registry=own)
        self._kept = Gauge("chainrule_prefix_bytes", "Memory of the prefixes that are kept.", registry=own)
        self._reused = Gauge("chainrule_reused_contexts", "Contexts taken from the prefixes that are kept.", registry=own)
        self._waiting = Gauge("chainrule_waiting_requests", "Requests that wait for the model.", registry=own)
        self._generating = Gauge("chainrule_generating_requests", "Requests whose texts are being generated.", registry=own)

    def watch(self, worker: Worker, models: Sequence[LanguageModel]) -> None:
        """Show how many tasks a worker has, and the prefixes that its models keep."""
        self._waiting.set_function(lambda: worker.waiting)
        self._generating.set_function(lambda: worker.generating)
        self._kept.set_function(lambda: sum(lm.prefix_cache.bytes for lm in models))
        self._reused.set_function(lambda: sum(lm.prefix_cache.contexts_taken for lm in models))

    def scored(self, requests: int, scores: Scores) -> None:
        """A forest was computed."""
        self._batch.observe(requests)
        self._factors.inc(len(scores.ids))
        self._contexts.inc(scores.distinct_contexts)
        self._rows.inc(scores.rows)

    def generated(self, tokens: int) -> None:
        """Tokens were generated."""
        self._tokens.inc(tokens)

    def text(self) -> bytes:
        """All of them, in the text format of Prometheus."""
        return generate_latest(self._registry)
