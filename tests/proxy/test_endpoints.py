"""Every endpoint of the proxy, plain and streamed, with the official clients."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest

from fake_server import ThreadedServer
from tests.support import wire
from tests.support.clients import QUESTION, WAYS, Way
from tests.support.proxies import Proxy

every_way = pytest.mark.parametrize("way", WAYS, ids=str)
ways_with_tools = pytest.mark.parametrize("way", [way for way in WAYS if way.endpoint != "completions"], ids=str)
ANSWER = "The Caravan Bridge in Izmir."


@every_way
def test_every_endpoint_gives_the_final_models_text(proxy: Proxy, upstream: ThreadedServer, way: Way) -> None:
    upstream.set_scenario("gpt-4o", {"text": ANSWER})
    got = way.ask(proxy, "plain-moa")
    assert got.text == ANSWER
    assert got.stop in ("stop", "end_turn", "completed")
    assert sorted(map(str, wire.models(upstream))) == ["gpt-4.1-mini", "gpt-4o", "gpt-4o-mini"]


@pytest.mark.parametrize("way", [way for way in WAYS if str(way) != "completions-streamed"], ids=str)
def test_every_endpoint_gives_the_usage_of_the_whole_run(proxy: Proxy, upstream: ThreadedServer, way: Way) -> None:
    got = way.ask(proxy, "plain-moa")
    used = wire.tokens(upstream)
    assert (got.tokens_in, got.tokens_out) == (used["prompt_tokens"], used["completion_tokens"])


@pytest.mark.parametrize("way", [way for way in WAYS if str(way) != "completions-plain"], ids=str)
def test_the_deliberation_is_reasoning_at_every_endpoint_that_has_a_place_for_it(proxy: Proxy, way: Way) -> None:
    got = way.ask(proxy, "plain-moa")
    assert "Proposals" in got.reasoning
    assert "small" in got.reasoning
    assert "Proposals" not in got.text


@ways_with_tools
def test_tool_calls_reach_the_client_at_every_endpoint(proxy: Proxy, way: Way) -> None:
    got = way.ask(proxy, "agent", "How is the weather in Oslo?", tools=True)
    assert got.tools == [("weather", {"city": "Oslo"})]


@every_way
def test_a_failed_run_is_an_error_with_one_clear_line_and_nothing_from_inside(proxy: Proxy, way: Way) -> None:
    try:
        text = way.ask(proxy, "broken").error
    except (openai.APIError, anthropic.APIError) as error:
        text = str(error)
    assert text is not None
    assert "refused" in text
    for inside in ("INTERNAL-DETAIL", "10.0.0.7", "Traceback", "sk-upstream", ".py"):
        assert inside not in text
    # What LiteLLM's Router adds names what the client asked for.
    assert "\n" not in text.split("\n\nLiteLLM: ")[0].strip()


@pytest.mark.parametrize("endpoint", ["chat", "messages", "responses", "completions"])
def test_a_members_refusal_is_the_clients_400_and_not_its_own_key_being_wrong(proxy: Proxy, endpoint: str) -> None:
    with pytest.raises((openai.BadRequestError, anthropic.BadRequestError), match="refused"):
        Way(endpoint, streamed=False).ask(proxy, "broken")


_EFFORT: dict[str, dict[str, Any]] = {
    "chat": {"reasoning_effort": "low"},
    "messages": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
    "responses": {"reasoning": {"effort": "low"}},
}


@ways_with_tools
def test_the_clients_wish_for_reasoning_reaches_the_models_that_take_it_and_no_other(
    proxy: Proxy, upstream: ThreadedServer, way: Way
) -> None:
    got = way.ask(proxy, "thinking-moa", **_EFFORT[way.endpoint])
    assert got.text == "The oldest one."
    assert wire.body(upstream, "o3")["reasoning_effort"] == "low"
    assert "reasoning_effort" not in wire.body(upstream, "gpt-4o-mini")


@ways_with_tools
def test_the_final_models_own_reasoning_is_part_of_the_reasoning(proxy: Proxy, way: Way) -> None:
    assert "Let me think." in way.ask(proxy, "thinking-moa").reasoning


@pytest.mark.parametrize("streamed", [False, True])
def test_thinking_blocks_that_a_client_echoes_do_no_harm(
    proxy: Proxy, upstream: ThreadedServer, streamed: bool
) -> None:
    client: Any = proxy.anthropic()
    if streamed:
        with client.messages.stream(
            model="plain-moa", max_tokens=900, messages=[{"role": "user", "content": QUESTION}]
        ) as stream:
            first = stream.get_final_message()
    else:
        first = client.messages.create(
            model="plain-moa", max_tokens=900, messages=[{"role": "user", "content": QUESTION}]
        )
    # In a stream the bill follows the answer, as a block of its own.
    assert [block.type for block in first.content][:2] == ["thinking", "text"]
    upstream.ledger.clear()
    history: Any = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": [block.model_dump() for block in first.content]},
        {"role": "user", "content": "And the second oldest?"},
    ]
    second = client.messages.create(model="plain-moa", max_tokens=900, messages=history)
    assert second.content[-1].type == "text"
    sent = wire.signature(upstream)
    assert len(sent) == 3
    for text in sent:
        assert "thinking" not in text
        assert "reasoning_content" not in text
        assert "Proposals" not in text


def test_an_agents_tool_step_through_messages_deliberates_once(proxy: Proxy, upstream: ThreadedServer) -> None:
    client = proxy.anthropic()
    tools: Any = [{"name": "weather", "description": "Weather.", "input_schema": {"type": "object", "properties": {}}}]
    messages: list[Any] = [{"role": "user", "content": "How is the weather in Oslo, really?"}]
    first = client.messages.create(model="agent", max_tokens=900, tools=tools, messages=messages)
    (call,) = [block for block in first.content if block.type == "tool_use"]
    messages += [
        {"role": "assistant", "content": [block.model_dump() for block in first.content]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "4 degrees"}]},
    ]
    second = client.messages.create(model="agent", max_tokens=900, tools=tools, messages=messages)
    assert second.content[-1].model_dump()["text"] == "Take a coat."
    assert wire.models(upstream) == ["gpt-4o-mini", "calls-tools", "calls-tools"]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_degraded_run_says_so_to_a_program(proxy: Proxy, streamed: bool) -> None:
    chat: Any = proxy.openai().chat.completions
    request = {"model": "degraded", "messages": [{"role": "user", "content": QUESTION}]}
    if streamed:
        fields = [
            getattr(choice.delta, "provider_specific_fields", None) or {}
            for chunk in chat.create(**request, stream=True)
            for choice in chunk.choices
        ]
        found = [field["composite"] for field in fields if "composite" in field]
    else:
        found = [chat.create(**request).choices[0].message.provider_specific_fields["composite"]]
    assert len(found) == 1
    (reason,) = found[0]["degraded"]
    assert "refused" in reason
    assert "INTERNAL-DETAIL" not in reason


def test_a_request_with_a_misspelt_option_says_what_was_meant(proxy: Proxy) -> None:
    response = proxy.post(
        {"model": "plain-moa", "messages": [{"role": "user", "content": QUESTION}], "proposer": ["large"]}
    )
    assert response.status_code == 400
    assert "proposers" in response.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_where_a_failed_model_is_reaches_the_operators_log_and_no_client(
    proxy: Proxy, upstream: ThreadedServer, stream: bool
) -> None:
    upstream.set_scenario("private-broken-node", {"error": {"status": 500}})
    body = {"model": "private-broken", "messages": [{"role": "user", "content": f"Which? {stream}"}], "stream": stream}
    seen = len(proxy.log)
    told = proxy.post(body)
    endpoint = upstream.base_url.split("/")[2]
    line = next(line for line in proxy.log[seen:].splitlines() if "propose openai/private-broken-node:" in line)
    assert told.status_code == 200
    assert endpoint in line
    assert endpoint not in told.text
