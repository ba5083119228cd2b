"""OpenTelemetry in memory: what runs have told it, as trees and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from composite_llm.observe.otel_settings import OtelSettings


class Telescope:
    """A tracer's and a meter's provider, and what they were told.

    Args:
        sampler: Which traces are kept.
    """

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider(sampler=sampler)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meter_provider = MeterProvider([self._reader])
        self.tracer = self.tracer_provider.get_tracer("the caller")

    def settings(self, **more: Any) -> OtelSettings:
        """Settings that lead here."""
        return OtelSettings(tracer_provider=self.tracer_provider, meter_provider=self.meter_provider, **more)

    @property
    def spans(self) -> list[ReadableSpan]:
        """Those that have ended, in the order of their beginning."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, name: str) -> ReadableSpan:
        """The one span of that name."""
        (span,) = [span for span in self.spans if span.name == name]
        return span

    def starting(self, prefix: str) -> list[ReadableSpan]:
        """The spans whose name starts so."""
        return [span for span in self.spans if span.name.startswith(prefix)]

    def tree(self) -> list[str]:
        """Names, each indented below its parent, oldest first; a span whose parent is not here stands outermost."""
        here = {span.context.span_id for span in self.spans if span.context}
        return list(self._lines(here, None, ""))

    def _lines(self, here: set[int], parent: int | None, indent: str) -> Iterator[str]:
        for span in self.spans:
            above = span.parent.span_id if span.parent is not None and span.parent.span_id in here else None
            if above == parent:
                yield indent + span.name
                assert span.context is not None
                yield from self._lines(here, span.context.span_id, indent + "  ")

    def points(self, metric: str) -> list[tuple[dict[str, Any], Any]]:
        """Attributes and data of each series of a metric."""
        return [
            (dict(point.attributes), point)
            for found in self._metrics()
            if found.name == metric
            for point in found.data.data_points
        ]

    def units(self) -> Mapping[str, str]:
        """The unit of each metric that was told something."""
        return {metric.name: metric.unit for metric in self._metrics()}

    def _metrics(self) -> list[Any]:
        data = self._reader.get_metrics_data()
        if data is None:
            return []
        return [
            metric for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics
        ]


def told(span: ReadableSpan) -> dict[str, Any]:
    """A span's attributes, sequences as lists."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in (span.attributes or {}).items()}
