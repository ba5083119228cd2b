from __future__ import annotations

from typing import Any

import pytest

from composite_llm.model.errors import InvalidOption
from composite_llm.observe.otel_settings import OtelSettings, otel_settings


@pytest.mark.parametrize("given", [None, False])
def test_nothing_is_told_unasked(given: Any) -> None:
    assert otel_settings(given) is None


def test_true_means_the_defaults_and_a_mapping_what_it_says() -> None:
    assert otel_settings(True) == OtelSettings()
    assert otel_settings({}) == OtelSettings()
    assert otel_settings({"metrics": False, "capture_content": True}) == OtelSettings(
        metrics=False, capture_content=True
    )
    assert otel_settings(settings := OtelSettings(spans=False)) is settings


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("yes", "otel: got 'yes'; allowed: true, false or a mapping"),
        (
            {"span": True},
            "otel.span: unknown key; allowed: spans, metrics, capture_content, tracer_provider, meter_provider",
        ),
        ({"spans": "yes"}, "otel.spans: got 'yes'; allowed: true or false"),
        ({"capture_content": 1}, "otel.capture_content: got 1; allowed: true or false"),
        ({"tracer_provider": "console"}, "otel.tracer_provider: is a str; allowed: a TracerProvider"),
        ({"meter_provider": object()}, "otel.meter_provider: is a object; allowed: a MeterProvider"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_key(given: Any, said: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        otel_settings(given)
    assert caught.value.message == said
