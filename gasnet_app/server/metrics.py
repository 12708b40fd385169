"""What is counted, for Prometheus. Names end in their unit; every series belongs to this process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

__all__ = [
    "ACTS", "ANSWER_SECONDS", "BROWSERS", "FILES", "PREDICTIONS", "QUEUE", "REGISTRY", "REQUESTS", "REQUEST_SECONDS",
    "SESSIONS", "SESSIONS_OPENED", "WAIT_SECONDS",
]  # fmt: skip

# One of our own: the library's shared one would hold what other packages count, and cannot be filled twice.
REGISTRY = CollectorRegistry()
PlatformCollector(REGISTRY)
ProcessCollector(registry=REGISTRY)  # memory, processor time, open files, start

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)

REQUESTS = Counter("gasnet_http_requests", "Requests, by what was asked for.", ["route", "status"], registry=REGISTRY)
REQUEST_SECONDS = Histogram(
    "gasnet_http_request_seconds", "From request to answer.", ["route"], buckets=_SECONDS, registry=REGISTRY
)
SESSIONS = Gauge("gasnet_sessions", "Sessions in memory.", registry=REGISTRY)
SESSIONS_OPENED = Counter("gasnet_sessions_opened", "Sessions since the start.", registry=REGISTRY)
BROWSERS = Gauge("gasnet_browsers", "Open connections to browsers.", registry=REGISTRY)
QUEUE = Gauge("gasnet_queue_length", "Questions to the engine, waiting or being answered.", registry=REGISTRY)
WAIT_SECONDS = Histogram(
    "gasnet_wait_seconds", "From question to its turn at the engine.", buckets=_SECONDS, registry=REGISTRY
)
ANSWER_SECONDS = Histogram(
    "gasnet_answer_seconds", "From question to answer.", ["question"], buckets=_SECONDS, registry=REGISTRY
)
PREDICTIONS = Counter("gasnet_predictions", "Spectra answered.", ["survey"], registry=REGISTRY)
FILES = Counter("gasnet_files", "Files that came in.", ["outcome"], registry=REGISTRY)
ACTS = Counter("gasnet_inspection_acts", "Acts of inspectors: saved, or refused.", ["outcome"], registry=REGISTRY)
