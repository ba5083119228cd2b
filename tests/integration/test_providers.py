"""Every provider that the project names, through LiteLLM's real adapter, as member, reviewer and final model."""

from __future__ import annotations

import asyncio
import itertools
from importlib.metadata import version
from typing import Any

import litellm
import pytest

import composite_llm
from fake_server import ThreadedServer
from tests.support.asking import FINAL, KEY, SECOND, Ask, at
from tests.support.providers import PROVIDERS, Provider

# LiteLLM puts the usage of a stream of Responses in another form than its own types say.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
COUNTS = {"prompt_tokens": 100, "completion_tokens": 20}
ROLES = {
    "member": ("proposers", "proposer"),
    "reviewer": ("reviewers", "reviewer"),
    "final": ("aggregator", "aggregator"),
}
_number = itertools.count()
OLD = tuple(int(part) for part in version("litellm").split(".")[:2]) < (1, 100)
OLLAMA = {"ollama", "ollama_chat"}


def skip_if_old(found: bool, what: str) -> None:
    """LiteLLM 1.94's own adapters, not ours to mend."""
    if OLD and found:
        pytest.skip(f"LiteLLM 1.94 {what}")


each_provider = pytest.mark.parametrize("name", PROVIDERS)
plain_and_streamed = pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])


def request_for(role: str, provider: Provider, server: ThreadedServer) -> dict[str, Any]:
    """A run in which the provider has this role, and OpenAI's models all others."""
    node = provider.at(server, num_retries=0)
    connection = {"api_base": server.base_url, "api_key": KEY}
    # A repeated request may use what its failed predecessor was answered, so each is new.
    messages = [{"role": "user", "content": f"Which bridge is the oldest? ({next(_number)})"}]
    if role == "final":
        final = {key: value for key, value in node.items() if key != "model"}
        members = [at(server, SECOND)]
        return {
            "model": f"composite/moa/{provider.model}",
            "proposers": members,
            "aggregator": final,
            "messages": messages,
        }
    if role == "reviewer":
        members = [at(server, SECOND), at(server, "openai/gpt-4.1-nano")]
        nodes = {"members": members, "reviewers": [node]}
        return {"model": f"composite/council/{FINAL}", **nodes, "messages": messages, **connection}
    return {"model": f"composite/moa/{FINAL}", "proposers": [node], "messages": messages, **connection}


def asked(role: str, provider: Provider, server: ThreadedServer, *, streamed: bool, **more: Any) -> tuple[str, Any]:
    """The answer's text and the run's trace."""
    answer = litellm.completion(**request_for(role, provider, server), stream=streamed, **more)
    if not streamed:
        return answer.choices[0].message.content, composite_llm.get_trace(answer)
    chunks = list(answer)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    return text, composite_llm.get_trace(answer)


def the_call(trace: Any, role: str, provider: Provider) -> Any:
    (call,) = [call for call in trace.calls if call.model == provider.model and call.role == ROLES[role][1]]
    return call


def expected_cost(provider: Provider) -> float | None:
    if provider.price == "table":
        return sum(litellm.cost_per_token(model=provider.listed, **COUNTS))
    return 0.0 if provider.price == "free" else None


@each_provider
@pytest.mark.parametrize("role", ROLES)
@plain_and_streamed
def test_texts_tokens_and_cost(name: str, role: str, streamed: bool, server: ThreadedServer) -> None:
    provider = PROVIDERS[name]
    said = '{"ranking": ["Response A", "Response B"], "reviews": {}}' if role == "reviewer" else "The one in the wood."
    server.set_scenario(provider.served_as, provider.says(text=said, usage=COUNTS))
    text, trace = asked(role, provider, server, streamed=streamed)
    call = the_call(trace, role, provider)
    assert (call.status, call.content) == ("ok", said)
    assert (call.usage.prompt_tokens, call.usage.completion_tokens) == (100, 20)
    assert call.cost_usd == pytest.approx(expected_cost(provider))
    if role == "final":
        assert text == said
    if role == "reviewer":
        assert len(trace.ranking.ballots) == 1


@each_provider
@plain_and_streamed
def test_thinking_is_apart_from_the_answer(name: str, streamed: bool, server: ThreadedServer) -> None:
    skip_if_old(name == "ollama", "loses what it thinks")
    provider = PROVIDERS[name]
    server.set_scenario(provider.served_as, provider.says(reasoning="Older than stone?", text="The one in the wood."))
    request = request_for("final", provider, server)
    answer = litellm.completion(**request, stream=streamed)
    if streamed:
        answer = litellm.stream_chunk_builder(list(answer))
    message: Any = answer.choices[0].message
    assert message.content == "The one in the wood."
    assert "Older than stone?" in message.reasoning_content


@each_provider
@plain_and_streamed
def test_tool_calls_reach_the_caller(name: str, streamed: bool, server: ThreadedServer) -> None:
    if name == "ollama":
        pytest.skip("LiteLLM writes tools into the prompt for it, and reads JSON as a call")
    provider = PROVIDERS[name]
    call = {"name": "weather", "arguments": {"city": "Oslo"}}
    server.set_scenario(provider.served_as, provider.says(tool_calls=[call]))
    city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": city}}]
    answer = litellm.completion(
        **request_for("final", provider, server), tools=tools, stream=streamed, _skip_mcp_handler=True
    )
    if streamed:
        answer = litellm.stream_chunk_builder(list(answer))
    (called,) = answer.choices[0].message.tool_calls
    assert (called.function.name, called.function.arguments.replace(" ", "")) == ("weather", '{"city":"Oslo"}')
    skip_if_old(name in OLLAMA, "says that a call of a tool is an answer's end")
    assert answer.choices[0].finish_reason == "tool_calls"


STATUSES = {400: 400, 401: 502, 403: 502, 404: 404, 429: 429, 500: 500}


@each_provider
@pytest.mark.parametrize("status", STATUSES)
@plain_and_streamed
def test_a_final_models_error_in_its_own_form(name: str, status: int, streamed: bool, server: ThreadedServer) -> None:
    unclear = name in OLLAMA or (name, status) == ("anthropic", 403)
    skip_if_old(unclear, "makes a connection error of it")
    provider = PROVIDERS[name]
    server.set_scenario(provider.served_as, provider.says(error={"status": status, "message": "BODY-CANARY"}))
    with pytest.raises(Exception, match="final call failed") as caught:
        asked("final", provider, server, streamed=streamed)
    error: Any = caught.value
    assert error.status_code == STATUSES[status]
    assert "BODY-CANARY" not in str(error)
    trace = composite_llm.get_trace(error)
    assert [call.status for call in trace.calls] == ["ok", "failed"]


@each_provider
@pytest.mark.parametrize("role", ["member", "reviewer"])
@pytest.mark.parametrize("status", [400, 429, 500])
def test_a_members_error_is_its_own_and_the_run_goes_on(
    name: str, role: str, status: int, server: ThreadedServer
) -> None:
    provider = PROVIDERS[name]
    server.set_scenario(provider.served_as, provider.says(error={"status": status, "message": "BODY-CANARY"}))
    request = request_for(role, provider, server)
    listed = "proposers" if role == "member" else "reviewers"
    request[listed] = [*request[listed], at(server, "openai/gpt-4.1")]
    answer = litellm.completion(**request)
    trace = composite_llm.get_trace(answer)
    assert the_call(trace, role, provider).status == "failed"
    assert any(provider.model in str(reason) for reason in trace.degraded)
    assert all("BODY-CANARY" not in str(record.body) for record in server.ledger.records)


@each_provider
def test_an_error_in_the_midst_of_its_stream(name: str, server: ThreadedServer) -> None:
    provider = PROVIDERS[name]
    failing = {
        "error": {"status": 500, "message": "BODY-CANARY"},
        "error_after_chunks": 4,
        "text": "long enough for it",
    }
    server.set_scenario(provider.served_as, provider.says(**failing))
    with pytest.raises(Exception, match="final call failed") as caught:
        asked("final", provider, server, streamed=True)
    error: Any = caught.value
    # It had taken the request, so that is not what was wrong.
    assert error.status_code >= 500
    assert "BODY-CANARY" not in str(error)


@each_provider
@pytest.mark.parametrize("role", ["member", "final"])
@plain_and_streamed
async def test_who_cancels_a_run_ends_its_call(name: str, role: str, streamed: bool, server: ThreadedServer) -> None:
    provider = PROVIDERS[name]
    hanging = {"hang_after_chunks": 2} if streamed and role == "final" else {"hang": True}
    server.set_scenario(provider.served_as, provider.says(text="long enough for it", **hanging))

    async def run() -> None:
        answer = await litellm.acompletion(**request_for(role, provider, server), stream=streamed)
        if streamed:
            [chunk async for chunk in answer]

    task = asyncio.create_task(run())

    def asked_for(ledger: Any) -> bool:
        return any(record.model == provider.served_as for record in ledger.records if record.path != "/api/show")

    await asyncio.to_thread(server.wait_until, asked_for)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(server.wait_until, lambda ledger: ledger.open_requests == 0)
    (record,) = [r for r in server.ledger.records if r.model == provider.served_as and r.path != "/api/show"]
    assert record.disconnected


def test_a_key_that_gemini_does_not_know_is_the_operators_affair(ask: Ask, server: ThreadedServer) -> None:
    provider = PROVIDERS["gemini"]
    body = '{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT"}}'
    server.set_scenario(provider.served_as, {"error": {"status": 400, "body": body}})
    with pytest.raises(composite_llm.FinalCallFailed) as caught:
        asked("final", provider, server, streamed=False)
    assert caught.value.status_code == 502
    assert "refused the key" in str(caught.value)


@each_provider
@plain_and_streamed
def test_too_long_in_its_own_words_is_understood(name: str, streamed: bool, server: ThreadedServer) -> None:
    provider = PROVIDERS[name]
    server.set_scenario(provider.served_as, provider.says(error={"context_window": True}))
    with pytest.raises(litellm.ContextWindowExceededError, match="maximum context length") as caught:
        asked("final", provider, server, streamed=streamed)
    assert caught.value.status_code == 400


_LITELLMS_OWN = {"max_retries", "num_retries", "drop_params", "metadata", "timeout", "api_base", "api_key", "cache"}


@each_provider
@plain_and_streamed
def test_no_parameter_of_litellms_or_of_ours_is_in_a_body(name: str, streamed: bool, server: ThreadedServer) -> None:
    provider = PROVIDERS[name]
    server.set_scenario(provider.served_as, provider.says(text="The one in the wood."))
    for role in ("member", "final"):
        asked(role, provider, server, streamed=streamed, drop_params=True, seed=3, max_calls=9)
    bodies = [record.body for record in server.ledger.records if record.model == provider.served_as and record.body]
    assert len(bodies) >= 2
    for body in bodies:
        assert not _LITELLMS_OWN & set(body)
        assert not any(key.startswith(("litellm_", "composite_")) for key in body)
