"""Roles, routing, quotas, fallbacks and streams, against the fake server and the real LiteLLM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from composite_llm import BudgetExceeded, InvalidOption
from composite_llm.work import AllProvidersFailedError, Executor, Orchestrator, Session, TooLong, Used
from fake_server import ThreadedServer
from tests.support import wire

BACKENDS: dict[str, Any] = {
    "planner": {"model": "tier/premium", "persona": "You plan.", "tasks": ["plan", "architecture"]},
    "reviewer": {"model": "composite/council/openai/gpt-4o", "tasks": ["review"]},
    "fast": "openai/gpt-4.1-nano",
    "local": {"model": "openai/gpt-4.1-mini", "context_window": 60, "tasks": ["classify"]},
}


@pytest.fixture
def executor(server: ThreadedServer) -> Executor:
    for name in ("gpt-4.1", "gpt-4.1-nano", "gpt-4.1-mini", "gpt-4o"):
        server.set_scenario(
            name, {"text": f"answer of {name}", "by_content": [{"contains": "You are reviewing", "then": {}}]}
        )
    options = {"api_base": server.base_url, "api_key": "sk-test"}
    return Executor("openai/gpt-4.1-nano", tiers={"premium": "openai/gpt-4.1"}, options=options)


@pytest.fixture
def orchestrator(executor: Executor) -> Orchestrator:
    return Orchestrator(BACKENDS, executor=executor)


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize(
    ("task", "size", "backend"),
    [
        (None, 0, "planner"),
        ("plan", 10, "planner"),
        ("review", 10, "reviewer"),
        ("classify", 10, "local"),
        ("fast", 10, "fast"),
        ("unheard of", 10, "planner"),
        ("classify", 1000, "fast"),
    ],
)
def test_a_task_is_routed_to_its_backend_if_it_fits(
    orchestrator: Orchestrator, task: str, size: int, backend: str
) -> None:
    assert orchestrator.route(task, size) == backend


def test_the_most_capable_stands_in_where_that_is_wanted(executor: Executor) -> None:
    assert Orchestrator(BACKENDS, executor=executor, fallback="capability").route("classify", 1000) != "fast"
    with pytest.raises(TooLong):
        Orchestrator(BACKENDS, executor=executor, fallback="none").route("classify", 1000)
    with pytest.raises(TooLong):
        Orchestrator({"local": BACKENDS["local"]}, executor=executor).route(None, 1000)


async def test_each_backend_has_its_own_context_and_persona(orchestrator: Orchestrator, server: ThreadedServer) -> None:
    first = await orchestrator.chat(user("plan a"), "plan")
    assert (first.content, first.backend, first.model) == ("answer of gpt-4.1", "planner", "openai/gpt-4.1")
    await orchestrator.chat(user("be quick"), backend="fast")
    await orchestrator.chat(user("plan b"), "plan")
    sent = wire.records(server, "gpt-4.1")[-1].body["messages"]
    assert [message["content"] for message in sent] == ["You plan.", "plan a", "answer of gpt-4.1", "plan b"]
    orchestrator.set_persona("planner", "You doubt.")
    orchestrator.reset_backend_context("fast")
    await orchestrator.chat(user("plan c"), "plan")
    assert wire.records(server, "gpt-4.1")[-1].body["messages"][0]["content"] == "You doubt."
    orchestrator.reset_persona("planner")
    orchestrator.reset_backend_context("planner")
    await orchestrator.chat(user("plan d"), "plan")
    sent = wire.records(server, "gpt-4.1")[-1].body["messages"]
    assert [message["content"] for message in sent] == ["You plan.", "plan d"]


async def test_usage_is_counted_by_backend_and_in_all(orchestrator: Orchestrator) -> None:
    answers = [await orchestrator.chat(user("x"), "plan"), await orchestrator.chat(user("x"), "review")]
    assert orchestrator.usage("planner") == answers[0].used
    assert orchestrator.usage() == answers[0].used + answers[1].used
    assert orchestrator.usage("fast") == Used()
    assert answers[0].used.cost_usd
    assert answers[1].used.cost_usd
    with pytest.raises(InvalidOption, match="planner"):
        orchestrator.usage("plannr")


@pytest.mark.parametrize("quota", [{"max_calls": 1}, {"max_tokens": 5}, {"max_cost_usd": 0.0000001}])
async def test_a_quota_is_looked_at_before_a_call(
    executor: Executor, server: ThreadedServer, quota: dict[str, Any]
) -> None:
    backends = {"only": {"model": "openai/gpt-4.1", **quota}}
    orchestrator = Orchestrator(backends, executor=executor)
    await orchestrator.chat(user("x"))
    with pytest.raises(BudgetExceeded, match="backend only"):
        await orchestrator.chat(user("x"))
    assert len(wire.records(server, "gpt-4.1")) == 1


async def test_another_backend_stands_in_for_one_without_quota(executor: Executor) -> None:
    backends = {"first": {"model": "openai/gpt-4.1", "max_calls": 1}, "second": "openai/gpt-4.1-nano"}
    orchestrator = Orchestrator(backends, executor=executor)
    assert [(await orchestrator.chat(user("x"))).backend for _ in range(2)] == ["first", "second"]
    alone = Orchestrator(backends, executor=executor, fallback="none")
    await alone.chat(user("x"))
    with pytest.raises(BudgetExceeded):
        await alone.chat(user("x"))


async def test_the_projects_quota_holds_over_sessions(executor: Executor, tmp_path: Path) -> None:
    def one(id: str) -> Orchestrator:
        session = Session(id, path=tmp_path / "sessions.sqlite")
        return Orchestrator({"only": "openai/gpt-4.1"}, executor=executor, session=session, max_cost_usd=0.0000001)

    await one("monday").chat(user("x"))
    with pytest.raises(BudgetExceeded, match="the project"):
        await one("tuesday").chat(user("x"))


async def test_with_a_quota_an_unknown_price_is_the_end_of_it(executor: Executor, server: ThreadedServer) -> None:
    server.set_scenario("unpriced-model", {"text": "x"})
    orchestrator = Orchestrator({"only": {"model": "openai/unpriced-model", "max_cost_usd": 9}}, executor=executor)
    answer = await orchestrator.chat(user("x"))
    assert answer.used.cost_usd is None
    with pytest.raises(BudgetExceeded, match="unknown"):
        await orchestrator.chat(user("x"))


async def test_when_one_fails_another_stands_in(executor: Executor, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4.1", {"error": {"status": 400}})
    backends = {"first": "openai/gpt-4.1", "dear": "openai/gpt-4o", "cheap": "openai/gpt-4.1-nano"}
    answer = await Orchestrator(backends, executor=executor).chat(user("x"))
    assert answer.backend == "cheap"
    assert (await Orchestrator(backends, executor=executor, fallback="capability").chat(user("x"))).backend == "dear"
    with pytest.raises(AllProvidersFailedError, match=r"gpt-4\.1"):
        await Orchestrator(backends, executor=executor, fallback="none").chat(user("x"))


@pytest.mark.parametrize("backend", ["planner", "reviewer"])
async def test_a_stream_has_deltas_usage_and_an_end(orchestrator: Orchestrator, backend: str) -> None:
    chunks = [chunk async for chunk in await orchestrator.chat(user("x"), backend=backend, stream=True)]
    kinds = [chunk.kind for chunk in chunks]
    assert kinds[-2:] == ["usage", "done"]
    assert set(kinds[:-2]) == {"delta"}
    text = "".join(chunk.text for chunk in chunks)
    assert text == f"answer of {'gpt-4.1' if backend == 'planner' else 'gpt-4o'}"
    used = chunks[-2].used
    assert used is not None
    assert used.tokens_output > 0
    assert used.cost_usd is not None
    assert used.cost_usd > 0
    assert orchestrator.usage(backend) == used


async def test_a_stream_that_fails_before_it_began_is_another_backends(
    executor: Executor, server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4.1", {"error": {"status": 400}})
    orchestrator = Orchestrator({"first": "openai/gpt-4.1", "second": "openai/gpt-4.1-nano"}, executor=executor)
    chunks = [chunk async for chunk in await orchestrator.chat(user("x"), stream=True)]
    assert {chunk.backend for chunk in chunks} == {"second"}
    server.set_scenario("gpt-4.1-nano", {"error": {"status": 400}})
    chunks = [chunk async for chunk in await orchestrator.chat(user("x"), stream=True)]
    assert [(chunk.kind, chunk.backend) for chunk in chunks] == [("error", "second")]
    assert chunks[0].text


async def test_a_stream_shows_what_the_model_wants_called(orchestrator: Orchestrator, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4.1", {"tool_calls": [{"name": "look", "arguments": {"x": 1}}]})
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    chunks = [chunk async for chunk in await orchestrator.chat(user("x"), "plan", stream=True, tools=[tool])]
    pieces = [chunk.tool_call for chunk in chunks if chunk.tool_call is not None]
    assert pieces[0]["function"]["name"] == "look"
    answer = await orchestrator.chat(user("x"), "plan", tools=[tool])
    assert answer.tool_calls[0]["function"]["name"] == "look"
    assert answer.finish_reason == "tool_calls"


async def test_a_long_context_is_summarized_on_the_way(executor: Executor, server: ThreadedServer) -> None:
    executor.models.tiers["cheap"] = "openai/gpt-4.1-mini"  # type: ignore[index]
    server.set_scenario("gpt-4.1-mini", {"text": "they greeted"})
    session = Session("long", path=":memory:", token_budget=150)
    orchestrator = Orchestrator({"only": "openai/gpt-4.1"}, executor=executor, session=session)
    for number in range(8):
        await orchestrator.chat(user(f"hello {number} " * 3))
    sent = wire.records(server, "gpt-4.1")[-1].body["messages"]
    assert "they greeted" in sent[0]["content"]
    assert len(sent) < 8


@pytest.mark.parametrize(
    "backends",
    [{}, {"a": {}}, {"a": {"model": "x", "modle": "y"}}, {"a": ""}],
)
def test_backends_that_cannot_be_used_are_refused(backends: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        Orchestrator(backends)


def test_a_fallback_is_one_of_three() -> None:
    with pytest.raises(InvalidOption):
        Orchestrator({"a": "x/y"}, fallback="luck")
