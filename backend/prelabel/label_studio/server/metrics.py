"""Metrics for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 3, 10, 30, 100)


class Metrics:
    """Each service has a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        own = self._registry
        self.requests = Histogram(
            "prelabel_request_seconds", "Seconds to answer", ("path", "status"),
            buckets=_SECONDS, registry=own,
        )  # fmt: skip
        self.jobs = Counter("prelabel_jobs", "Tasks worked on", ("kind", "outcome"), registry=own)
        self.not_ready = Counter("prelabel_not_ready", "Tasks answered [] for now", registry=own)
        self.webhooks = Counter("prelabel_webhooks", "Events received", ("outcome",), registry=own)
        self.fits = Counter("prelabel_fits", "Fits that have ended", ("outcome",), registry=own)
        self.waiting = Gauge("prelabel_queue", "Tasks that wait", ("urgency",), registry=own)
        self.restarts = Gauge("prelabel_worker_restarts", "Times the worker died", registry=own)

    def text(self, waiting: dict[str, int], restarts: int) -> bytes:
        """Everything, in the exposition format."""
        for urgency, n in waiting.items():
            self.waiting.labels(urgency=urgency).set(n)
        self.restarts.set(restarts)
        return generate_latest(self._registry)
