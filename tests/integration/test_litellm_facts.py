"""Facts about LiteLLM that the provider rests on, each shown with a custom provider of a few lines.

A LiteLLM that changes one of them fails here first, and says which.
"""

from __future__ import annotations

import contextvars
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import litellm
import pytest
from litellm.types.utils import Delta, ModelResponseStream, StreamingChoices

from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import FINAL, KEY, MESSAGES
from tests.support.listening import Listener, listening

_WHO = contextvars.ContextVar("who", default="nobody")


def chunk(content: str = "", finish: str | None = None, **delta: Any) -> ModelResponseStream:
    made = Delta() if finish else Delta(content=content, **delta)
    return ModelResponseStream(choices=[StreamingChoices(index=0, delta=made, finish_reason=finish)])


def with_usage(tokens: int, cost: float | None = None, content: str = "") -> ModelResponseStream:
    made = chunk(content)
    made.usage = litellm.Usage(prompt_tokens=tokens, completion_tokens=tokens, total_tokens=2 * tokens)
    if cost is not None:
        made.usage.cost = cost
    return made


class _Probe(litellm.CustomLLM):
    """Does what a test wants, and remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: dict[str, Any] = {}
        self.who = ""
        self.error: Exception | None = None
        self.cost: float | None = 0.25
        self.chunks: list[ModelResponseStream] = []

    def _answer(self, kwargs: dict[str, Any]) -> litellm.ModelResponse:
        self.given, self.who = kwargs, _WHO.get()
        if self.error is not None:
            raise self.error
        message = litellm.Message(content="probed", role="assistant")
        response = litellm.ModelResponse(model="x", choices=[litellm.Choices(message=message)])
        response._hidden_params["response_cost"] = self.cost
        return response

    def completion(self, **kwargs: Any) -> litellm.ModelResponse:  # type: ignore[override]
        return self._answer(kwargs)

    async def acompletion(self, **kwargs: Any) -> litellm.ModelResponse:  # type: ignore[override]
        return self._answer(kwargs)

    def astreaming(self, **kwargs: Any) -> AsyncIterator[ModelResponseStream]:  # type: ignore[override]
        self._answer(kwargs)
        return self._stream()

    async def _stream(self) -> AsyncIterator[ModelResponseStream]:
        for made in self.chunks:
            yield made


@pytest.fixture
def probe(provider: None) -> Iterator[_Probe]:
    made, before = _Probe(), litellm.custom_provider_map
    litellm.custom_provider_map = [*before, {"provider": "probe", "custom_handler": made}]
    litellm.utils.custom_llm_setup()
    yield made
    litellm.custom_provider_map = before


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as heard:
        yield heard


async def stream_of(**options: Any) -> Any:
    return await litellm.acompletion(model="probe/a/b", messages=MESSAGES, stream=True, **options)


def test_the_provider_prefix_is_taken_off_and_slashes_stay(probe: _Probe) -> None:
    litellm.completion(model="probe/moa/openai/gpt-4o", messages=MESSAGES)
    assert probe.given["model"] == "moa/openai/gpt-4o"


def test_unknown_keywords_arrive_flat_functions_included(probe: _Probe) -> None:
    litellm.completion(model="probe/x", messages=MESSAGES, proposers=["a"], tool_executor=print)
    assert probe.given["optional_params"]["proposers"] == ["a"]
    assert probe.given["optional_params"]["tool_executor"] is print


def test_optional_params_and_extra_body_arrive_nested(probe: _Probe) -> None:
    litellm.completion(model="probe/x", messages=MESSAGES, optional_params={"layers": 2}, extra_body={"samples": 3})
    assert probe.given["optional_params"]["optional_params"] == {"layers": 2}
    assert probe.given["optional_params"]["extra_body"] == {"samples": 3}


def test_a_timeout_is_handed_over_and_nobody_enforces_it(probe: _Probe) -> None:
    litellm.completion(model="probe/x", messages=MESSAGES, timeout=0.000001)
    assert probe.given["timeout"] == 0.000001


def test_without_a_timeout_600_seconds_are_handed_over(probe: _Probe) -> None:
    litellm.completion(model="probe/x", messages=MESSAGES)
    assert probe.given["timeout"] == 600.0


def test_a_user_is_in_litellms_record_alone(probe: _Probe) -> None:
    litellm.completion(model="probe/x", messages=MESSAGES, user="ann")
    assert "user" not in probe.given["optional_params"]
    assert probe.given["logging_obj"].model_call_details["user"] == "ann"


async def test_a_plain_function_for_astreaming_raises_before_there_is_a_stream(probe: _Probe) -> None:
    probe.error = litellm.BadRequestError("no", model="x", llm_provider="probe")
    with pytest.raises(litellm.BadRequestError):
        await stream_of()


async def test_the_logging_object_is_the_one_on_the_stream(probe: _Probe) -> None:
    probe.chunks = [chunk("x"), chunk(finish="stop")]
    stream = await stream_of()
    assert stream.logging_obj is probe.given["logging_obj"]
    assert [part async for part in stream]


async def _asked(way: str) -> Any:
    call = {"model": "probe/x", "messages": MESSAGES}
    return litellm.completion(**call) if way == "completion" else await litellm.acompletion(**call)


class _Ours(litellm.RateLimitError):
    def __init__(self) -> None:
        super().__init__(message="ours", llm_provider="probe", model="x")
        self.stage = "propose"


@pytest.mark.parametrize("way", ["completion", "acompletion"])
async def test_a_subclass_of_litellms_exceptions_keeps_class_and_status(way: str, probe: _Probe) -> None:
    probe.error = _Ours()
    with pytest.raises(_Ours) as caught:
        await _asked(way)
    assert (caught.value.status_code, caught.value.stage) == (429, "propose")


def test_a_foreign_exception_becomes_a_connection_error_with_its_traceback(probe: _Probe) -> None:
    probe.error = ValueError("plain")
    with pytest.raises(litellm.APIConnectionError, match="Traceback"):
        litellm.completion(model="probe/x", messages=MESSAGES)


@pytest.mark.parametrize("way", ["completion", "acompletion"])
async def test_a_cost_in_the_hidden_parameters_is_the_cost(way: str, probe: _Probe, listener: Listener) -> None:
    answer = await _asked(way)
    assert answer._hidden_params["response_cost"] == 0.25
    if way == "completion":
        assert listener.composite().response_cost == 0.25


async def test_a_cost_on_a_streams_usage_chunk_is_the_cost(probe: _Probe) -> None:
    probe.chunks = [chunk("x"), with_usage(15, cost=0.5), chunk(finish="stop")]
    parts = [part async for part in await stream_of(stream_options={"include_usage": True})]
    assert parts[-1].usage.cost == 0.5
    assert parts[-1].usage.total_tokens == 30


PLACES: dict[str, tuple[Callable[[], list[ModelResponseStream]], bool]] = {
    "before the finish chunk": (lambda: [chunk("x"), with_usage(15), chunk(finish="stop")], True),
    "on a content chunk": (lambda: [with_usage(15, content="x"), chunk(finish="stop")], True),
    "after the finish chunk": (lambda: [chunk("x"), chunk(finish="stop"), with_usage(15)], False),
}


@pytest.mark.parametrize("place", PLACES)
async def test_usage_counts(place: str, probe: _Probe) -> None:
    make, counts = PLACES[place]
    probe.chunks = make()
    parts = [part async for part in await stream_of(stream_options={"include_usage": True})]
    told = [part.usage.total_tokens for part in parts if getattr(part, "usage", None) is not None]
    assert (bool(told) and told[-1] == 30) is counts


async def test_a_reasoning_delta_passes(probe: _Probe) -> None:
    probe.chunks = [chunk(reasoning_content="hm"), chunk("x"), chunk(finish="stop")]
    parts = [part async for part in await stream_of()]
    assert parts[0].choices[0].delta.reasoning_content == "hm"


def _router(model: str, **params: Any) -> litellm.Router:
    deployment = {"model_name": "named", "litellm_params": {"model": model, **params}}
    return litellm.Router(model_list=[deployment], num_retries=0)


async def test_a_context_variable_reaches_the_provider(probe: _Probe) -> None:
    _WHO.set("me")
    await litellm.acompletion(model="probe/x", messages=MESSAGES)
    assert probe.who == "me"


async def test_a_context_variable_reaches_the_provider_through_a_router(probe: _Probe) -> None:
    _WHO.set("me")
    await _router("probe/x").acompletion(model="named", messages=MESSAGES)
    assert probe.who == "me"


def test_a_deployments_unknown_keys_arrive_and_a_request_replaces_them(probe: _Probe) -> None:
    router = _router("probe/x", proposers=["deployed"], layers=2)
    router.completion(model="named", messages=MESSAGES, proposers=["asked"])
    assert probe.given["optional_params"]["proposers"] == ["asked"]
    assert probe.given["optional_params"]["layers"] == 2


def test_a_router_copies_a_deployments_values_deeply(probe: _Probe) -> None:
    nodes = [{"model": "a"}]
    router = _router("probe/x", proposers=nodes)
    router.completion(model="named", messages=MESSAGES)
    assert probe.given["optional_params"]["proposers"] == nodes


@pytest.mark.parametrize(
    ("options", "requests"), [({"max_retries": 0, "num_retries": 0}, 1), ({}, 3)], ids=["0", "default"]
)
async def test_the_client_library_repeats_a_request_unless_max_retries_is_0(
    options: dict[str, Any], requests: int, server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4o", {"error": {"status": 429, "retry_after": 0}})
    with pytest.raises(litellm.RateLimitError):
        await litellm.acompletion(model=FINAL, messages=MESSAGES, api_base=server.base_url, api_key=KEY, **options)
    assert len(wire.models(server)) == requests


async def test_a_plain_answer_has_its_price_in_the_hidden_parameters(server: ThreadedServer) -> None:
    answer = await litellm.acompletion(model=FINAL, messages=MESSAGES, api_base=server.base_url, api_key=KEY)
    assert answer._hidden_params["response_cost"] > 0


@pytest.mark.parametrize("model", ["openai/nobody-prices-this"])
async def test_an_unpriced_model_has_no_price(model: str, server: ThreadedServer) -> None:
    answer = await litellm.acompletion(model=model, messages=MESSAGES, api_base=server.base_url, api_key=KEY)
    assert not answer._hidden_params["response_cost"]


async def test_a_streams_last_usage_has_its_price_or_none_at_all(server: ThreadedServer) -> None:
    stream = await litellm.acompletion(
        model=FINAL, messages=MESSAGES, api_base=server.base_url, api_key=KEY,
        stream=True, stream_options={"include_usage": True},
    )  # fmt: skip
    parts = [part async for part in stream]
    # LiteLLM 1.94 does not price the streams of its own providers.
    assert getattr(parts[-1].usage, "cost", 1.0) > 0
    assert parts[-1].usage.total_tokens == wire.tokens(server)["total_tokens"]


async def test_a_stream_that_breaks_off_still_gets_a_finish_reason_but_its_wrapper_knows(
    server: ThreadedServer,
) -> None:
    server.set_scenario("gpt-4o", {"text": "cut here", "drop": "mid_stream", "drop_after_chunks": 2})
    stream = await litellm.acompletion(
        model=FINAL, messages=MESSAGES, api_base=server.base_url, api_key=KEY, stream=True, max_retries=0
    )
    try:
        async for _ in stream:
            pass
    except litellm.exceptions.MidStreamFallbackError:
        broke = True
    except (litellm.APIError, litellm.APIConnectionError, litellm.InternalServerError):
        broke = True
    else:
        broke = stream.received_finish_reason is None
    assert broke


async def test_tools_need_no_mcp_package_when_we_say_so(server: ThreadedServer) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    answer = await litellm.acompletion(
        model=FINAL, messages=MESSAGES, api_base=server.base_url, api_key=KEY, tools=[tool], _skip_mcp_handler=True
    )
    assert answer.choices[0].message.content
    assert wire.params(server, "gpt-4o") == {"tools": [tool]}


def test_a_known_name_is_priced_at_zero_when_it_has_no_price(probe: _Probe) -> None:
    litellm.register_model({"probe/known": {"litellm_provider": "probe", "mode": "chat"}})
    probe.cost = None
    answer = litellm.completion(model="probe/known", messages=MESSAGES)
    litellm.model_cost.pop("probe/known", None)
    assert answer._hidden_params["response_cost"] == 0.0


def test_the_sync_call_uses_the_sync_method_also_where_a_loop_runs(probe: _Probe) -> None:
    litellm.completion(model="probe/x", messages=MESSAGES)
    assert not probe.given["acompletion"]


def test_reasoning_parameters_are_refused_for_other_custom_providers(probe: _Probe) -> None:
    with pytest.raises(litellm.UnsupportedParamsError):
        litellm.completion(model="probe/x", messages=MESSAGES, reasoning_effort="low")
