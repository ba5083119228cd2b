"""Thinking final models that call tools: what they said goes back to them unchanged, and to nobody else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import litellm
import pytest

import composite_llm
from composite_llm.model.trace import Trace
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import KEY

HM, SIGNATURE = "I need the weather first.", "sig-of-the-first-step"
QUESTION = {"role": "user", "content": "What is the weather in Oslo?"}
FURTHER = {"role": "user", "content": "And do I need a coat?"}
ANSWER = "Four degrees."
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]
THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4000}
CALL = {"name": "weather", "arguments": {"city": "Oslo"}}


def reasoning_of(body: dict[str, Any]) -> list[Any]:
    """What the tool steps of a request in OpenAI's form came with."""
    return [message.get("reasoning_content") for message in body["messages"] if message.get("tool_calls")]


def named_reasoning_of(body: dict[str, Any]) -> list[Any]:
    return [message.get("reasoning") for message in body["messages"] if message.get("tool_calls")]


def thinking_of(body: dict[str, Any]) -> list[Any]:
    """The same in Anthropic's form."""
    blocks = [part for message in body["messages"] if message["role"] == "assistant" for part in message["content"]]
    return [(part.get("thinking"), part.get("signature")) for part in blocks if part["type"] == "thinking"]


def blocks_of(body: dict[str, Any]) -> list[Any]:
    """The same of a gateway to Claude in OpenAI's form."""
    messages = [message for message in body["messages"] if message.get("tool_calls")]
    return [(b["thinking"], b["signature"]) for message in messages for b in message.get("thinking_blocks") or ()]


def signatures_of(body: dict[str, Any]) -> list[Any]:
    """Thought signatures in Gemini's form, or in Google's endpoint in OpenAI's form."""
    if "contents" in body:
        parts = [part for content in body["contents"] for part in content["parts"]]
        return [part.get("thoughtSignature") for part in parts if {"functionCall", "function_call"} & set(part)]
    calls = [call for message in body["messages"] for call in message.get("tool_calls") or ()]
    return [((call.get("extra_content") or {}).get("google") or {}).get("thought_signature") for call in calls]


def sealed_of(body: dict[str, Any]) -> list[Any]:
    """The same in the form of OpenAI's Responses."""
    items = [item for item in body["input"] if item.get("type") == "reasoning"]
    return [(item["summary"][0]["text"], item["encrypted_content"]) for item in items]


@dataclass(frozen=True)
class Thinker:
    """A thinking model behind LiteLLM.

    Attributes:
        model: LiteLLM's model string.
        upstream: How the fake server knows it.
        says: What it says beside its tool call.
        call: What it says on the call itself.
        rules: What its provider refuses.
        params: Of the call.
        base: Where its endpoint is, at the fake server.
        given_back: What of a request went back to it.
        expected: What it had said, so.
        every_turn: Whether its provider wants that in later user turns too.
    """

    model: str
    upstream: str
    says: dict[str, Any] = field(default_factory=lambda: {"reasoning": HM})
    call: dict[str, Any] = field(default_factory=dict)
    rules: tuple[str, ...] = ("deepseek_reasoning",)
    params: dict[str, Any] = field(default_factory=dict)
    base: Callable[[ThreadedServer], str] = lambda server: server.base_url
    given_back: Callable[[dict[str, Any]], list[Any]] = reasoning_of
    expected: Any = HM
    every_turn: bool = True

    def script(self, server: ThreadedServer, **more: Any) -> None:
        step = {**self.says, "tool_calls": [{**CALL, **self.call}]}
        says = [step, {"text": ANSWER}, {"text": "Yes."}]
        server.set_scenario(self.upstream, {"says": says, "rules": [*self.rules], **more})


THINKERS = {
    "DeepSeek": Thinker("deepseek/deepseek-reasoner", "deepseek-reasoner"),
    "Kimi": Thinker("moonshot/kimi-k2-thinking", "kimi-k2-thinking", rules=("kimi_reasoning",)),
    "vLLM": Thinker("hosted_vllm/glm", "glm"),
    "newer vLLM": Thinker("hosted_vllm/glm", "glm", {"reasoning": HM, "reasoning_field": "reasoning"}),
    "any server": Thinker("openai/local-thinker", "local-thinker"),
    "thoughts in the answer": Thinker("openai/local-thinker", "local-thinker", {"text": f"<think>{HM}</think>\n\n"}),
    "OpenRouter": Thinker(
        "openrouter/x/thinker",
        "x/thinker",
        {"reasoning": HM, "reasoning_field": "reasoning"},
        given_back=named_reasoning_of,
    ),
    "Claude": Thinker(
        "anthropic/claude-sonnet-4-5",
        "claude-sonnet-4-5",
        {"reasoning": HM, "thinking_signature": SIGNATURE, "text": "Let me look."},
        rules=("anthropic_signatures",),
        params=THINKING,
        base=lambda server: server.url,
        given_back=thinking_of,
        expected=(HM, SIGNATURE),
        every_turn=False,
    ),
    "Claude behind a gateway": Thinker(
        "litellm_proxy/claude",
        "claude",
        {"reasoning": HM, "thinking_signature": SIGNATURE},
        rules=("anthropic_signatures",),
        params=THINKING,
        given_back=blocks_of,
        expected=(HM, SIGNATURE),
        every_turn=False,
    ),
    "OpenAI's Responses": Thinker(
        "openai/responses/gpt-5",
        "gpt-5",
        {"reasoning": HM, "thinking_signature": SIGNATURE},
        rules=(),
        given_back=sealed_of,
        expected=(HM, SIGNATURE),
        every_turn=False,
    ),
    "Gemini": Thinker(
        "gemini/gemini-3-pro-preview",
        "gemini-3-pro-preview",
        call={"signature": SIGNATURE},
        rules=("gemini_signatures",),
        base=lambda server: f"{server.url}/v1beta",
        given_back=signatures_of,
        expected=SIGNATURE,
        every_turn=False,
    ),
    "Gemini in OpenAI's form": Thinker(
        "openai/gemini-3-pro",
        "gemini-3-pro",
        {},
        call={"signature": SIGNATURE},
        rules=("gemini_signatures",),
        given_back=signatures_of,
        expected=SIGNATURE,
        every_turn=False,
    ),
}
# LiteLLM puts plain dictionaries into a message object that is sent back, and warns of them itself.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
every_thinker = pytest.mark.parametrize("thinker", THINKERS.values(), ids=THINKERS.keys())
of_reasoning = pytest.mark.parametrize(
    "thinker", [THINKERS[name] for name in ("DeepSeek", "vLLM", "any server")], ids=["DeepSeek", "vLLM", "any server"]
)
BOTH = pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])


@pytest.fixture(autouse=True)
def nothing_learnt(server: ThreadedServer) -> Iterator[None]:
    """What one test's endpoints asked for is not known to the next."""
    from composite_llm import runtime

    runtime._endpoint_refusals.reset()
    yield
    runtime._endpoint_refusals.reset()


def forget_all() -> None:
    """As after a restart, or in another replica that shares no cache."""
    from composite_llm import runtime

    memory = runtime._tool_turns._memory
    memory._entries.clear()
    memory._characters = 0


def options(thinker: Thinker, server: ThreadedServer, strategy: str = "moa", **more: Any) -> dict[str, Any]:
    member = {"model": "openai/gpt-4o-mini", "api_base": server.base_url, "api_key": KEY}
    members = {"proposers": [member]} if strategy == "moa" else {"members": [member, {**member, "name": "second"}]}
    return {
        "model": f"composite/{strategy}/{thinker.model}",
        "api_base": thinker.base(server),
        "api_key": KEY,
        "tools": TOOLS,
        **members,
        **thinker.params,
        **more,
    }


def ask(messages: list[Any], streams: bool, **request: Any) -> tuple[Any, Trace]:
    """One step: the message as the caller gets it, put together if it was streamed."""
    answer: Any = litellm.completion(messages=messages, stream=streams, **request)
    if streams:
        chunks = list(answer)
        built: Any = litellm.stream_chunk_builder(chunks, messages=messages)
        return built.choices[0].message, composite_llm.get_trace(answer)
    return answer.choices[0].message, composite_llm.get_trace(answer)


def results(message: Any) -> list[dict[str, Any]]:
    return [{"role": "tool", "tool_call_id": call.id, "content": "4"} for call in message.tool_calls]


def two_steps(streams: bool, echo: Callable[[Any], Any] = lambda message: message, **request: Any) -> Any:
    """The caller's own loop: the conversation until the answer, and the trace of the second step."""
    first, _ = ask([QUESTION], streams, **request)
    conversation = [QUESTION, echo(first), *results(first)]
    second, trace = ask(conversation, streams, **request)
    return [*conversation, {"role": "assistant", "content": second.content}], trace


def last_body(server: ThreadedServer, thinker: Thinker) -> dict[str, Any]:
    body: dict[str, Any] = wire.records(server, thinker.upstream)[-1].body
    return body


def assert_nobody_else_saw_it(server: ThreadedServer, *upstream: str) -> None:
    for record in server.ledger.records:
        if record.model not in upstream:
            assert HM not in json.dumps(record.body)
            assert SIGNATURE not in json.dumps(record.body)


@every_thinker
@BOTH
@pytest.mark.parametrize(
    "echo",
    [
        pytest.param(lambda message: message, id="object"),
        pytest.param(lambda message: message.model_dump(), id="dumped"),
        pytest.param(
            lambda message: {
                "role": "assistant",
                "content": message.content,
                "tool_calls": [
                    {"id": call.id, "type": "function", "function": call.function.model_dump()}
                    for call in message.tool_calls
                ],
            },
            id="what OpenAI documents",
        ),
    ],
)
def test_the_step_with_the_tools_result_is_answered(
    thinker: Thinker, streams: bool, echo: Callable[[Any], Any], server: ThreadedServer
) -> None:
    thinker.script(server)
    conversation, trace = two_steps(streams, echo, **options(thinker, server))
    assert conversation[-1]["content"] == ANSWER
    assert trace.degraded == []
    assert thinker.given_back(last_body(server, thinker)) == [thinker.expected]
    assert_nobody_else_saw_it(server, thinker.upstream)


@every_thinker
@BOTH
def test_tools_that_the_run_executes_itself_too(thinker: Thinker, streams: bool, server: ThreadedServer) -> None:
    thinker.script(server)
    executor = {"weather": lambda city: "4"}
    message, trace = ask([QUESTION], streams, **options(thinker, server, tool_executor=executor))
    assert message.content.endswith(ANSWER)
    assert (trace.degraded, len(trace.tool_calls)) == ([], 1)
    assert thinker.given_back(last_body(server, thinker)) == [thinker.expected]
    assert_nobody_else_saw_it(server, thinker.upstream)


@every_thinker
@BOTH
def test_a_councils_chairman_too(thinker: Thinker, streams: bool, server: ThreadedServer) -> None:
    thinker.script(server)
    conversation, _ = two_steps(streams, **options(thinker, server, "council"))
    assert conversation[-1]["content"] == ANSWER
    assert thinker.given_back(last_body(server, thinker)) == [thinker.expected]
    assert_nobody_else_saw_it(server, thinker.upstream)


@every_thinker
@BOTH
def test_and_when_users_are_shown_no_reasoning(thinker: Thinker, streams: bool, server: ThreadedServer) -> None:
    thinker.script(server)
    request = options(thinker, server, reasoning="off")
    first, _ = ask([QUESTION], streams, **request)
    assert HM not in json.dumps(first.model_dump())
    second, trace = ask([QUESTION, first, *results(first)], streams, **request)
    assert (second.content, trace.degraded) == (ANSWER, [])
    assert thinker.given_back(last_body(server, thinker)) == [thinker.expected]


@every_thinker
@BOTH
def test_the_next_user_turn_is_answered_and_brings_back_what_the_provider_wants(
    thinker: Thinker, streams: bool, server: ThreadedServer
) -> None:
    thinker.script(server)
    request = options(thinker, server)
    conversation, _ = two_steps(streams, **request)
    answer, trace = ask([*conversation, FURTHER], streams, **request)
    assert (answer.content, trace.degraded) == ("Yes.", [])
    found = [item for item in thinker.given_back(last_body(server, thinker)) if item is not None]
    if thinker.every_turn:
        assert found == [thinker.expected]
    elif thinker.model.startswith("gemini/"):
        # LiteLLM carries the signature in the call's id, which is the conversation's own.
        assert found == [SIGNATURE]
    else:
        assert found == []
    assert_nobody_else_saw_it(server, thinker.upstream)


@BOTH
def test_a_server_that_asks_for_earlier_turns_is_asked_twice_once(streams: bool, server: ThreadedServer) -> None:
    thinker = THINKERS["any server"]
    thinker.script(server)
    request = options(thinker, server)
    conversation, _ = two_steps(streams, **request)
    for expected in (2, 1):
        _, trace = ask([*conversation, FURTHER], streams, **request)
        assert len(trace.calls[-1].attempts) == expected


@of_reasoning
@BOTH
def test_nothing_but_what_the_model_itself_said_goes_back(
    thinker: Thinker, streams: bool, server: ThreadedServer
) -> None:
    """The summary names models, prices and failures, and a caller sends it back as `reasoning_content`."""
    thinker.script(server)
    request = options(thinker, server, reasoning="full")
    first, _ = ask([QUESTION], streams, **request)
    assert "Proposals" in first.reasoning_content
    ask([QUESTION, first, *results(first)], streams, **request)
    assert thinker.given_back(last_body(server, thinker)) == [HM]
    assert all("Proposals" not in json.dumps(record.body["messages"]) for record in server.ledger.records)


# --- when it is no longer kept --------------------------------------------------------------------------------------


def bare(message: Any) -> dict[str, Any]:
    """What some frameworks keep of a message."""
    kept: dict[str, Any] = message.model_dump()
    return {name: kept[name] for name in ("role", "content", "tool_calls")}


@every_thinker
@BOTH
@pytest.mark.parametrize("echo", [bare, lambda message: message.model_dump()], ids=["bare", "whole"])
@pytest.mark.parametrize("reasoning", ["summary", "off"])
def test_after_a_restart_the_step_is_answered_all_the_same(
    thinker: Thinker, streams: bool, echo: Callable[[Any], Any], reasoning: str, server: ThreadedServer
) -> None:
    thinker.script(server)
    request = options(thinker, server, reasoning=reasoning)
    first, _ = ask([QUESTION], streams, **request)
    forget_all()
    second, trace = ask([QUESTION, echo(first), *results(first)], streams, **request)
    assert second.content == ANSWER
    assert set(trace.degraded_codes) <= {"reasoning_lost"}
    found = thinker.given_back(last_body(server, thinker))
    # OpenAI makes do without.
    lost = trace.degraded_codes == ["reasoning_lost"] or not (thinker.rules or found)
    assert found == [thinker.expected] or lost
    assert_nobody_else_saw_it(server, thinker.upstream)
    assert "Proposals" not in json.dumps(last_body(server, thinker))


@of_reasoning
@BOTH
def test_what_the_caller_sends_back_under_our_heading_is_used_then(
    thinker: Thinker, streams: bool, server: ThreadedServer
) -> None:
    thinker.script(server)
    request = options(thinker, server)
    first, _ = ask([QUESTION], streams, **request)
    forget_all()
    _, trace = ask([QUESTION, first, *results(first)], streams, **request)
    assert thinker.given_back(last_body(server, thinker)) == [HM]
    assert trace.degraded_codes == ["reasoning_lost"]


@of_reasoning
@BOTH
def test_else_a_sentence_stands_in_its_place(thinker: Thinker, streams: bool, server: ThreadedServer) -> None:
    thinker.script(server)
    request = options(thinker, server)
    first, _ = ask([QUESTION], streams, **request)
    forget_all()
    _, trace = ask([QUESTION, bare(first), *results(first)], streams, **request)
    (stand_in,) = thinker.given_back(last_body(server, thinker))
    assert "no longer available" in stand_in
    assert trace.degraded_codes == ["reasoning_lost"]


@BOTH
def test_claude_is_asked_without_thinking_then(streams: bool, server: ThreadedServer) -> None:
    thinker = THINKERS["Claude"]
    thinker.script(server)
    request = options(thinker, server)
    first, _ = ask([QUESTION], streams, **request)
    assert last_body(server, thinker)["thinking"]["type"] == "enabled"
    forget_all()
    ask([QUESTION, bare(first), *results(first)], streams, **request)
    assert "thinking" not in last_body(server, thinker)


@pytest.mark.parametrize("change", [{"signature": "forged"}, {"thinking": "I thought something else."}], ids=str)
def test_blocks_that_the_provider_does_not_know_are_left_out_on_the_second_try(
    change: dict[str, str], server: ThreadedServer
) -> None:
    thinker = THINKERS["Claude"]
    thinker.script(server)
    request = options(thinker, server)
    first, _ = ask([QUESTION], False, **request)
    echo = first.model_dump()
    echo["thinking_blocks"][0] |= change
    forget_all()
    second, trace = ask([QUESTION, echo, *results(first)], False, **request)
    assert (second.content, trace.degraded_codes) == (ANSWER, ["reasoning_lost"])
    assert len(trace.calls[-1].attempts) == 2
    # It says nothing about the next conversation.
    thinker.script(server)
    _, trace = two_steps(False, **request)
    assert trace.degraded == []
    assert thinking_of(last_body(server, thinker)) == [(HM, SIGNATURE)]


def test_tool_calls_and_results_are_sent_as_text_where_nothing_else_is_taken(server: ThreadedServer) -> None:
    refusal = {"error": {"status": 400, "message": "reasoning_content is missing in assistant message 1"}}
    thinker = THINKERS["any server"]
    first = {"tool_calls": [{**CALL, "id": "call_1"}], "reasoning": HM}
    server.set_scenario(thinker.upstream, {"sequence": [first, refusal, refusal, {"text": ANSWER}]})
    conversation, trace = two_steps(False, **options(thinker, server))
    assert conversation[-1]["content"] == ANSWER
    roles = [message["role"] for message in last_body(server, thinker)["messages"]]
    assert roles == ["user", "user", "assistant", "user"]
    assert '[called weather with {"city":"Oslo"}]' in str(last_body(server, thinker)["messages"])
    assert trace.degraded_codes == ["reasoning_lost"]


@BOTH
def test_a_server_that_refuses_the_field_gets_none(streams: bool, server: ThreadedServer) -> None:
    refusal = {"error": {"status": 400, "message": "'messages.1' : property 'reasoning_content' is unsupported"}}
    thinker = THINKERS["any server"]
    first = {"tool_calls": [CALL], "reasoning": HM}
    server.set_scenario(thinker.upstream, {"sequence": [first, refusal, {"text": ANSWER}, first, {"text": ANSWER}]})
    request = options(thinker, server)
    for attempts in (2, 1):
        conversation, trace = two_steps(streams, **request)
        assert conversation[-1]["content"] == ANSWER
        assert len(trace.calls[-1].attempts) == attempts
        assert reasoning_of(last_body(server, thinker)) == [None]


class RedisCache:
    """Stands in for LiteLLM's cache of this name, which other replicas share; the real one has a test of its own."""

    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}
        self.ttls: list[int] = []

    async def async_get_cache(self, key: str) -> Any:
        return self.entries.get(key)

    async def async_set_cache(self, key: str, value: Any, ttl: int) -> None:
        self.entries[key] = value
        self.ttls.append(ttl)


@every_thinker
@BOTH
def test_another_replica_finds_it_in_the_cache_they_share(
    thinker: Thinker, streams: bool, server: ThreadedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = RedisCache()
    monkeypatch.setattr(litellm, "cache", SimpleNamespace(cache=shared, supported_call_types=[]))
    thinker.script(server)
    request = options(thinker, server, reasoning="off")
    first, _ = ask([QUESTION], streams, **request)
    forget_all()
    second, trace = ask([QUESTION, bare(first), *results(first)], streams, **request)
    assert (second.content, trace.degraded) == (ANSWER, [])
    assert thinker.given_back(last_body(server, thinker)) == [thinker.expected]
    assert all(0 < ttl <= 86_400 for ttl in shared.ttls)


@pytest.mark.parametrize("damage", ["", "{}", '{"origin": "x"', "5", b"\xff", None], ids=str)
def test_nobody_trusts_what_is_in_it(damage: Any, server: ThreadedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = RedisCache()
    monkeypatch.setattr(litellm, "cache", SimpleNamespace(cache=shared, supported_call_types=[]))
    thinker = THINKERS["any server"]
    thinker.script(server)
    request = options(thinker, server)
    first, _ = ask([QUESTION], False, **request)
    forget_all()
    shared.entries = dict.fromkeys(shared.entries, damage)
    second, _ = ask([QUESTION, bare(first), *results(first)], False, **request)
    assert second.content == ANSWER


# --- whose it is -----------------------------------------------------------------------------------------------------


@every_thinker
@BOTH
def test_another_final_model_in_the_midst_of_the_turn_gets_none_of_it(
    thinker: Thinker, streams: bool, server: ThreadedServer
) -> None:
    thinker.script(server)
    request = options(thinker, server)
    first, _ = ask([QUESTION], streams, **request)
    server.set_scenario("gpt-4o", {"text": ANSWER})
    other = {**request, "model": "composite/moa/openai/gpt-4o", "api_base": server.base_url}
    for name in thinker.params:
        other.pop(name)
    second, trace = ask([QUESTION, first, *results(first)], streams, **other)
    assert (second.content, trace.degraded) == (ANSWER, [])
    assert_nobody_else_saw_it(server, thinker.upstream)


@BOTH
def test_nor_does_the_same_name_at_another_endpoint(streams: bool, server: ThreadedServer) -> None:
    thinker = THINKERS["any server"]
    thinker.script(server)
    request = options(thinker, server)
    first, _ = ask([QUESTION], streams, **request)
    with_port = server.base_url.replace("127.0.0.1", "localhost")
    second, trace = ask([QUESTION, first, *results(first)], streams, **{**request, "api_base": with_port})
    assert second.content == ANSWER
    assert HM not in json.dumps(last_body(server, thinker))
    assert trace.degraded_codes == ["reasoning_lost"]


@every_thinker
@BOTH
@pytest.mark.parametrize("executes", [False, True], ids=["caller's loop", "tool_executor"])
def test_a_fallback_of_another_provider_gets_none_of_it(
    thinker: Thinker, streams: bool, executes: bool, server: ThreadedServer
) -> None:
    step = {**thinker.says, "tool_calls": [{**CALL, **thinker.call}]}
    server.set_scenario(thinker.upstream, {"sequence": [step, {"error": {"status": 401}}]})
    server.set_scenario("backup", {"text": ANSWER})
    backup = {"model": "openai/backup", "api_base": server.base_url, "api_key": KEY}
    request = options(thinker, server, aggregator={"fallbacks": [backup]})
    if executes:
        message, trace = ask([QUESTION], streams, tool_executor={"weather": lambda city: "4"}, **request)
    else:
        first, _ = ask([QUESTION], streams, **request)
        message, trace = ask([QUESTION, first, *results(first)], streams, **request)
    assert message.content.endswith(ANSWER)
    assert trace.degraded_codes == ["fallback_used"]
    assert_nobody_else_saw_it(server, thinker.upstream)


@of_reasoning
@BOTH
@pytest.mark.parametrize("executes", [False, True], ids=["caller's loop", "tool_executor"])
def test_what_a_fallback_said_goes_back_to_it_and_not_to_the_node_before_it(
    thinker: Thinker, streams: bool, executes: bool, server: ThreadedServer
) -> None:
    thinker.script(server)
    server.set_scenario("gpt-4o", {"sequence": [{"error": {"status": 401}}, {"error": {"status": 401}}]})
    backup = {"model": thinker.model, "api_base": thinker.base(server), "api_key": KEY}
    request = options(thinker, server, model="composite/moa/openai/gpt-4o", aggregator={"fallbacks": [backup]})
    if executes:
        message, _ = ask([QUESTION], streams, tool_executor={"weather": lambda city: "4"}, **request)
    else:
        conversation, _ = two_steps(streams, **request)
        message = conversation[-1]
    assert (message["content"] if isinstance(message, dict) else message.content) == ANSWER
    assert thinker.given_back(last_body(server, thinker)) == [HM]
    assert len(wire.records(server, "gpt-4o")) == 2
    assert_nobody_else_saw_it(server, thinker.upstream)


def test_callers_never_share_it_and_conversations_with_the_same_ids_do_not_either(server: ThreadedServer) -> None:
    """Kimi counts its calls: every conversation's first is `functions.weather:0`."""
    thinker = THINKERS["Kimi"]
    request = options(thinker, server)
    firsts = []
    for who, thought in (("ann", "Ann lives in Oslo."), ("bob", "Bob lives in Oslo.")):
        says = [{"reasoning": thought, "tool_calls": [{**CALL, "id": "functions.weather:0"}]}]
        server.set_scenario(thinker.upstream, {"says": says})
        history = [{"role": "system", "content": f"You help {who}."}, QUESTION]
        firsts.append((thought, history, ask(history, False, **request)[0]))
    server.set_scenario(thinker.upstream, {"text": ANSWER})
    for thought, history, first in firsts:
        ask([*history, bare(first), *results(first)], False, **request)
        assert reasoning_of(last_body(server, thinker)) == [thought]
    _, history, first = firsts[0]
    other = {"user_api_key_hash": "somebody-else"}
    ask([*history, bare(first), *results(first)], False, metadata=other, **request)
    assert "Ann lives" not in json.dumps(last_body(server, thinker))


@every_thinker
@BOTH
@pytest.mark.parametrize("executes", [False, True], ids=["caller's loop", "tool_executor"])
def test_a_composite_as_final_node_gives_it_to_its_own_final_model(
    thinker: Thinker, streams: bool, executes: bool, server: ThreadedServer
) -> None:
    thinker.script(server)
    outer = options(thinker, server)
    inner = {"proposers": outer["proposers"], "api_base": outer.pop("api_base"), "api_key": outer.pop("api_key")}
    request = {**outer, "model": f"composite/moa/{outer['model']}", "aggregator": inner}
    if executes:
        message, trace = ask([QUESTION], streams, tool_executor={"weather": lambda city: "4"}, **request)
        assert message.content.endswith(ANSWER)
    else:
        conversation, trace = two_steps(streams, **request)
        assert conversation[-1]["content"] == ANSWER
    assert trace.degraded == []
    assert thinker.given_back(last_body(server, thinker)) == [thinker.expected]
    assert_nobody_else_saw_it(server, thinker.upstream)


@pytest.fixture
def routed(server: ThreadedServer) -> Iterator[Callable[..., None]]:
    """Registers a Router with one name and what answers behind it."""
    from composite_llm import runtime

    def made(model: str, **settings: Any) -> None:
        deployment = {"model_name": "routed", "litellm_params": {"model": model, **settings}}
        composite_llm.register(config={}, router=litellm.Router(model_list=[deployment], num_retries=0))

    before = {name: dict(row) for name, row in litellm.model_cost.items()}
    yield made
    runtime.use_router(None)
    litellm.model_cost.clear()
    litellm.model_cost.update(before)
    litellm.register_model({})


@every_thinker
@BOTH
def test_a_routers_name_too(
    thinker: Thinker, streams: bool, routed: Callable[..., None], server: ThreadedServer
) -> None:
    routed(thinker.model, api_base=thinker.base(server), api_key=KEY)
    thinker.script(server)
    request = options(thinker, server, model="composite/moa/routed")
    for name in ("api_base", "api_key"):
        request.pop(name)
    conversation, trace = two_steps(streams, **request)
    assert conversation[-1]["content"] == ANSWER
    if streams and thinker.given_back is blocks_of:
        # LiteLLM loses a gateway's blocks in streams, and a Router's cannot be looked into.
        assert trace.degraded_codes == ["reasoning_lost"]
    else:
        assert trace.degraded == []
        assert thinker.given_back(last_body(server, thinker)) == [thinker.expected]


@every_thinker
@BOTH
def test_a_composite_that_litellm_leads_back_to_us(
    thinker: Thinker, streams: bool, routed: Callable[..., None], server: ThreadedServer
) -> None:
    inner = options(thinker, server)
    kept = {name: inner[name] for name in ("api_base", "api_key", "proposers")}
    routed(inner["model"], **kept)
    thinker.script(server)
    request = {**inner, "model": "composite/moa/routed"}
    for name in ("api_base", "api_key"):
        request.pop(name)
    conversation, _ = two_steps(streams, **request)
    assert conversation[-1]["content"] == ANSWER
    assert thinker.given_back(last_body(server, thinker)) == [thinker.expected]
    assert_nobody_else_saw_it(server, thinker.upstream)


def test_another_models_step_before_claudes_makes_it_answer_without_thinking(server: ThreadedServer) -> None:
    thinker = THINKERS["Claude"]
    server.set_scenario("gpt-4o", {"says": [{"tool_calls": [CALL]}]})
    server.set_scenario(thinker.upstream, {"text": ANSWER, "rules": [*thinker.rules]})
    request = options(thinker, server)
    other = {**request, "model": "composite/moa/openai/gpt-4o", "api_base": server.base_url}
    first, _ = ask([QUESTION], False, **{name: value for name, value in other.items() if name not in THINKING})
    second, trace = ask([QUESTION, first, *results(first)], False, **request)
    assert second.content == ANSWER
    assert "another model's" in trace.degraded[0]


def test_a_step_in_which_claude_did_not_think_stays_as_it_is(server: ThreadedServer) -> None:
    thinker = THINKERS["Claude"]
    server.set_scenario(thinker.upstream, {"says": [{"tool_calls": [CALL]}, {"text": ANSWER}]})
    conversation, trace = two_steps(False, **options(thinker, server))
    assert (conversation[-1]["content"], trace.degraded) == (ANSWER, [])
    assert last_body(server, thinker)["thinking"]["type"] == "enabled"


def test_a_thinking_members_reasoning_is_nobodys(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": "advice", "reasoning": HM})
    server.set_scenario("gpt-4o", {"says": [{"tool_calls": [CALL]}, {"text": ANSWER}]})
    request = options(Thinker("openai/gpt-4o", "gpt-4o"), server)
    conversation, trace = two_steps(False, **request)
    assert (conversation[-1]["content"], trace.degraded) == (ANSWER, [])
    assert all(HM not in json.dumps(record.body) for record in server.ledger.records)


def test_members_on_the_final_models_own_model_are_shown_none_of_it(server: ThreadedServer) -> None:
    thinker = THINKERS["any server"]
    step = {**thinker.says, "tool_calls": [CALL]}
    advises = {"contains": "advising the assistant", "then": {"text": "advice"}}
    server.set_scenario(thinker.upstream, {"by_content": [advises], "sequence": [step, {"text": ANSWER}]})
    request = options(thinker, server, fanout="every_call")
    request.pop("proposers")
    conversation, _ = two_steps(False, **request)
    assert conversation[-1]["content"] == ANSWER
    bodies = [json.dumps(record.body) for record in wire.records(server, thinker.upstream)]
    advisors = [body for body in bodies if "advising the assistant" in body]
    assert len(advisors) == 6
    assert all(HM not in body for body in advisors)


def test_several_steps_of_one_turn_each_keep_their_own(server: ThreadedServer) -> None:
    thinker = THINKERS["DeepSeek"]
    steps = [{"reasoning": f"Thought {n}.", "tool_calls": [{**CALL, "id": "call_0"}]} for n in (1, 2, 3)]
    server.set_scenario(thinker.upstream, {"says": [*steps, {"text": ANSWER}], "rules": [*thinker.rules]})
    request = options(thinker, server)
    for executor in ({}, {"tool_executor": {"weather": lambda city: "4"}}):
        server.set_scenario(thinker.upstream, {"says": [*steps, {"text": ANSWER}], "rules": [*thinker.rules]})
        conversation: list[Any] = [QUESTION]
        while True:
            message, _ = ask(conversation, False, **request, **executor)
            if not message.tool_calls:
                break
            conversation += [message, *results(message)]
        assert message.content == ANSWER
        assert reasoning_of(last_body(server, thinker)) == ["Thought 1.", "Thought 2.", "Thought 3."]
