"""A composite's spans on a proxy that has LiteLLM's own OpenTelemetry callback."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fake_server import ThreadedServer
from tests.support.proxies import Proxy, deployment, eventually, example_config, started, with_tests_operator


@pytest.fixture(scope="module")
def traced(_upstream: ThreadedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    composite = deployment("plain-moa", "composite/moa/large", proposers=["small", "medium"])
    config = with_tests_operator(example_config(), [composite])
    config["litellm_settings"]["callbacks"] = ["spans.recorder", "otel"]
    directory = tmp_path_factory.mktemp("traced")
    (directory / "composite.yaml").write_text("otel: true\n", encoding="utf-8")
    with started(config, directory, _upstream) as running:
        yield running


RUN = "invoke_workflow composite/moa/large"


def served(traced: Proxy) -> dict[str, dict[str, Any]]:
    """The spans of the one request, once those above the run have ended; nothing until then."""
    spans = {span["context"]["span_id"]: span for span in traced.written("spans")}
    run = next((span for span in spans.values() if span["name"] == RUN), None)
    above = run
    while above is not None and above["parent_id"] is not None:
        above = spans.get(above["parent_id"])
    return {} if above is None else {key: s for key, s in spans.items() if trace_of(s) == trace_of(above)}


def trace_of(span: dict[str, Any]) -> Any:
    return span["context"]["trace_id"]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_run_is_part_of_the_proxys_span_of_its_request(traced: Proxy, streamed: bool) -> None:
    (traced.directory / "spans.jsonl").write_text("", encoding="utf-8")
    question = {"model": "plain-moa", "messages": [{"role": "user", "content": "Hi"}], "stream": streamed}
    assert traced.post(question).status_code == 200
    spans = eventually(lambda: served(traced))
    (run,) = [span for span in spans.values() if span["name"] == RUN]
    above = [run]
    while above[-1]["parent_id"] is not None:
        above.append(spans[above[-1]["parent_id"]])
    assert above[-1]["kind"] == "SpanKind.SERVER"
    calls = [span["name"] for span in spans.values() if span["name"].startswith("invoke_agent")]
    assert calls == ["invoke_agent small", "invoke_agent medium", "invoke_agent large"]
    assert run["attributes"]["composite.streamed"] is streamed
