"""The application's own tracer provider, in the proxy's process: writes each span as a line of `spans.jsonl`."""

from __future__ import annotations

from pathlib import Path

from litellm.integrations.custom_logger import CustomLogger
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

_file = Path("spans.jsonl").open("a", encoding="utf-8", buffering=1)  # noqa: SIM115  # as long as the proxy
_provider = TracerProvider()
_provider.add_span_processor(
    SimpleSpanProcessor(ConsoleSpanExporter(out=_file, formatter=lambda span: span.to_json(indent=None) + "\n"))
)
trace.set_tracer_provider(_provider)

# What LiteLLM's configuration names, so that this module is imported.
recorder = CustomLogger()
