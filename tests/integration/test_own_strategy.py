"""A strategy that a program brings with it is known to everything that knows the two that ship."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import composite_llm
from composite_llm.config.problems import profile_errors
from composite_llm.config.registry import ALL_OPTIONS, STRATEGIES
from composite_llm.config.schema import config_schema
from composite_llm.config.yaml_source import Source
from composite_llm.model.errors import InvalidConfig, OptionNotAllowed
from composite_llm.model.trace import Trace
from composite_llm.proxy.config.file import Setting
from composite_llm.proxy.config.nodes import written_nodes
from composite_llm.proxy.policy import check_client
from composite_llm.strategies import Deliberation, StageAnswer, StageResult, Strategy
from fake_server import ThreadedServer
from tests.support.asking import KEY
from tests.support.debate import Debate, DebateOptions

JUDGE, PRO, CON = "openai/judge", "openai/pro", "openai/con"
MODEL = f"composite/debate/{JUDGE}"
QUESTION = [{"role": "user", "content": "Tabs or spaces?"}]


@pytest.fixture(autouse=True)
def registered(server: ThreadedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OPENAI_API_BASE", server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    composite_llm.register(strategies=[Debate])
    server.set_scenario("judge", {"text": "Spaces."})
    server.set_scenario("pro", {"text": "Tabs, since they are one key."})
    server.set_scenario("con", {"text": "Spaces, since they look alike."})
    yield
    STRATEGIES.remove("debate")
    composite_llm.register()


def ask(**options: Any) -> Any:
    return litellm.completion(model=MODEL, messages=QUESTION, **{"debaters": [PRO, CON], **options})


def models_asked(server: ThreadedServer) -> list[str]:
    return [record.body["model"] for record in server.ledger.records]


def test_it_answers_and_its_trace_has_its_stages(server: ThreadedServer) -> None:
    answer = ask()
    trace = composite_llm.get_trace(answer)
    assert answer.choices[0].message.content == "Spaces."
    assert sorted(models_asked(server)[:4]) == ["con", "con", "pro", "pro"]
    assert models_asked(server)[4:] == ["judge"]
    assert [(call.stage, call.role, call.title, call.final) for call in trace.calls] == [
        ("round-1", "debater", "Round 1", False),
        ("round-1", "debater", "Round 1", False),
        ("round-2", "debater", "Round 2", False),
        ("round-2", "debater", "Round 2", False),
        ("decide", "judge", "Decision", True),
    ]
    assert (trace.strategy, trace.strategy_title, trace.degraded) == ("debate", "Debate", [])
    assert Trace.model_validate_json(trace.model_dump_json()) == trace


def test_the_second_round_and_the_judge_read_the_one_before(server: ThreadedServer) -> None:
    ask()
    last = json.dumps(server.ledger.records[-1].body["messages"])
    assert "Tabs, since they are one key." in last
    assert "Decide the debate below" in last
    second = [json.dumps(record.body["messages"]) for record in server.ledger.records[2:4]]
    assert all("Spaces, since they look alike." in text for text in second)


def test_reasoning_tokens_are_those_of_the_debaters() -> None:
    answer = ask()
    trace = composite_llm.get_trace(answer)
    debated = sum(call.usage.completion_tokens for call in trace.calls if call.role == "debater")
    assert answer.usage.completion_tokens_details.reasoning_tokens == debated > 0
    assert answer.usage.completion_tokens == trace.usage.completion_tokens > debated


def test_a_stream_equals_the_plain_reply() -> None:
    options = {"debaters": [PRO, CON], "reasoning": "full"}
    plain = litellm.completion(model=MODEL, messages=QUESTION, **options)
    streaming = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(litellm.completion(model=MODEL, messages=QUESTION, **options, **streaming))
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == plain.choices[0].message.content
    told = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    assert "Round 2: asking" in told
    assert "Decision: asking" in told
    usage = next(chunk.usage for chunk in reversed(chunks) if getattr(chunk, "usage", None))
    assert usage.model_dump(exclude={"cost"}) == plain.usage.model_dump(exclude={"cost"})


def test_the_summary_has_its_titles_and_not_the_answer() -> None:
    text = ask(reasoning="full").choices[0].message.reasoning_content
    assert text.index("Round 1\n") < text.index("Round 2\n") < text.index("Decision\n")
    assert f"{PRO} wrote:\nTabs" in text
    assert f"{JUDGE} wrote" not in text


def test_explain_knows_calls_rounds_and_cost() -> None:
    found = composite_llm.explain(MODEL, QUESTION, debaters=["openai/gpt-4o-mini", "openai/gpt-4o"], rounds=3)
    assert (found.calls, found.rounds) == (7, 4)
    assert [(stage.stage, stage.title) for stage in found.stages][-2:] == [
        ("round-3", "Round 3"),
        ("decide", "Decision"),
    ]
    first, second = (stage.nodes[0].worst_prompt_tokens for stage in found.stages[:2])
    assert first < second


def test_its_answers_are_analyzed_without_its_doing(server: ThreadedServer) -> None:
    found: dict[str, list[str]] = {
        "contradictions": [],
        "partial_coverage": [],
        "unique_insights": [],
        "blind_spots": [],
    }
    server.set_scenario("analyst", {"text": json.dumps({"consensus": ["Response B is right."], **found})})
    trace = composite_llm.get_trace(ask(analysis="openai/analyst"))
    assert models_asked(server)[4:] == ["analyst", "judge"]
    assert (trace.analysis and trace.analysis.consensus, trace.degraded) == ([f"{CON} is right."], [])
    assert "- Response B is right." in server.ledger.records[-1].body["messages"][-1]["content"]


def test_a_cap_makes_every_round_smaller(server: ThreadedServer) -> None:
    trace = composite_llm.get_trace(ask(max_calls=3))
    assert models_asked(server) == ["pro", "pro", "judge"]
    assert trace.degraded == ["budget_reduced: 1 of 2 members asked, to stay under the run's caps"]


def test_a_cap_under_a_debate_leaves_the_judge_alone(server: ThreadedServer) -> None:
    ask(max_calls=2)
    assert models_asked(server) == ["judge"]


def test_the_quorum_is_checked_against_its_members_before_and_after(server: ThreadedServer) -> None:
    with pytest.raises(litellm.BadRequestError, match="quorum: got 3; allowed: at most the 2 debaters"):
        ask(quorum=3)
    server.set_scenario("con", {"error": {"status": 400}})
    with pytest.raises(litellm.BadRequestError, match="stage 'round-1' needs 2"):
        ask(quorum=2)


def test_what_is_missing_is_told() -> None:
    with pytest.raises(litellm.BadRequestError, match="debaters"):
        litellm.completion(model=MODEL, messages=QUESTION)
    with pytest.raises(litellm.BadRequestError, match=r"debater: unknown option; did you mean 'debaters'\?"):
        litellm.completion(model=MODEL, messages=QUESTION, debater=[PRO])
    with pytest.raises(litellm.BadRequestError, match="debaters: is an option of debate, not of moa"):
        litellm.completion(model=f"composite/moa/{JUDGE}", messages=QUESTION, debaters=[PRO])


def test_a_client_of_the_proxy_may_not_set_its_nodes_unless_allowed_and_then_by_plain_names() -> None:
    with pytest.raises(OptionNotAllowed, match="debaters"):
        check_client([("debaters", ["small"])], {}, ())
    with pytest.raises(OptionNotAllowed, match="plain names"):
        check_client([("debaters", [{"model": "small", "api_base": "http://elsewhere"}])], {}, ("debaters",))
    with pytest.raises(OptionNotAllowed, match="judge"):
        check_client([("judge", {"model": "small", "api_base": "http://elsewhere"})], {}, ("judge",))
    check_client([("debaters", ["small"])], {}, ("debaters",))
    with pytest.raises(OptionNotAllowed, match="rounds"):
        check_client([("rounds", 9)], {}, ())


def test_its_nodes_are_found_in_a_proxys_configuration() -> None:
    options = {"debaters": [{"model": "a", "fallbacks": ["b"]}], "judge": "c"}
    found = written_nodes(Setting(Source("config", options), (), options))
    assert {node.key for node in found} == {"debaters.0", "debaters.0.fallbacks.0", "judge"}


def test_a_profile_and_the_json_schema_know_it() -> None:
    composite_llm.register(config={"profiles": {"d": {"strategy": "debate", "model": JUDGE, "debaters": [PRO, CON]}}})
    answer = litellm.completion(model="composite/profile/d", messages=QUESTION)
    assert answer.choices[0].message.content == "Spaces."
    assert [error.message for error in profile_errors({"strategy": "debate", "debaters": [PRO], "round": 1})]
    definitions = config_schema()["$defs"]
    assert set(DebateOptions.model_fields) <= set(definitions["DebateOptions"]["properties"])
    assert "debaters" in ALL_OPTIONS


def test_the_page_has_its_stages_and_marks_the_answer() -> None:
    page = composite_llm.get_trace(ask()).to_html()
    for text in ("Debate", "Round 1", "Round 2", "Decision"):
        assert text in page
    assert page.count('class="card final"') == 1


def test_telemetry_keeps_its_calls(tmp_path: Path) -> None:
    file = tmp_path / "traces.db"
    composite_llm.register(telemetry=str(file), strategies=[Debate])
    trace = composite_llm.get_trace(ask())
    assert composite_llm.flush()
    store = composite_llm.TraceStore(file)
    kept = store.trace(trace.id)
    assert [(call.stage, call.title, call.final) for call in kept.calls] == [
        (call.stage, call.title, call.final) for call in trace.calls
    ]
    assert (kept.strategy, kept.strategy_title) == ("debate", "Debate")


def test_opentelemetry_has_a_span_for_each_of_its_stages() -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    composite_llm.register(otel={"tracer_provider": provider}, strategies=[Debate])
    ask()
    names = {span.name for span in exporter.get_finished_spans()}
    assert {"stage round-1", "stage round-2", "stage decide"} <= names


def test_a_tool_step_uses_its_deliberation_again(server: ThreadedServer) -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
    server.set_scenario("judge", {"tool_calls": [{"name": "look", "arguments": {}}]})
    first = ask(tools=tools)
    message = first.choices[0].message
    step = [*QUESTION, message.model_dump(), {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "x"}]
    server.set_scenario("judge", {"text": "Spaces."})
    before = len(server.ledger.records)
    second = litellm.completion(model=MODEL, messages=step, tools=tools, debaters=[PRO, CON])
    assert composite_llm.get_trace(second).reused
    assert models_asked(server)[before:] == ["judge"]


def test_it_nests_and_is_nested() -> None:
    outer = litellm.completion(
        model=MODEL,
        messages=QUESTION,
        debaters=[f"composite/moa/{PRO}", {"model": MODEL, "debaters": [PRO, CON]}],
        rounds=1,
    )
    trace = composite_llm.get_trace(outer)
    assert len(trace.calls) == 1 + 1 + 4 + 1 + 5
    final = [call for call in trace.calls if call.final and call.parent_id is None]
    assert [call.name for call in final] == [JUDGE]


def test_a_deliberation_is_read_back_and_one_of_another_version_is_not() -> None:
    made = Deliberation(
        "s", (StageResult("round-1", "debater", (StageAnswer("a", "x", True, "why"),), {"k": [1]}),), "round-1"
    )
    assert Deliberation.from_json(made.to_json()) == made
    older = json.loads(made.to_json()) | {"version": 1}
    with pytest.raises(ValueError, match="version 1"):
        Deliberation.from_json(json.dumps(older))


class _Nameless(DebateOptions):
    strategy = "Bad Name"


class _Taken(DebateOptions):
    strategy = "council"


class _Parameter(DebateOptions):
    strategy = "other"
    temperature: float = 0


def _with(options: Any) -> type[Strategy[Any]]:
    return type("Other", (Debate,), {"options_type": options})


@pytest.mark.parametrize(
    ("strategy", "why"),
    [
        (object, "no Strategy"),
        (_with(_Nameless), "no name for a strategy"),
        (_with(_Taken), "ships with composite_llm"),
        (_with(_Parameter), "'temperature' is a call parameter"),
    ],
)
def test_one_that_cannot_be_used_is_refused_when_it_is_registered(strategy: Any, why: str) -> None:
    with pytest.raises(InvalidConfig, match=why):
        composite_llm.register(strategies=[strategy])


def test_one_that_nobody_registered_is_unknown() -> None:
    with pytest.raises(litellm.NotFoundError, match="names no strategy"):
        litellm.completion(model=f"composite/debata/{JUDGE}", messages=QUESTION)


PACKAGE = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "debate-for-composite-llm"
version = "1"

[project.entry-points."composite_llm.strategies"]
debate = "debate_strategy:Debate"
broken = "debate_strategy:Nothing"
moa = "debate_strategy:Debate"
"""


def test_an_installed_package_brings_it_to_the_command_and_offline(tmp_path: Path) -> None:
    site = tmp_path / "site"
    info = site / "debate_for_composite_llm-1.dist-info"
    info.mkdir(parents=True)
    (site / "debate_strategy.py").write_text(Path(sys.modules[Debate.__module__].__file__ or "").read_text())
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: debate-for-composite-llm\nVersion: 1\n")
    entries = PACKAGE.split('"composite_llm.strategies"]\n')[1].replace('"', "")
    (info / "entry_points.txt").write_text("[composite_llm.strategies]\n" + entries)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(site)}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "composite_llm", *words],
            capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120, check=False,
        )  # fmt: skip

    helped = run("ask", "--help")
    assert "[moa|council|debate]" in helped.stdout
    asked = run("ask", "--offline", "--json", "-s", "debate", "-m", JUDGE, "-p", PRO, "-p", CON, "Tabs or spaces?")
    assert asked.returncode == 0, asked.stderr
    assert json.loads(asked.stdout)["content"]
    assert "'broken'" in asked.stderr
    assert "'moa'" in asked.stderr
