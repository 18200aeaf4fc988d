"""A `LiveSegmenter`'s health for Prometheus: asked for at each scrape, so that it costs the frames nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import OptionError
from tdnet_runtime.extras import require
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.live.health import Latencies, LiveHealth, SourceHealth
from tdnet_runtime.live.segmenter import LiveSegmenter

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

__all__ = ["HealthCollector", "MetricsServer"]


class HealthCollector:
    """A collector for a registry of one's own: `registry.register(HealthCollector(live))`.

    Raises:
        MissingExtraError: prometheus-client is not installed.
    """

    def __init__(self, live: LiveSegmenter) -> None:
        self._live = live
        self._core: Any = require("prometheus_client.core", extra="metrics")

    def collect(self) -> Iterator[Metric]:
        """All metrics, as they are now."""
        health = self._live.health()
        yield from self._of_sources(health)
        yield from self._of_devices(health)
        yield from self._of_sinks(health)
        status = self._gauge("tdnet_status", "1 for the status that it has", "status")
        for name in ("ok", "degraded", "failing"):
            status.add_metric([name], float(health.status == name))
        yield status
        if health.resident_mib is not None:
            memory = self._gauge("tdnet_resident_bytes", "Memory of the process")
            memory.add_metric([], health.resident_mib * 2**20)
            yield memory

    def _of_sources(self, health: LiveHealth) -> Iterator[Metric]:
        counters = {
            "received": "Frames that came",
            "results": "Results given",
            "late": "Results over the deadline",
            "restarts": "Times that the source was opened again",
            "stamp_faults": "Stamps that were not believed",
        }
        for field, text in counters.items():
            counter = self._counter(f"tdnet_{field}", text, "source")
            for name, source in health.sources.items():
                counter.add_metric([name], getattr(source, field))
            yield counter
        for field, text in (
            ("dropped", "Frames without a result"),
            ("cold_starts", "Times that the memory was emptied"),
        ):
            counter = self._counter(f"tdnet_{field}", text, "source", "why")
            for name, source in health.sources.items():
                for why, count in getattr(source, field).items():
                    counter.add_metric([name, why], count)
            yield counter
        gauges = {"fps": "Inferences a second of late", "queue_depth": "Frames that wait"}
        for field, text in gauges.items():
            gauge = self._gauge(f"tdnet_{field}", text, "source")
            for name, source in health.sources.items():
                gauge.add_metric([name], getattr(source, field))
            yield gauge
        yield self._states(health.sources)
        for field, text in (
            ("latency", "From a frame's arrival to its labels"),
            ("inference", "Of one frame"),
        ):
            histogram = self._core.HistogramMetricFamily(f"tdnet_{field}_seconds", text, labels=["source"])
            for name, source in health.sources.items():
                times: Latencies = getattr(source, field)
                histogram.add_metric([name], buckets=_buckets(times), sum_value=times.sum_ms / 1e3)
            yield histogram

    def _states(self, sources: dict[str, SourceHealth]) -> Any:
        states = self._gauge(
            "tdnet_source_state", "1 for the state and mode that it is in", "source", "state", "mode"
        )
        for name, source in sources.items():
            states.add_metric([name, source.state, source.mode], 1)
        return states

    def _of_devices(self, health: LiveHealth) -> Iterator[Metric]:
        failures = self._counter("tdnet_backend_failures", "Frames that the engine failed at", "device")
        hangs = self._gauge("tdnet_backend_hangs", "1 while one inference takes too long", "device")
        for name, device in health.devices.items():
            failures.add_metric([name], device.failures)
            hangs.add_metric([name], float(device.state == "hangs"))
        yield failures
        yield hangs

    def _of_sinks(self, health: LiveHealth) -> Iterator[Metric]:
        written = self._counter("tdnet_sink_written", "Results that the sink wrote", "sink")
        failures = self._counter("tdnet_sink_failures", "Results that the sink raised at", "sink")
        dropped = self._counter("tdnet_sink_dropped", "Results that it never got", "sink", "source")
        for name, sink in health.sinks.items():
            written.add_metric([name], sink.written)
            failures.add_metric([name], sink.failures)
            for source, count in sink.dropped.items():
                dropped.add_metric([name, source], count)
        yield written
        yield failures
        yield dropped

    def _counter(self, name: str, text: str, *labels: str) -> Any:
        return self._core.CounterMetricFamily(name, text, labels=labels)

    def _gauge(self, name: str, text: str, *labels: str) -> Any:
        return self._core.GaugeMetricFamily(name, text, labels=labels)


class MetricsServer(Closeable, ForkBound):
    """Serves `/metrics` over HTTP until it is closed; only to this machine unless another address is given.

    Args:
        live: whose health.
        port: 0 for any that is free.
        host: address to listen at. There is no password: `0.0.0.0` shows the metrics to all who reach the machine.

    Attributes:
        port: that it listens at.

    Raises:
        MissingExtraError: prometheus-client is not installed.
        OptionError: nothing can listen there.
    """

    def __init__(self, live: LiveSegmenter, port: int, *, host: str = "127.0.0.1") -> None:
        prometheus: Any = require("prometheus_client", extra="metrics")
        registry = prometheus.CollectorRegistry(auto_describe=False)
        registry.register(HealthCollector(live))
        try:
            self._server, self._thread = prometheus.start_http_server(port, addr=host, registry=registry)
        except (OSError, OverflowError, UnicodeError) as error:
            raise OptionError(
                f"metrics cannot be served at {host}:{port}: {error}; choose another port or host"
            ) from error
        self.port = int(self._server.server_port)
        assert isinstance(self._thread, threading.Thread)

    def close(self) -> None:
        """Stop to listen. Safe to call twice; nothing in a forked child, where the server's thread is not."""
        if self.stranded:
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _buckets(times: Latencies) -> list[tuple[str, int]]:
    """Cumulative, by upper bounds in seconds."""
    total, buckets = 0, []
    for bound_ms, count in zip((*times.bounds_ms, float("inf")), times.counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound_ms == float("inf") else repr(bound_ms / 1e3), total))
    return buckets
