"""Spans and metrics of runs that LiteLLM starts."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest
from anyio.from_thread import BlockingPortal

import composite_llm
from fake_server import ThreadedServer
from tests.support.asking import FINAL, FIRST, KEY, MESSAGES, MOA, SECOND, Ask
from tests.support.interpreter import run_program
from tests.support.spans import Telescope, told

RUN = f"invoke_workflow {MOA}"


@pytest.fixture
def telescope(provider: None) -> Iterator[Telescope]:
    made = Telescope()
    composite_llm.register(config={}, otel=made.settings())
    yield made
    composite_llm.register(config={})


def request(server: ThreadedServer, **more: Any) -> dict[str, Any]:
    asked = {"model": MOA, "messages": MESSAGES, "api_base": server.base_url, "api_key": KEY, "proposers": [FIRST]}
    return {**asked, **more}


def test_a_run_is_told_in_the_conventions_language(ask_both: Ask, telescope: Telescope, server: ThreadedServer) -> None:
    response = ask_both(proposers=[FIRST, SECOND])
    assert [line.strip() for line in telescope.tree() if "chat" in line] == [
        "chat gpt-4o-mini",
        "chat gpt-4.1-mini",
        "chat gpt-4o",
    ]
    attributes = told(telescope.named("chat gpt-4o"))
    assert attributes["gen_ai.provider.name"] == "openai"
    assert attributes["gen_ai.response.model"].startswith("gpt-4o")
    assert attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert f"{attributes['server.address']}:{attributes['server.port']}" in server.base_url
    spans = [told(span) for span in telescope.spans]
    assert sum(span.get("gen_ai.usage.input_tokens", 0) for span in spans) == response.usage.prompt_tokens
    assert sum(span.get("gen_ai.usage.output_tokens", 0) for span in spans) == response.usage.completion_tokens
    tokens = telescope.points("gen_ai.client.token.usage")
    assert sum(point.sum for _, point in tokens) == response.usage.total_tokens


def test_a_sync_call_is_a_child_of_the_callers_span(telescope: Telescope, server: ThreadedServer) -> None:
    with telescope.tracer.start_as_current_span("request"):
        litellm.completion(**request(server))
    assert telescope.tree()[:2] == ["request", f"  {RUN}"]


def test_an_async_call_is_a_child_of_the_callers_span(
    telescope: Telescope, server: ThreadedServer, portal: BlockingPortal
) -> None:
    async def call() -> None:
        with telescope.tracer.start_as_current_span("request"):
            await litellm.acompletion(**request(server))

    portal.call(call)
    assert telescope.tree()[:2] == ["request", f"  {RUN}"]


def test_an_async_stream_that_another_task_reads_is_a_child_of_its_callers_span(
    telescope: Telescope, server: ThreadedServer, portal: BlockingPortal
) -> None:
    async def read(stream: Any) -> None:
        async for _ in stream:
            pass

    async def call() -> None:
        elsewhere = contextvars.copy_context()
        with telescope.tracer.start_as_current_span("request"):
            stream = await litellm.acompletion(**request(server), stream=True)
        await asyncio.create_task(read(stream), context=elsewhere)

    portal.call(call)
    assert telescope.tree()[:2] == ["request", f"  {RUN}"]
    assert told(telescope.named(RUN))["composite.streamed"] is True


def test_a_sync_stream_that_is_read_elsewhere_is_a_child_of_its_callers_span(
    telescope: Telescope, server: ThreadedServer
) -> None:
    with telescope.tracer.start_as_current_span("request"):
        stream = litellm.completion(**request(server), stream=True)
    assert list(stream)
    assert telescope.tree()[:2] == ["request", f"  {RUN}"]


@pytest.mark.parametrize("streamed", [False, True])
def test_the_span_in_litellms_metadata_is_the_parent(
    streamed: bool, telescope: Telescope, server: ThreadedServer
) -> None:
    proxys = telescope.tracer.start_span("proxy")
    metadata = {"litellm_parent_otel_span": proxys}
    answer: Any = litellm.completion(**request(server, metadata=metadata), stream=streamed)
    if streamed:
        assert list(answer)
    proxys.end()
    assert telescope.tree()[:2] == ["proxy", f"  {RUN}"]


def test_the_callers_session_and_metadata_are_told(ask: Ask, telescope: Telescope) -> None:
    ask(proposers=[FIRST], metadata={"session_id": "s-1", "user_id": "ada", "workflow_name": "review"})
    attributes = told(telescope.named(RUN))
    assert attributes["gen_ai.conversation.id"] == "s-1"
    assert attributes["user.id"] == "ada"
    assert attributes["composite.workflow"] == "review"


def test_a_run_that_was_refused_is_counted_with_its_class(
    ask: Ask, telescope: Telescope, server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4o", {"error": {"status": 400}})
    with pytest.raises(litellm.BadRequestError):
        ask(proposers=[FIRST])
    ((attributes, _),) = telescope.points("composite.run.failures")
    assert attributes["error.type"] == "FinalCallFailed"
    assert told(telescope.named("chat gpt-4o"))["error.type"] == "BadRequestError"


def test_a_name_of_the_router_has_litellm_as_its_provider(telescope: Telescope, server: ThreadedServer) -> None:
    params = {"model": FINAL, "api_base": server.base_url, "api_key": KEY}
    router = litellm.Router(model_list=[{"model_name": "house-model", "litellm_params": params}])
    composite_llm.register(router=router, config={}, otel=telescope.settings())
    litellm.completion(model="composite/moa/house-model", messages=MESSAGES, proposers=["house-model"])
    for span in telescope.starting("chat house-model"):
        assert told(span)["gen_ai.provider.name"] == "litellm"
    assert len(telescope.starting("chat house-model")) == 2


def test_yaml_turns_it_on_for_the_applications_global_provider(tmp_path: Path) -> None:
    path = tmp_path / "composite.yaml"
    path.write_text("otel:\n  metrics: false\nprofiles: {}\n", encoding="utf-8")
    done = run_program(
        """
        import litellm
        from opentelemetry import metrics, trace
        from tests.support.spans import Telescope
        import composite_llm, fake_server

        composite_llm.register()
        telescope = Telescope()
        # After `register`, as applications do.
        trace.set_tracer_provider(telescope.tracer_provider)
        metrics.set_meter_provider(telescope.meter_provider)
        with fake_server.running_in_thread() as server:
            litellm.completion(model="composite/moa/openai/gpt-4o", messages=[{"role": "user", "content": "Hi"}],
                               api_base=server.base_url, api_key="sk-test", samples=1)
        print(telescope.tree()[0], len(telescope.spans), len(telescope.units()))
        """,
        environment={"COMPOSITE_LLM_CONFIG": str(path)},
    )
    assert done.stdout.split() == ["invoke_workflow", "composite/moa/openai/gpt-4o", "7", "0"], done.stderr


def test_without_the_package_the_error_names_the_extra() -> None:
    done = run_program(
        """
        import sys
        sys.modules["opentelemetry"] = None
        import composite_llm
        for how in ({"otel": True}, {"config": {"otel": True}}):
            try:
                composite_llm.register(**how)
            except composite_llm.InvalidOption as error:
                print(error.message)
        composite_llm.register(config={"otel": False})
        composite_llm.register(config={"otel": True}, otel=False)
        print("fine")
        """
    )
    said = "otel: the package 'opentelemetry' is missing; install composite-llm with its extra 'otel'"
    assert done.stdout.splitlines() == [said, said, "fine"], done.stderr


def test_opentelemetry_is_not_imported_unasked() -> None:
    done = run_program(
        """
        import sys
        from composite_llm import runtime
        print([name for name in sys.modules if name.startswith("composite_llm.observe.otel")])
        """
    )
    assert done.stdout.strip() == "['composite_llm.observe.otel_settings']", done.stderr


def test_a_run_is_one_line_of_the_log(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="composite_llm"):
        ask(proposers=[FIRST], litellm_session_id="s-1")
    (record,) = [record for record in caplog.records if hasattr(record, "composite_run_id")]
    assert record.getMessage().startswith(f"{MOA} ok in ")
    assert vars(record)["composite_session_id"] == "s-1"
    assert KEY not in record.getMessage()
