"""Prompts by task and tier, with fallbacks, against the fake server and the real LiteLLM."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from composite_llm import ExecutionContext, InvalidOption
from composite_llm.work import AllProvidersFailedError, Executor
from fake_server import ThreadedServer
from tests.support.moving_clock import put_clock_forward

TIERS = {"cheap": "openai/gpt-4.1-nano", "capable": "openai/gpt-4.1-mini", "premium": "composite/council/openai/gpt-4o"}
TASKS = {"summarize": "cheap", "review": "premium", "special": "openai/gpt-4o"}


@pytest.fixture
def told() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def executor(server: ThreadedServer, told: list[dict[str, Any]]) -> Executor:
    for name in ("gpt-4.1-nano", "gpt-4.1-mini", "gpt-4o"):
        server.set_scenario(
            name, {"text": f"answer of {name}", "by_content": [{"contains": "You are reviewing", "then": {}}]}
        )
    return Executor(
        "openai/gpt-4.1-mini",
        tiers=TIERS,
        tasks=TASKS,
        options={"api_base": server.base_url, "api_key": "sk-test"},
        telemetry=told.append,
    )


@pytest.mark.parametrize(
    ("context", "model", "tier"),
    [
        ({}, "openai/gpt-4.1-mini", None),
        ({"task_type": "summarize"}, "openai/gpt-4.1-nano", "cheap"),
        ({"task_type": "special"}, "openai/gpt-4o", None),
        ({"task_type": "unheard of"}, "openai/gpt-4.1-mini", None),
        ({"task_type": "summarize", "tier_hint": "capable"}, "openai/gpt-4.1-mini", "capable"),
        ({"task_type": "review"}, "composite/council/openai/gpt-4o", "premium"),
    ],
)
async def test_the_task_says_which_tier_and_the_tier_which_model(
    executor: Executor, context: dict[str, Any], model: str, tier: str | None
) -> None:
    answer = await executor.run("hello", ExecutionContext(**context))
    assert (answer.model_id, answer.tier, answer.provider) == (model, tier, model.split("/")[0])
    assert answer.content == f"answer of {model.rsplit('/', 1)[-1]}"
    assert answer.tokens_input > 0
    assert answer.tokens_output > 0
    assert answer.cost_estimate is not None
    assert answer.latency_ms > 0
    assert [attempt["status"] for attempt in answer.metadata["attempts"]] == ["ok"]


async def test_a_providers_own_tier_comes_before_the_general_one(executor: Executor) -> None:
    executor.models.tiers["openai/cheap"] = "openai/gpt-4o"  # type: ignore[index]
    hinted = ExecutionContext(tier_hint="cheap", provider_hint="openai")
    assert (await executor.run("hello", hinted)).model_id == "openai/gpt-4o"
    other = ExecutionContext(tier_hint="cheap", provider_hint="anthropic")
    assert (await executor.run("hello", other)).model_id == "openai/gpt-4.1-nano"


@pytest.mark.parametrize(
    "context",
    [
        {"tier_hint": "best"},
        {"metadata": {"retry_policy": {"num_retries": -1}}},
        {"metadata": {"retry_policy": "often"}},
        {"metadata": {"fallback_policy": {"models": 3}}},
        {"metadata": {"fallback_policy": ["task/unknown"]}},
    ],
)
async def test_a_tier_or_policy_that_cannot_be_used_is_told_before_anything_is_asked(
    executor: Executor, server: ThreadedServer, context: dict[str, Any]
) -> None:
    with pytest.raises(InvalidOption):
        await executor.run("hello", ExecutionContext(**context))
    assert server.ledger.as_list() == []


async def test_a_fallback_answers_and_the_attempts_say_so(executor: Executor, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4.1-nano", {"error": {"status": 400, "message": "secret sk-abcdefgh12345678"}})
    policy = {"fallback_policy": {"models": ["tier/capable", "openai/gpt-4o"]}}
    answer = await executor.run("hello", ExecutionContext(tier_hint="cheap", metadata=policy))
    assert answer.model_id == "openai/gpt-4.1-mini"
    failed, worked = answer.metadata["attempts"]
    assert (failed["model"], failed["status"], worked["status"]) == ("openai/gpt-4.1-nano", "failed", "ok")
    assert "abcdefgh12345678" not in str(failed)


async def test_when_all_fail_the_error_has_every_attempt(executor: Executor, server: ThreadedServer) -> None:
    for name in ("gpt-4.1-nano", "gpt-4.1-mini"):
        server.set_scenario(name, {"error": {"status": 401}})
    policy = {"fallback_policy": ["capable"]}
    with pytest.raises(AllProvidersFailedError, match=re.escape("openai/gpt-4.1-nano: ")) as caught:
        await executor.run("hello", ExecutionContext(tier_hint="cheap", metadata=policy))
    assert [attempt["model"] for attempt in caught.value.attempts] == ["openai/gpt-4.1-nano", "openai/gpt-4.1-mini"]


async def test_a_call_is_tried_again_where_that_may_help(server: ThreadedServer) -> None:
    def wait_no_longer(entry: dict[str, Any]) -> None:
        asyncio.get_running_loop().call_soon(put_clock_forward, 60)

    server.set_scenario(
        "gpt-4o", {"sequence": [{"error": {"status": 503}}, {"error": {"status": 503}}, {"text": "well"}]}
    )
    options = {"api_base": server.base_url, "api_key": "sk-test", "aggregator": {"num_retries": 0}}
    executor = Executor("openai/gpt-4o", options=options, telemetry=wait_no_longer)
    retried = ExecutionContext(metadata={"retry_policy": {"num_retries": 2}})
    answer = await executor.run("hello", retried)
    assert answer.content == "well"
    assert [attempt["status"] for attempt in answer.metadata["attempts"]] == ["failed", "failed", "ok"]
    server.set_scenario("gpt-4o", {"error": {"status": 400}})
    with pytest.raises(AllProvidersFailedError) as caught:
        await executor.run("hello", retried)
    assert len(caught.value.attempts) == 1


async def test_the_contexts_time_holds_for_all_attempts_together(executor: Executor, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4.1-nano", {"hang": True})
    with pytest.raises(AllProvidersFailedError, match=r"no answer within 0\.2 s"):
        await executor.run("hello", ExecutionContext(tier_hint="cheap", timeout_seconds=0.2))


async def test_telemetry_is_told_of_each_call_and_cannot_break_one(
    server: ThreadedServer, executor: Executor, told: list[dict[str, Any]]
) -> None:
    context = ExecutionContext(workflow_name="nightly", step_name="triage", task_type="summarize")
    await executor.run("hello", context)
    assert told[0]["kind"] == "call"
    assert (told[0]["workflow_name"], told[0]["step_name"], told[0]["model"]) == ("nightly", "triage", TIERS["cheap"])

    def broken(entry: dict[str, Any]) -> None:
        raise RuntimeError("disk full")

    options = {"api_base": server.base_url, "api_key": "sk-test"}
    assert (await Executor("openai/gpt-4o", options=options, telemetry=broken).run("hello")).content


async def test_a_composites_answer_carries_its_run_and_what_it_cost(executor: Executor) -> None:
    answer = await executor.run("hello", ExecutionContext(task_type="review"))
    assert answer.metadata["run_id"]
    assert answer.metadata["finish_reason"] == "stop"
    assert answer.cost_estimate == answer.metadata["attempts"][0]["cost_usd"]


async def test_what_the_application_registered_stays(server: ThreadedServer) -> None:
    import composite_llm

    server.set_scenario("gpt-4o", {"text": "by the profile"})
    nodes = {"model": "openai/gpt-4o", "proposers": ["openai/gpt-4o"]}
    composite_llm.register(config={"profiles": {"mine": {"strategy": "moa", **nodes}}})
    try:
        executor = Executor("composite/profile/mine", options={"api_base": server.base_url, "api_key": "sk-test"})
        await executor.run("x", model="openai/gpt-4o")
        assert (await executor.run("x")).content == "by the profile"
    finally:
        composite_llm.register(config={})
