"""Which parameter of a request reaches which call, as it arrives upstream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest
from litellm.caching.caching import Cache

import composite_llm
import fake_server
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FIRST, KEY, MESSAGES, SECOND, THIRD, Ask, at
from tests.support.listening import Listener, listening

TOOL = {
    "type": "function",
    "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {}}},
}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object", "properties": {}}}}
OPTIONS = (Path(__file__).parents[2] / "docs" / "options.md").read_text()
GUARD_KEY = "sk-guarded"


@pytest.fixture
def elsewhere(server: ThreadedServer) -> Iterator[ThreadedServer]:
    """A second upstream, which wants a key of its own."""
    with fake_server.running_in_thread(api_key=GUARD_KEY) as running:
        yield running


FINAL_ONLY: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "tools": ({"tools": [TOOL]}, {"tools": [TOOL]}),
    "tool_choice": ({"tools": [TOOL], "tool_choice": "required"}, {"tool_choice": "required"}),
    "tool_choice object": (
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "look"}}},
        {"tool_choice": {"type": "function", "function": {"name": "look"}}},
    ),
    "parallel_tool_calls": ({"tools": [TOOL], "parallel_tool_calls": False}, {"parallel_tool_calls": False}),
    "functions": (
        {"functions": [TOOL["function"]], "function_call": "auto"},
        {"functions": [TOOL["function"]], "function_call": "auto"},
    ),
    "response_format": ({"response_format": {"type": "json_object"}}, {"response_format": {"type": "json_object"}}),
    "n": ({"n": 2}, {"n": 2}),
    "logprobs": ({"logprobs": True, "top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
    "logit_bias": ({"logit_bias": {"5": 1}}, {"logit_bias": {"5": 1}}),
    "stop": ({"stop": ["END"]}, {"stop": ["END"]}),
    "max_tokens": ({"max_tokens": 77}, {"max_tokens": 77}),
    "modalities": ({"modalities": ["text"]}, {"modalities": ["text"]}),
    "prediction": (
        {"prediction": {"type": "content", "content": "x"}},
        {"prediction": {"type": "content", "content": "x"}},
    ),
    "service_tier": ({"service_tier": "flex"}, {"service_tier": "flex"}),
    "an unknown keyword": ({"vendor_knob": 3}, {"vendor_knob": 3}),
    "top_k": ({"top_k": 4}, {"top_k": 4}),
}


@pytest.mark.parametrize("name", FINAL_ONLY)
def test_only_the_final_call_gets(name: str, ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": '{"a": 1}'})
    given, expected = FINAL_ONLY[name]
    ask_both(proposers=[FIRST], **given)
    final = wire.params(server, "gpt-4o")
    assert {key: final.get(key) for key in expected} == expected
    assert wire.params(server, "gpt-4o-mini") == {}


@pytest.mark.parametrize("name", FINAL_ONLY)
def test_no_reviewer_gets(name: str, ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": '{"a": 1}'})
    given, _ = FINAL_ONLY[name]
    ask(COUNCIL, members=[FIRST, SECOND], reviewers=[THIRD], **given)
    reviewer = wire.params(server, "gpt-4.1-nano")
    # Its ballot's own form, never the caller's.
    assert reviewer.pop("response_format")["json_schema"]["name"] == "ballot"
    assert [wire.params(server, "gpt-4o-mini"), wire.params(server, "gpt-4.1-mini"), reviewer] == [{}, {}, {}]


def test_store_reaches_the_final_call_as_it_reaches_a_plain_one(ask_both: Ask, server: ThreadedServer) -> None:
    # LiteLLM 1.94 sends it to nobody.
    ask_both("openai/gpt-4.1", store=True)
    ask_both(proposers=[FIRST], store=True)
    assert wire.params(server, "gpt-4o") == wire.params(server, "gpt-4.1")
    assert wire.params(server, "gpt-4o-mini") == {}


EVERYWHERE: dict[str, Any] = {
    "temperature": 0.2,
    "top_p": 0.7,
    "seed": 12,
    "presence_penalty": 0.4,
    "frequency_penalty": 0.6,
    "user": "ann",
}


@pytest.mark.parametrize("name", EVERYWHERE)
def test_every_call_gets(name: str, ask_both: Ask, server: ThreadedServer) -> None:
    ask_both(proposers=[FIRST, SECOND], layers=2, **{name: EVERYWHERE[name]})
    assert [record.body.get(name) for record in server.ledger.records] == [EVERYWHERE[name]] * 5


@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_node_of_its_own_mind_keeps(name: str, ask: Ask, server: ThreadedServer) -> None:
    own: Any = "node's" if name == "user" else (99 if name == "seed" else 0.95)
    ask(proposers=[{"model": FIRST, name: own}, SECOND], aggregator={name: own}, **{name: EVERYWHERE[name]})
    found = [wire.params(server, model)[name] for model in ("gpt-4o-mini", "gpt-4.1-mini", "gpt-4o")]
    assert found == [own, EVERYWHERE[name], own]


def test_reviewers_inherit_like_members(ask: Ask, server: ThreadedServer) -> None:
    ask(COUNCIL, members=[FIRST, SECOND], reviewers=[{"model": THIRD, "temperature": 0.9}], temperature=0.1)
    assert wire.params(server, "gpt-4.1-nano").keys() == {"temperature", "response_format"}
    assert wire.params(server, "gpt-4.1-nano")["temperature"] == 0.9
    assert wire.params(server, "gpt-4o-mini") == {"temperature": 0.1}


def test_reasoning_effort_reaches_every_model_that_takes_it(ask_both: Ask, server: ThreadedServer) -> None:
    ask_both("composite/moa/openai/gpt-5", proposers=["openai/gpt-5-mini", FIRST], reasoning_effort="low")
    assert wire.params(server, "gpt-5") == wire.params(server, "gpt-5-mini") == {"reasoning_effort": "low"}
    assert wire.params(server, "gpt-4o-mini") == {}


def test_verbosity_reaches_the_final_call_alone(ask_both: Ask, server: ThreadedServer) -> None:
    ask_both("composite/moa/openai/gpt-5", proposers=["openai/gpt-5-mini"], verbosity="low")
    assert wire.params(server, "gpt-5") == {"verbosity": "low"}
    assert wire.params(server, "gpt-5-mini") == {}


def test_thinking_is_left_out_where_a_model_does_not_take_it(ask_both: Ask, server: ThreadedServer) -> None:
    ask_both(proposers=[FIRST], thinking={"type": "enabled", "budget_tokens": 1024})
    assert [wire.params(server, model) for model in ("gpt-4o-mini", "gpt-4o")] == [{}, {}]


def test_an_inherited_sampling_parameter_is_dropped_where_the_model_does_not_take_it(
    ask_both: Ask, server: ThreadedServer
) -> None:
    ask_both("composite/moa/openai/gpt-5", proposers=["openai/gpt-5-mini", FIRST], temperature=0.3, top_p=0.5)
    assert wire.params(server, "gpt-5") == wire.params(server, "gpt-5-mini") == {}
    assert wire.params(server, "gpt-4o-mini") == {"temperature": 0.3, "top_p": 0.5}


def test_a_nodes_own_sampling_parameter_is_never_dropped_silently(ask_both: Ask, server: ThreadedServer) -> None:
    answer = ask_both(proposers=[{"model": "openai/gpt-5-mini", "temperature": 0.3, "num_retries": 0}, FIRST])
    assert wire.records(server, "gpt-5-mini") == []
    trace = composite_llm.get_trace(answer)
    assert trace.calls[0].status == "failed"
    assert trace.calls[0].attempts[0].error_class == "UnsupportedParamsError"


@pytest.mark.parametrize(
    "empty",
    [
        {"tools": []}, {"stop": []}, {"functions": []}, {"extra_body": {}}, {"extra_headers": {}}, {"tools": None},
        {"response_format": None}, {"temperature": None}, {"proposers": [FIRST], "samples": None},
    ],
    ids=str,
)  # fmt: skip
def test_what_says_nothing_counts_as_absent(empty: dict[str, Any], ask_both: Ask, server: ThreadedServer) -> None:
    ask_both(**{"proposers": [FIRST], **empty})
    assert [wire.params(server, model) for model in ("gpt-4o-mini", "gpt-4o")] == [{}, {}]


def test_no_endpoint_given_counts_as_absent(server: ThreadedServer) -> None:
    nodes = {"proposers": [at(server, FIRST)], "aggregator": at(server, "openai/gpt-4o")}
    answer = litellm.completion(
        model="composite/moa/openai/gpt-4o", messages=MESSAGES, api_base=None, api_key=None, **nodes
    )
    assert wire.models(server) == ["gpt-4o-mini", "gpt-4o"]
    assert composite_llm.get_trace(answer).degraded == []


@pytest.mark.parametrize("junk", [{"is_litellm": True}, {"stream_usage": True}], ids=str)
def test_what_a_framework_left_over_goes_nowhere(junk: dict[str, Any], ask: Ask, server: ThreadedServer) -> None:
    ask(proposers=[FIRST], **junk)
    assert [wire.params(server, model) for model in ("gpt-4o-mini", "gpt-4o")] == [{}, {}]


@pytest.mark.parametrize("name", ["stage", "scope", "node", "role", "want", "kwargs", "request", "plan", "label"])
def test_a_keyword_may_have_the_name_of_anything_inside(name: str, ask: Ask, server: ThreadedServer) -> None:
    ask(proposers=[FIRST], **{name: "x"})
    assert wire.params(server, "gpt-4o") == {name: "x"}
    assert wire.params(server, "gpt-4o-mini") == {}


def test_all_choices_of_the_final_call_come_back(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"texts": ["one", "two"]})
    answer = ask_both(proposers=[FIRST], n=2)
    assert [(choice.index, choice.message.content) for choice in answer.choices] == [(0, "one"), (1, "two")]


def test_logprobs_of_the_final_call_come_back(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": "Yes."})
    answer = ask_both(proposers=[FIRST], logprobs=True, top_logprobs=1)
    assert "".join(token.token for token in answer.choices[0].logprobs.content) == "Yes."


def test_tool_calls_of_the_final_call_come_back(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"tool_calls": [{"name": "look", "arguments": {"at": "you"}, "id": "call_1"}]})
    answer = ask_both(proposers=[FIRST], tools=[TOOL])
    (call,) = answer.choices[0].message.tool_calls
    assert (call.id, call.function.name, call.function.arguments) == ("call_1", "look", '{"at":"you"}')
    assert answer.choices[0].finish_reason == "tool_calls"


def test_response_format_and_tools_go_together(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": "{}"})
    ask(proposers=[FIRST], tools=[TOOL], response_format=SCHEMA)
    final = wire.params(server, "gpt-4o")
    assert final["tools"] == [TOOL]
    assert final["response_format"]["type"] == "json_schema"


def test_the_requests_endpoint_and_headers_reach_nodes_of_its_provider_that_name_none(
    ask_both: Ask, server: ThreadedServer, elsewhere: ThreadedServer
) -> None:
    own = {"model": SECOND, "api_base": elsewhere.base_url, "api_key": GUARD_KEY}
    foreign = {"model": "hosted_vllm/llama", "api_base": elsewhere.base_url, "api_key": GUARD_KEY}
    answer = ask_both(proposers=[FIRST, own, foreign], extra_headers={"X-Mine": "1"})
    assert composite_llm.get_trace(answer).degraded == []
    assert sorted(map(str, wire.models(server))) == ["gpt-4o", "gpt-4o-mini"]
    assert [wire.header(record, "X-Mine") for record in server.ledger.records] == ["1", "1"]
    assert [wire.header(record, "X-Mine") for record in elsewhere.ledger.records] == [None, None]


@pytest.mark.parametrize("model", ["groq/llama-3", "anthropic/claude-x", "hosted_vllm/llama"])
def test_the_requests_endpoint_never_reaches_another_provider(model: str, ask: Ask, server: ThreadedServer) -> None:
    answer = ask(proposers=[{"model": model, "num_retries": 0}, FIRST])
    assert sorted(map(str, wire.models(server))) == ["gpt-4o", "gpt-4o-mini"]
    assert composite_llm.get_trace(answer).calls[0].status == "failed"


def test_the_requests_key_is_not_mixed_with_a_nodes_own_endpoint(
    server: ThreadedServer, elsewhere: ThreadedServer
) -> None:
    stranger = {"model": FIRST, "api_base": elsewhere.base_url, "num_retries": 0}
    answer = litellm.completion(
        model="composite/moa/openai/gpt-4o",
        messages=MESSAGES,
        api_base=server.base_url,
        api_key=GUARD_KEY,
        proposers=[stranger, SECOND],
    )
    assert composite_llm.get_trace(answer).calls[0].status == "failed"
    assert all(record.status == 401 for record in elsewhere.ledger.records)


def test_a_key_is_read_from_the_environment_when_the_call_is_made(
    ask_both: Ask, elsewhere: ThreadedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = {"model": FIRST, "api_base": "os.environ/TEST_NODE_BASE", "api_key": "os.environ/TEST_NODE_KEY"}
    monkeypatch.setenv("TEST_NODE_BASE", elsewhere.base_url)
    monkeypatch.setenv("TEST_NODE_KEY", GUARD_KEY)
    answer = ask_both(proposers=[node])
    assert [record.status for record in elsewhere.ledger.records] == [200]
    assert composite_llm.get_trace(answer).degraded == []


def test_a_missing_variable_is_named(ask_both: Ask) -> None:
    with pytest.raises(composite_llm.InvalidOption, match="TEST_NO_SUCH_KEY") as caught:
        ask_both(proposers=[{"model": FIRST, "api_key": "os.environ/TEST_NO_SUCH_KEY"}])
    assert caught.value.status_code == 400


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as heard:
        yield heard


def test_the_calls_carry_the_runs_markers_and_the_callers_metadata_without_identity(
    ask_both: Ask, server: ThreadedServer, listener: Listener
) -> None:
    identity = {"user_api_key": "hash", "user_api_key_team_id": "team", "user_api_key_user_id": "ann"}
    answer = ask_both(proposers=[FIRST], metadata={"mine": "kept", **identity}, litellm_trace_id="trace-1")
    listener.wait(lambda heard: len(heard) == 3)
    parts = {event.metadata["composite_stage"]: event for event in listener.heard if not event.is_composite}
    assert {stage: part.metadata["composite_node"] for stage, part in parts.items()} == {
        "propose": FIRST,
        "aggregate": "openai/gpt-4o",
    }
    for part in parts.values():
        assert part.metadata["composite_run"] == composite_llm.get_trace(answer).id
        assert part.metadata["mine"] == "kept"
        assert not [key for key in part.metadata if key.startswith("user_api_key")]
        assert part.standard["trace_id"] == "trace-1"
        assert part.standard["metadata"]["user_api_key_hash"] is None
    assert listener.composite().metadata["user_api_key"] == "hash"


def test_metadata_never_travels_upstream(ask: Ask, server: ThreadedServer) -> None:
    ask(proposers=[FIRST], metadata={"mine": "kept"})
    assert [wire.params(server, model) for model in ("gpt-4o-mini", "gpt-4o")] == [{}, {}]


@pytest.fixture
def response_cache(provider: None) -> Iterator[None]:
    litellm.cache = Cache(type="local")
    yield
    litellm.disable_cache()


@pytest.mark.usefixtures("response_cache")
def test_samples_of_one_model_do_not_share_a_cached_answer(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"texts": [f"text {n}" for n in range(8)]})
    answer = ask_both(messages=[{"role": "user", "content": "Cached?"}], caching=False)
    texts = [call.content for call in composite_llm.get_trace(answer).calls if call.stage == "propose"]
    assert len(set(texts)) == 3


def test_max_retries_of_the_client_library_is_off(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"error": {"status": 500}})
    ask(proposers=[{"model": FIRST, "num_retries": 0}, SECOND], max_retries=3)
    assert len(wire.records(server, "gpt-4o-mini")) == 1


def test_the_key_of_the_request_is_used(elsewhere: ThreadedServer) -> None:
    options: dict[str, Any] = {"model": "composite/moa/openai/gpt-4o", "messages": MESSAGES, "proposers": [FIRST]}
    litellm.completion(**options, api_base=elsewhere.base_url, api_key=GUARD_KEY)
    assert [record.status for record in elsewhere.ledger.records] == [200, 200]
    with pytest.raises(composite_llm.QuorumNotMet):
        litellm.completion(**options, api_base=elsewhere.base_url, api_key=KEY)


GPT_5 = "composite/moa/openai/gpt-5"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_drop_params_given_with_the_call_holds_for_the_final_call(
    stream: bool, ask_both: Ask, server: ThreadedServer
) -> None:
    answer = ask_both(GPT_5, proposers=[FIRST], stop=["x"], drop_params=True)
    assert composite_llm.get_trace(answer).calls[-1].status == "ok"
    assert "stop" not in wire.params(server, "gpt-5")
    assert "drop_params" not in wire.params(server, "gpt-5")


@pytest.mark.parametrize("model", ["deployed", "around"])
def test_drop_params_of_a_deployment_or_of_a_composite_around_holds_too(model: str, server: ThreadedServer) -> None:
    common = {"proposers": [at(server, FIRST)], "api_base": server.base_url, "api_key": KEY, "drop_params": True}
    models = {"deployed": GPT_5, "around": f"composite/moa/{GPT_5}"}
    deployments = [{"model_name": name, "litellm_params": {"model": to, **common}} for name, to in models.items()]
    litellm.Router(model_list=deployments).completion(model=model, messages=MESSAGES, stop=["x"])
    assert "stop" not in wire.records(server, "gpt-5")[-1].body


def test_without_drop_params_the_parameter_is_refused(ask_both: Ask, server: ThreadedServer) -> None:
    for refused in ({}, {"drop_params": False}):
        with pytest.raises(composite_llm.FinalCallFailed) as caught:
            ask_both(GPT_5, proposers=[FIRST], stop=["x"], **refused)
        assert caught.value.status_code == 400


KEPT_BY_LITELLM = ["organization", "ssl_verify", "aws_region_name", "vertex_project"]


@pytest.mark.parametrize("name", KEPT_BY_LITELLM)
def test_what_litellm_keeps_from_handlers_reaches_no_body(name: str, ask: Ask, server: ThreadedServer) -> None:
    ask(proposers=[FIRST], **{name: "kept"})
    assert not any("kept" in str(record.body) for record in server.ledger.records)
    assert f"`{name}`" in OPTIONS or f"`{name.partition('_')[0]}_`" in OPTIONS


def test_a_node_is_given_what_litellm_keeps_from_handlers(ask: Ask, server: ThreadedServer) -> None:
    ask(proposers=[{"model": FIRST, "organization": "org-1"}], aggregator={"organization": "org-2"})
    sent = {record.model: record.headers.get("openai-organization") for record in server.ledger.records}
    assert sent == {"gpt-4o-mini": "org-1", "gpt-4o": "org-2"}
