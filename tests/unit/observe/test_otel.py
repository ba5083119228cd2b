from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
from typing import Any

import pytest
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.trace import SpanKind, StatusCode

from composite_llm.model.errors import CompositeError
from composite_llm.observe import otel_names
from composite_llm.observe.observer import Observers
from composite_llm.observe.otel import OpenTelemetry
from composite_llm.observe.otel_settings import OtelSettings
from composite_llm.run import Caller, Run, Services
from tests.support.benches import QUESTION, Bench, bench
from tests.support.scripted_backend import Hang, Say, Script, ScriptedBackend, ScriptedFacts, asking_for, failing
from tests.support.spans import Telescope, told

MODEL = "composite/moa/lab/chief"
SCRIPT: Script = {
    "lab/a": Say("alpha", after=1),
    "lab/b": Say("beta", after=2),
    "lab/chief": Say("The| answer", after=3),
}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


def observed(
    telescope: Telescope, script: Script = SCRIPT, model: str = MODEL, *, caller: Caller | None = None, **options: Any
) -> Bench:
    settings = options.pop("settings", None) or telescope.settings()
    facts = ScriptedFacts()
    observer = OpenTelemetry(settings, lambda name: facts.provider(name, {}))
    services = Services(ScriptedBackend(script), facts, observers=Observers([observer]))
    made = bench(model, script, services=services, **options)
    if caller is not None:
        made.run = Run(made.run.plan, QUESTION, services, caller)
    return made


async def finished(made: Bench, *, streamed: bool = False) -> None:
    with contextlib.suppress(CompositeError):
        await (made.items() if streamed else made.run.reply())


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_run_is_a_tree_of_stages_calls_and_attempts(streamed: bool) -> None:
    telescope = Telescope()
    await finished(observed(telescope, proposers=["lab/a", "lab/b"]), streamed=streamed)
    assert telescope.tree() == [
        f"invoke_workflow {MODEL}",
        "  stage propose",
        "    invoke_agent lab/a",
        "      chat a",
        "    invoke_agent lab/b",
        "      chat b",
        "  stage aggregate",
        "    invoke_agent lab/chief",
        "      chat chief",
    ]


async def test_spans_stand_where_the_time_went() -> None:
    telescope = Telescope()
    await finished(observed(telescope, proposers=["lab/a", "lab/b"]))
    start = telescope.named(f"invoke_workflow {MODEL}").start_time or 0

    def seconds(span: ReadableSpan) -> tuple[float, float]:
        assert span.start_time is not None
        assert span.end_time is not None
        return ((span.start_time - start) / 1e9, (span.end_time - start) / 1e9)

    assert {span.name: seconds(span) for span in telescope.spans} == {
        f"invoke_workflow {MODEL}": (0, 5),
        "stage propose": (0, 2),
        "invoke_agent lab/a": (0, 1),
        "chat a": (0, 1),
        "invoke_agent lab/b": (0, 2),
        "chat b": (0, 2),
        "stage aggregate": (2, 5),
        "invoke_agent lab/chief": (2, 5),
        "chat chief": (2, 5),
    }


async def test_an_attempts_span_speaks_the_conventions_language() -> None:
    telescope = Telescope()
    caller = Caller(session_id="session-1")
    await finished(observed(telescope, proposers=["lab/a"], caller=caller))
    span = telescope.named("chat a")
    assert span.kind is SpanKind.CLIENT
    assert told(span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "lab",
        "gen_ai.request.model": "a",
        "gen_ai.response.model": "lab/a",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.conversation.id": "session-1",
        "server.address": "lab.a",
        "server.port": 443,
        "composite.attempt": 1,
        "composite.role": "proposer",
        "composite.model": "lab/a",
        "composite.status": "ok",
        "composite.cost_usd": 0.25,
    }
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "composite_llm"


async def test_a_runs_span_says_what_it_was_and_what_it_cost() -> None:
    telescope = Telescope()
    metadata = {"user_id": "ada", "project": "bridges", "step_name": ["odd"], "tags": ["x"]}
    await finished(observed(telescope, proposers=["lab/a"], caller=Caller(metadata=metadata)))
    span = telescope.named(f"invoke_workflow {MODEL}")
    attributes = told(span)
    assert span.kind is SpanKind.INTERNAL
    assert len(attributes.pop("composite.run.id")) == 32
    assert attributes == {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": MODEL,
        "gen_ai.agent.name": MODEL,
        "user.id": "ada",
        "composite.project": "bridges",
        "composite.tags": ["x"],
        "composite.strategy": "moa",
        "composite.streamed": False,
        "composite.status": "ok",
        "composite.calls": 2,
        "composite.input_tokens": 20,
        "composite.output_tokens": 10,
        "composite.cost_usd": 0.5,
        "composite.degraded": [],
        "composite.reused": False,
    }


async def test_a_streamed_attempt_says_when_its_first_chunk_came() -> None:
    telescope = Telescope()
    await finished(observed(telescope, proposers=["lab/a"]), streamed=True)
    attributes = told(telescope.named("chat chief"))
    assert attributes["gen_ai.request.stream"] is True
    assert attributes["gen_ai.response.time_to_first_chunk"] == 3
    assert "gen_ai.request.stream" not in told(telescope.named("chat a"))


async def test_a_councils_span_has_the_agreement_of_its_vote() -> None:
    telescope = Telescope()
    ballot = Say('{"ranking": ["A", "B"]}')
    script: Script = {"lab/a": [Say("one"), ballot], "lab/b": [Say("two"), ballot], "lab/c": "Done."}
    made = observed(telescope, script, "composite/council/lab/c", members=["lab/a", "lab/b"], exclude_self=False)
    await finished(made)
    assert [line for line in telescope.tree() if line.startswith("  stage")] == [
        "  stage answer",
        "  stage review",
        "  stage synthesize",
    ]
    ranking = made.trace.ranking
    assert ranking is not None
    assert ranking.agreement is not None
    assert told(telescope.named("invoke_workflow composite/council/lab/c"))["composite.agreement"] == ranking.agreement


async def test_a_nested_run_stands_below_the_attempt_that_it_is() -> None:
    telescope = Telescope()
    inner = {"model": "composite/moa/lab/b", "proposers": ["lab/a"], "name": "inner"}
    await finished(observed(telescope, proposers=[inner]))
    assert telescope.tree() == [
        f"invoke_workflow {MODEL}",
        "  stage propose",
        "    invoke_agent inner",
        "      invoke_workflow composite/moa/lab/b",
        "        stage propose",
        "          invoke_agent lab/a",
        "            chat a",
        "        stage aggregate",
        "          invoke_agent lab/b",
        "            chat b",
        "  stage aggregate",
        "    invoke_agent lab/chief",
        "      chat chief",
    ]
    assert telescope.named("invoke_workflow composite/moa/lab/b").kind is SpanKind.INTERNAL


async def test_a_retry_of_a_nested_run_has_its_own_calls() -> None:
    telescope = Telescope()
    script: Script = {**SCRIPT, "lab/b": [failing("unavailable", after=1), Say("beta", after=1)]}
    inner = {
        "model": "composite/moa/lab/b",
        "aggregator": {"num_retries": 0},
        "proposers": ["lab/a"],
        "name": "inner",
        "num_retries": 1,
    }
    await finished(observed(telescope, script, proposers=[inner]))
    tree = [line.strip() for line in telescope.tree()]
    below = tree[tree.index("invoke_agent inner") + 1 : tree.index("invoke_agent lab/chief") - 1]
    half = below.index("invoke_workflow composite/moa/lab/b", 1)
    assert below[half] == below[0]
    assert "chat b" in below[:half]
    assert "chat b" in below[half:]


@pytest.mark.parametrize("streamed", [False, True])
async def test_retries_and_fallbacks_are_seen_with_what_followed(streamed: bool) -> None:
    telescope = Telescope()
    limited = failing("rate_limited", "too many requests", error_class="RateLimitError", status_code=429)
    script: Script = {**SCRIPT, "lab/chief": limited}
    node = {"num_retries": 1, "fallbacks": ["lab/b"]}
    await finished(observed(telescope, script, proposers=["lab/a"], aggregator=node), streamed=streamed)
    first, second, third = [span for span in telescope.starting("chat") if told(span)["composite.role"] == "aggregator"]
    assert [span.name for span in (first, second, third)] == ["chat chief", "chat chief", "chat b"]
    assert told(first)["error.type"] == "RateLimitError"
    assert told(first)["http.response.status_code"] == 429
    assert told(first)["composite.next_step"].startswith("retry after")
    assert told(second)["composite.next_step"] == "given up: no retries left"
    assert first.status.status_code is StatusCode.ERROR
    assert first.status.description == "too many requests"
    assert third.status.status_code is StatusCode.UNSET
    assert "error.type" not in told(third)
    call = telescope.named("invoke_agent lab/chief")
    assert call.status.status_code is StatusCode.UNSET
    assert told(call)["composite.model"] == "lab/b"
    assert told(telescope.named(f"invoke_workflow {MODEL}"))["composite.degraded"] == ["fallback_used"]


async def test_the_attempt_that_lost_a_hedge_is_no_error() -> None:
    telescope = Telescope()
    script: Script = {**SCRIPT, "lab/a": [Hang(), Say("alpha", after=1)]}
    await finished(observed(telescope, script, proposers=[{"model": "lab/a", "hedge_after_s": 2}]))
    lost, won = telescope.starting("chat a")
    assert told(lost)["composite.status"] == "abandoned"
    assert told(lost)["composite.next_step"] == "hedged after 2 s"
    assert lost.status.status_code is StatusCode.UNSET
    assert "error.type" not in told(lost)
    assert told(won)["composite.status"] == "ok"


async def test_a_straggler_is_abandoned_and_no_error() -> None:
    telescope = Telescope()
    script: Script = {**SCRIPT, "lab/b": Hang()}
    await finished(observed(telescope, script, proposers=["lab/a", "lab/b"], straggler_grace_s=1))
    for span in (telescope.named("invoke_agent lab/b"), telescope.named("chat b")):
        assert told(span)["composite.status"] == "abandoned"
        assert span.status.status_code is StatusCode.UNSET
    assert told(telescope.named(f"invoke_workflow {MODEL}"))["composite.degraded"] == ["member_missing"]


async def test_a_failed_run_says_why_with_the_class_of_its_error() -> None:
    telescope = Telescope()
    await finished(
        observed(telescope, {**SCRIPT, "lab/chief": failing("rejected", "no such model")}, proposers=["lab/a"])
    )
    run = telescope.named(f"invoke_workflow {MODEL}")
    assert run.status.status_code is StatusCode.ERROR
    assert run.status.description == "stage 'aggregate': the final call failed: lab/chief: no such model"
    assert told(run)["error.type"] == "FinalCallFailed"
    assert told(run)["composite.status"] == "failed"
    assert telescope.named("invoke_agent lab/chief").status.status_code is StatusCode.ERROR


async def test_a_run_whose_caller_has_gone_is_cancelled_and_no_error() -> None:
    telescope = Telescope()
    task = asyncio.create_task(observed(telescope, {**SCRIPT, "lab/a": Hang()}, proposers=["lab/a"]).run.reply())
    await asyncio.sleep(1)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    stream = observed(telescope, proposers=["lab/b"]).run.items()
    await anext(stream)
    await stream.aclose()
    runs = telescope.starting("invoke_workflow")
    assert [told(span)["composite.status"] for span in runs] == ["cancelled", "cancelled"]
    assert {span.status.status_code for span in telescope.spans} == {StatusCode.UNSET}
    assert told(telescope.named("chat a"))["composite.status"] == "cancelled"


async def test_each_tool_is_a_span_below_the_run() -> None:
    telescope = Telescope()
    asks = asking_for(("c1", "look", '{"at": "sky"}'), ("c2", "look", "{"), ("c3", "look", '{"at": "sea"}'))
    script: Script = {**SCRIPT, "lab/chief": [asks, Say("Blue.")]}

    def look(at: str) -> str:
        if at == "sea":
            raise PermissionError("the tide table is private")
        return f"{at}!"

    options: dict[str, Any] = {"tools": TOOLS, "tool_executor": {"look": look}, "validate_output": False}
    await finished(observed(telescope, script, proposers=["lab/a"], **options))
    tools = {told(span)["gen_ai.tool.call.id"]: span for span in telescope.starting("execute_tool")}
    assert {span.name for span in tools.values()} == {"execute_tool look"}
    assert told(tools["c1"]) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "c1",
        "composite.tool.round": 1,
    }
    assert told(tools["c2"])["error.type"] == "invalid_arguments"
    assert told(tools["c3"])["error.type"] == "PermissionError"
    assert tools["c3"].status.status_code is StatusCode.ERROR
    assert tools["c3"].status.description is None
    run = telescope.named(f"invoke_workflow {MODEL}")
    assert {span.parent.span_id for span in tools.values() if span.parent} == {
        run.context.span_id if run.context else 0
    }


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_tokens_of_all_spans_are_those_of_the_run(streamed: bool) -> None:
    telescope = Telescope()
    limited = failing("rate_limited", usage=Say().usage, cost_usd=0.125)
    script: Script = {**SCRIPT, "lab/b": [limited, Say("beta")]}
    inner = {"model": "composite/moa/lab/b", "proposers": ["lab/a", "lab/b"], "name": "inner"}
    made = observed(telescope, script, proposers=[inner, "lab/a"])
    await finished(made, streamed=streamed)
    usage = made.trace.usage
    assert usage.prompt_tokens > 0
    for name, expected in (("input", usage.prompt_tokens), ("output", usage.completion_tokens)):
        assert sum(told(span).get(f"gen_ai.usage.{name}_tokens", 0) for span in telescope.spans) == expected
    attempts = [span for span in telescope.spans if "composite.attempt" in told(span)]
    assert sum(told(span).get("composite.cost_usd", 0) for span in attempts) == made.trace.cost_usd


async def test_an_unknown_price_is_no_attribute() -> None:
    telescope = Telescope()
    await finished(observed(telescope, {**SCRIPT, "lab/a": Say("alpha", cost_usd=None)}, proposers=["lab/a"]))
    assert "composite.cost_usd" not in told(telescope.named("chat a"))
    assert "composite.cost_usd" not in told(telescope.named(f"invoke_workflow {MODEL}"))


# --- whose child a run is ---------------------------------------------------------------------------------------------


async def test_a_run_is_a_child_of_the_callers_current_span() -> None:
    telescope = Telescope()
    with telescope.tracer.start_as_current_span("request"):
        await finished(observed(telescope, proposers=["lab/a"]))
    assert telescope.tree()[:2] == ["request", f"  invoke_workflow {MODEL}"]


async def test_a_stream_that_is_read_in_another_context_is_still_its_callers_child() -> None:
    telescope = Telescope()
    elsewhere = contextvars.copy_context()
    with telescope.tracer.start_as_current_span("request"):
        made = observed(telescope, proposers=["lab/a"])
    await asyncio.create_task(made.items(), context=elsewhere)
    assert telescope.tree()[:2] == ["request", f"  invoke_workflow {MODEL}"]


async def test_the_span_that_litellm_hands_over_comes_before_the_current_one() -> None:
    telescope = Telescope()
    handed = telescope.tracer.start_span("proxy")
    with telescope.tracer.start_as_current_span("something else"):
        await finished(observed(telescope, proposers=["lab/a"], caller=Caller(parent_span=handed)))
    handed.end()
    run = telescope.named(f"invoke_workflow {MODEL}")
    assert run.parent is not None
    assert run.parent.span_id == handed.get_span_context().span_id


async def test_what_is_no_span_is_not_taken_for_the_callers() -> None:
    telescope = Telescope()
    await finished(observed(telescope, proposers=["lab/a"], caller=Caller(parent_span={"not": "a span"})))
    assert telescope.named(f"invoke_workflow {MODEL}").parent is None


async def test_the_spans_of_runs_at_once_do_not_mix() -> None:
    telescope = Telescope()
    observer = OpenTelemetry(telescope.settings(), lambda _: "lab")
    services = Services(ScriptedBackend(SCRIPT), ScriptedFacts(), observers=Observers([observer]))
    runs = [bench(MODEL, SCRIPT, services=services, proposers=["lab/a", "lab/b"]) for _ in range(20)]
    await asyncio.gather(*(made.run.reply() for made in runs))
    roots = {span.context.trace_id: span for span in telescope.starting("invoke_workflow") if span.context}
    assert len(roots) == 20
    assert {told(span)["composite.run.id"] for span in roots.values()} == {made.run.id for made in runs}
    for trace_id in roots:
        assert len([span for span in telescope.spans if span.context and span.context.trace_id == trace_id]) == 9


# --- content ----------------------------------------------------------------------------------------------------------

SECRETS = ("Why is the sky blue?", "alpha", "answer", "sky-argument", "sky-result", "system secret")


def everything(telescope: Telescope) -> str:
    return " ".join(span.to_json() for span in telescope.spans)


async def run_with_secrets(telescope: Telescope, **settings: Any) -> None:
    asks = asking_for(("c1", "look", '{"at": "sky-argument", "api_key": "sk-abcdefgh12345678"}'))
    script: Script = {**SCRIPT, "lab/chief": [asks, Say("The| answer")]}
    await finished(
        observed(
            telescope,
            script,
            proposers=[{"model": "lab/a", "name": "first", "system": "system secret"}],
            tools=TOOLS,
            tool_executor=lambda name, arguments: "sky-result",
            settings=telescope.settings(**settings),
        )
    )


async def test_no_prompt_answer_or_tool_call_is_told_unasked() -> None:
    telescope = Telescope()
    await run_with_secrets(telescope)
    assert telescope.starting("execute_tool")
    assert [secret for secret in SECRETS if secret in everything(telescope)] == []


async def test_prompts_answers_and_tool_calls_are_told_when_asked_for() -> None:
    telescope = Telescope()
    await run_with_secrets(telescope, capture_content=True)
    run = told(telescope.named(f"invoke_workflow {MODEL}"))
    assert json.loads(run["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "Why is the sky blue?"}]}
    ]
    assert json.loads(run["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "The| answer"}], "finish_reason": "stop"}
    ]
    assert "alpha" in told(telescope.named("chat a"))["gen_ai.output.messages"]
    tool = told(telescope.named("execute_tool look"))
    assert json.loads(tool["gen_ai.tool.call.arguments"]) == {"at": "sky-argument", "api_key": "***"}
    assert tool["gen_ai.tool.call.result"] == "sky-result"


@pytest.mark.parametrize(
    ("value", "setting", "captured"),
    [
        ("true", None, True),
        ("SPAN_ONLY", None, True),
        ("span_and_event", None, True),
        ("event_only", None, False),
        ("false", None, False),
        ("yes please", None, False),
        ("true", False, False),
        ("false", True, True),
    ],
)
async def test_the_conventions_variable_counts_where_nothing_is_set(
    value: str, setting: bool | None, captured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", value)
    assert OtelSettings(capture_content=setting).captures_content is captured
    telescope = Telescope()
    await finished(observed(telescope, proposers=["lab/a"], settings=telescope.settings(capture_content=setting)))
    assert ("alpha" in everything(telescope)) is captured


# --- sampling and faults ----------------------------------------------------------------------------------------------


async def test_a_trace_that_is_not_sampled_has_no_spans_and_is_counted_all_the_same() -> None:
    telescope = Telescope(ParentBased(ALWAYS_OFF))
    await finished(observed(telescope, proposers=["lab/a"]))
    assert telescope.spans == []
    assert [point.count for _, point in telescope.points("gen_ai.invoke_agent.duration")] == [1]


async def test_a_callers_trace_that_is_not_sampled_stays_so() -> None:
    telescope = Telescope(ParentBased(TraceIdRatioBased(1)))
    away = otel.NonRecordingSpan(otel.SpanContext(7, 8, is_remote=True, trace_flags=otel.TraceFlags(0)))
    await finished(observed(telescope, proposers=["lab/a"], caller=Caller(parent_span=away)))
    assert telescope.spans == []


class BrokenExporter(SpanExporter):
    def export(self, spans: Any) -> SpanExportResult:
        raise OSError("the collector is gone")


class BrokenProcessor(SpanProcessor):
    def on_end(self, span: ReadableSpan) -> None:
        raise OSError("no room")


class BrokenAtStart(SpanProcessor):
    def on_start(self, span: Span, parent_context: Any = None) -> None:
        raise OSError("no room")


@pytest.mark.parametrize("broken", [SimpleSpanProcessor(BrokenExporter()), BrokenProcessor(), BrokenAtStart()])
async def test_an_exporter_that_fails_harms_neither_the_run_nor_the_metrics(broken: SpanProcessor) -> None:
    telescope = Telescope()
    telescope.tracer_provider.add_span_processor(broken)
    made = observed(telescope, proposers=["lab/a"])
    assert await made.text() == "The| answer"
    assert [point.count for _, point in telescope.points("gen_ai.invoke_agent.duration")] == [1]


async def test_without_a_provider_of_the_applications_nothing_is_kept() -> None:
    observer = OpenTelemetry(OtelSettings(), lambda _: None)
    services = Services(ScriptedBackend(SCRIPT), ScriptedFacts(), observers=Observers([observer]))
    assert await bench(MODEL, SCRIPT, services=services, proposers=["lab/a"]).text() == "The| answer"
    assert observer._open == {}


# --- metrics ----------------------------------------------------------------------------------------------------------


async def test_attempts_are_measured_as_the_conventions_say() -> None:
    telescope = Telescope()
    timed_out = failing("timed_out", "no reply", after=4, error_class="TimeoutError")
    await finished(
        observed(telescope, {**SCRIPT, "lab/b": timed_out}, proposers=["lab/a", {"model": "lab/b", "num_retries": 0}])
    )
    units = telescope.units()
    assert units["gen_ai.client.operation.duration"] == "s"
    assert units["gen_ai.client.token.usage"] == "{token}"
    durations = {
        key["gen_ai.request.model"]: (key, p) for key, p in telescope.points("gen_ai.client.operation.duration")
    }
    assert {model: point.sum for model, (_, point) in durations.items()} == {"a": 1, "b": 4, "chief": 3}
    assert durations["b"][0]["error.type"] == "TimeoutError"
    assert durations["a"][0] == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "lab",
        "gen_ai.request.model": "a",
        "gen_ai.response.model": "lab/a",
        "server.address": "lab.a",
        "server.port": 443,
    }
    assert durations["a"][1].explicit_bounds[:3] == (0.01, 0.02, 0.04)
    tokens = {
        (key["gen_ai.request.model"], key["gen_ai.token.type"]): p
        for key, p in telescope.points("gen_ai.client.token.usage")
    }
    assert {series: point.sum for series, point in tokens.items()} == {
        ("a", "input"): 10,
        ("a", "output"): 5,
        ("chief", "input"): 10,
        ("chief", "output"): 5,
    }
    assert tokens["a", "input"].explicit_bounds[-1] == 67108864


async def test_money_is_counted_and_an_unknown_price_is_counted_apart() -> None:
    telescope = Telescope()
    await finished(observed(telescope, {**SCRIPT, "lab/a": Say("alpha", cost_usd=None)}, proposers=["lab/a", "lab/b"]))
    assert {key["gen_ai.request.model"]: p.value for key, p in telescope.points("composite.cost")} == {
        "b": 0.25,
        "chief": 0.25,
    }
    assert [(key["gen_ai.request.model"], p.value) for key, p in telescope.points("composite.unpriced_attempts")] == [
        ("a", 1)
    ]


async def test_failures_and_departures_are_counted_by_kind() -> None:
    telescope = Telescope()
    script: Script = {**SCRIPT, "lab/b": failing("rejected"), "lab/chief": failing("rejected")}
    await finished(observed(telescope, script, proposers=["lab/a", "lab/b"]))
    run = {"composite.strategy": "moa", "gen_ai.agent.name": MODEL}
    (failure,) = telescope.points("composite.run.failures")
    assert failure[0] == {**run, "error.type": "FinalCallFailed"}
    (departure,) = telescope.points("composite.run.degraded")
    assert departure[0] == {**run, "composite.degraded": "member_missing"}
    (duration,) = telescope.points("gen_ai.invoke_agent.duration")
    assert duration[0]["error.type"] == "FinalCallFailed"
    assert duration[0]["composite.status"] == "failed"


async def test_what_a_breaker_kept_from_being_asked_is_no_request() -> None:
    telescope = Telescope()
    refused = failing("breaker_open", "its breaker is open", error_class="BreakerOpen")
    await finished(observed(telescope, {**SCRIPT, "lab/b": refused}, proposers=["lab/a", "lab/b"]))
    asked = {key["gen_ai.request.model"] for key, _ in telescope.points("gen_ai.client.operation.duration")}
    assert asked == {"a", "chief"}
    assert told(telescope.named("chat b"))["error.type"] == "BreakerOpen"


async def test_tools_are_measured() -> None:
    telescope = Telescope()
    await run_with_secrets(telescope)
    ((attributes, point),) = telescope.points("gen_ai.execute_tool.duration")
    assert attributes == {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look"}
    assert point.count == 1


@pytest.mark.parametrize(("spans", "metrics"), [(True, False), (False, True)])
async def test_spans_and_metrics_can_be_had_apart(spans: bool, metrics: bool) -> None:
    telescope = Telescope()
    settings = telescope.settings(spans=spans, metrics=metrics)
    await finished(observed(telescope, proposers=["lab/a"], settings=settings))
    assert bool(telescope.spans) is spans
    assert bool(telescope.units()) is metrics


# --- names ------------------------------------------------------------------------------------------------------------

NEWER = {"gen_ai.response.time_to_first_chunk", "gen_ai.request.stream"}
"""Named in this release of the conventions; older releases of the Python package lack them."""


def test_every_name_of_the_conventions_is_one() -> None:
    known = {value for name, value in vars(gen_ai_attributes).items() if name.isupper()}
    ours = {value for name, value in vars(otel_names).items() if name.isupper() and str(value).startswith("gen_ai.")}
    assert len(ours) > 15
    assert ours - known - NEWER == set()


def test_every_operation_and_provider_is_one_that_the_conventions_know() -> None:
    operations = {value.value for value in gen_ai_attributes.GenAiOperationNameValues}
    assert {otel_names.CHAT, otel_names.INVOKE_AGENT, otel_names.INVOKE_WORKFLOW, otel_names.EXECUTE_TOOL} <= operations
    providers = {value.value for value in gen_ai_attributes.GenAiProviderNameValues}
    # Of the conventions' own repository, newer than the package.
    assert set(otel_names.PROVIDER_NAMES.values()) - {"moonshot_ai"} <= providers
