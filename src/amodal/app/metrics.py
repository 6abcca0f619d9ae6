"""Figures of the service for Prometheus (`prometheus-client` of `amodal[serve]`, imported here alone)."""

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """What is counted. Methods may be called by any thread."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        labels = ("method", "endpoint")
        self._requests = Counter(
            "amodal_requests", "Requests that were answered.", (*labels, "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "amodal_request_seconds",
            "Seconds until a request was answered.",
            labels,
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._active = Gauge("amodal_requests_active", "Requests that are being worked on.", registry=self._registry)
        self._batches = Histogram(
            "amodal_batch_items",
            "Items that were computed together.",
            ("kind",),
            buckets=_SIZES,
            registry=self._registry,
        )

    def began(self) -> None:
        """A request came."""
        self._active.inc()

    def ended(self, method: str, endpoint: str, status: int, seconds: float) -> None:
        """A request was answered. endpoint: the pattern of its path."""
        self._active.dec()
        self._requests.labels(method, endpoint, str(status)).inc()
        self._seconds.labels(method, endpoint).observe(seconds)

    def batch(self, kind: str, size: int) -> None:
        """Items of a kind were computed together."""
        self._batches.labels(kind).observe(size)

    def watch(self, name: str, said: str, value: Callable[[], float]) -> None:
        """A gauge that is asked for its value whenever somebody reads it."""
        Gauge(name, said, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)
