"""Every error that leaves the provider: its classes, its status, its sentence, and what it never says."""

from __future__ import annotations

import copy
import inspect
import itertools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import litellm
import openai
import pytest

import composite_llm
from composite_llm.backend.litellm_errors import KIND_OF, as_failure
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FINAL, FIRST, MOA, SECOND, Ask

CANARIES = ("PROMPT-CANARY", "ANSWER-CANARY", "sk-KEY-CANARY", "BODY-CANARY", "Traceback", ".py")
_number = itertools.count()

exceptions = litellm.exceptions
PAYMENT_REQUIRED: type[Exception] = getattr(exceptions, "PaymentRequiredError", exceptions.BadRequestError)


@pytest.fixture
def failing(ask_both: Ask) -> Callable[..., Any]:
    """Asks something that must fail; returns the error."""

    def fails(model: str = MOA, **options: Any) -> Any:
        # A repeated request may use what its failed predecessor was answered, so each is new.
        messages = [{"role": "user", "content": f"PROMPT-CANARY {next(_number)}"}]
        with pytest.raises(composite_llm.CompositeError) as caught:
            ask_both(model, **{"messages": messages, "api_key": "sk-KEY-CANARY", **options})
        return caught.value

    return fails


def body(status: int, **more: Any) -> dict[str, Any]:
    return {"error": {"status": status, "message": "BODY-CANARY sk-KEY-CANARY", **more}}


def assert_clean(error: Any) -> None:
    """Nothing of prompts, answers, keys, upstream bodies or tracebacks in any text of the error."""
    for text in (str(error), repr(error), str(error.message), str(error.args)):
        assert not [canary for canary in CANARIES if canary in text], text
        assert "\n" not in text
        assert text.strip()


CONTEXT = {"error": {"context_window": True, "message": "This model's maximum context length is 8 tokens. BODY-CANARY"}}
POLICY = body(400, code="content_policy_violation")

QUORUM: dict[str, tuple[dict[str, Any], dict[str, Any], type[Exception], int]] = {
    "all rate limited": (body(429), body(429), exceptions.RateLimitError, 429),
    "all rejected": (body(400), body(400), exceptions.BadRequestError, 400),
    "all too long": (CONTEXT, CONTEXT, exceptions.ContextWindowExceededError, 400),
    "all against policy": (POLICY, POLICY, exceptions.ContentPolicyViolationError, 400),
    "all keys refused": (body(401), body(401), exceptions.APIError, 502),
    "all forbidden": (body(403), body(403), exceptions.APIError, 502),
    "401 and 403": (body(401), body(403), exceptions.APIError, 502),
    "all broken": (body(500), body(500), exceptions.ServiceUnavailableError, 503),
    "all overloaded": (body(503), body(503), exceptions.ServiceUnavailableError, 503),
    "all unknown": (body(404), body(404), exceptions.ServiceUnavailableError, 503),
    "all dropped": ({"drop": "before"}, {"drop": "before"}, exceptions.ServiceUnavailableError, 503),
    "all unreadable": ({"malformed_json": True}, {"malformed_json": True}, exceptions.ServiceUnavailableError, 503),
    "all blank": ({"blank": True}, {"blank": True}, exceptions.ServiceUnavailableError, 503),
    "of two kinds": (body(429), body(400), exceptions.ServiceUnavailableError, 503),
}


@pytest.mark.parametrize("case", QUORUM)
def test_a_stage_without_its_quorum(case: str, failing: Callable[..., Any], server: ThreadedServer) -> None:
    first, second, theirs, status = QUORUM[case]
    server.set_scenario("gpt-4o-mini", first)
    server.set_scenario("gpt-4.1-mini", second)
    nodes = [{"model": FIRST, "num_retries": 0}, {"model": SECOND, "num_retries": 0, "name": "doubter"}]
    error = failing(proposers=nodes)
    assert error.model == MOA
    assert isinstance(error, composite_llm.QuorumNotMet)
    if status == 502:
        assert isinstance(error, getattr(exceptions, "BadGatewayError", exceptions.APIError))
        assert not isinstance(error, exceptions.AuthenticationError)
    else:
        assert isinstance(error, theirs)
    assert isinstance(error, openai.OpenAIError)
    assert (error.status_code, error.stage, error.needed, error.got) == (status, "propose", 1, 0)
    assert [failed.name for failed in error.failures] == [FIRST, "doubter"]
    for part in ("propose", "needs 1", "got 0", FIRST, "doubter"):
        assert part in str(error)
    assert_clean(error)
    assert "gpt-4o" not in wire.models(server)


def test_a_quorum_of_two_is_not_met_by_one(failing: Callable[..., Any], server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {**body(400), "latency_s": 0.3})
    error = failing(proposers=[FIRST, SECOND], quorum=2)
    assert isinstance(error, composite_llm.QuorumNotMet)
    assert (error.status_code, error.needed, error.got) == (400, 2, 1)
    assert_clean(error)


FINAL_CASES: dict[str, tuple[dict[str, Any], type[Exception] | None, int]] = {
    "429": (body(429), exceptions.RateLimitError, 429),
    "400": (body(400), exceptions.BadRequestError, 400),
    "404": (body(404), exceptions.NotFoundError, 404),
    "401": (body(401), None, 502),
    "403": (body(403), None, 502),
    "500": (body(500), exceptions.InternalServerError, 500),
    "503": (body(503), exceptions.ServiceUnavailableError, 503),
    "context": (CONTEXT, exceptions.ContextWindowExceededError, 400),
    "policy": (POLICY, exceptions.ContentPolicyViolationError, 400),
    "dropped": ({"drop": "before"}, None, 503),
}


@pytest.mark.parametrize("case", FINAL_CASES)
def test_a_failed_final_call(case: str, failing: Callable[..., Any], server: ThreadedServer) -> None:
    scenario, theirs, status = FINAL_CASES[case]
    server.set_scenario("gpt-4o-mini", {"text": "ANSWER-CANARY"})
    server.set_scenario("gpt-4o", scenario)
    error = failing(proposers=[FIRST], aggregator={"num_retries": 0})
    assert isinstance(error, composite_llm.FinalCallFailed)
    assert isinstance(error, theirs or openai.OpenAIError)
    assert (error.status_code, error.stage) == (status, "aggregate")
    assert not isinstance(error, exceptions.AuthenticationError)
    assert "aggregate" in str(error)
    assert FINAL in str(error)
    assert_clean(error)
    assert composite_llm.get_trace(error).calls[0].content == "ANSWER-CANARY"


def test_a_failed_final_call_lists_its_fallbacks(failing: Callable[..., Any], server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", body(401))
    server.set_scenario("gpt-4.1-mini", body(400))
    error = failing(proposers=[FIRST], aggregator={"fallbacks": [SECOND]})
    assert [failed.name for failed in error.failures] == [FINAL, SECOND]
    assert error.status_code == 400
    assert_clean(error)


def test_a_cap_on_calls(failing: Callable[..., Any], server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", body(429, retry_after=0))
    error = failing(proposers=[FIRST], max_calls=2)
    assert isinstance(error, composite_llm.BudgetExceeded)
    assert isinstance(error, PAYMENT_REQUIRED)
    assert (error.status_code, error.limit_name, error.limit) == (402, "max_calls", 2)
    assert wire.models(server) == ["gpt-4o-mini", "gpt-4o"]
    assert_clean(error)


@pytest.mark.parametrize(("cap", "asked"), [(1, 1), (2, 2), (3, 3), (9, 4)])
def test_under_a_cap_on_calls_a_stage_shrinks_and_that_is_said(
    cap: int, asked: int, ask_both: Ask, server: ThreadedServer
) -> None:
    answer = ask_both(proposers=[FIRST, SECOND, FIRST], max_calls=cap)
    assert len(wire.models(server)) == asked
    assert wire.models(server)[-1] == "gpt-4o"
    assert bool(composite_llm.get_trace(answer).degraded) == (asked < 4)


def test_a_cap_on_money(failing: Callable[..., Any], server: ThreadedServer) -> None:
    server.set_scenario("*", {"text": "x", "usage": {"completion_tokens": 1_000_000}})
    error = failing(proposers=[FIRST], max_cost_usd=0.05)
    assert isinstance(error, composite_llm.BudgetExceeded)
    assert (error.status_code, error.limit_name, error.limit) == (402, "max_cost_usd", 0.05)
    assert "gpt-4o" not in wire.models(server)
    assert_clean(error)


@pytest.mark.parametrize("slow", ["gpt-4o-mini", "gpt-4o"])
def test_a_run_out_of_time(slow: str, failing: Callable[..., Any], server: ThreadedServer) -> None:
    server.set_scenario(slow, {"hang": True})
    error = failing(proposers=[FIRST], timeout=0.4)
    assert isinstance(error, composite_llm.RunTimeout)
    assert isinstance(error, litellm.Timeout)
    assert (error.status_code, error.limit_s) == (408, 0.4)
    assert error.stages_finished == (() if slow == "gpt-4o-mini" else ("propose",))
    assert "0.4" in str(error)
    assert_clean(error)


NODE_PATHS = [{"proposers": [FIRST, bad]} for bad in ({}, {"name": "x"}, {"model": ""}, {"model": None}, 7, None)]
BAD_INPUT: dict[str, tuple[str, dict[str, Any], type[Exception], str]] = {
    "empty proposers": (MOA, {"proposers": []}, composite_llm.InvalidOption, "proposers"),
    "empty members": (COUNCIL, {"members": []}, composite_llm.InvalidOption, "members"),
    "misspelt option": (MOA, {"proposer": [FIRST]}, composite_llm.InvalidOption, "'proposers'"),
    "misspelt in extra_body": (MOA, {"extra_body": {"proposer": [FIRST]}}, composite_llm.InvalidOption, "'proposers'"),
    "option without its unit": (MOA, {"max_cost": 1}, composite_llm.InvalidOption, "max_cost_usd"),
    "option of the other strategy": (MOA, {"members": [FIRST]}, composite_llm.InvalidOption, "council"),
    "negative timeout": (MOA, {"timeout": -1}, composite_llm.InvalidOption, "timeout"),
    "negative node timeout": (
        MOA, {"proposers": [{"model": FIRST, "timeout": -1}]}, composite_llm.InvalidOption, "proposers.0.timeout",
    ),
    "misspelt node key": (
        MOA, {"proposers": [{"model": FIRST, "num_retires": 1}]}, composite_llm.InvalidOption, "num_retries",
    ),
    "zero samples": (MOA, {"samples": 0}, composite_llm.InvalidOption, "samples"),
    "zero layers": (MOA, {"layers": 0}, composite_llm.InvalidOption, "layers"),
    "all layers where there is one": (MOA, {"residual": True}, composite_llm.InvalidOption, "layers of 2 or more"),
    "all layers where nobody reads them": (
        MOA, {"residual": True, "layers": 2, "aggregation": "vote"}, composite_llm.InvalidOption, "synthesize",
    ),
    "an analysis that nobody reads": (
        MOA, {"analysis": True, "aggregation": "vote"}, composite_llm.InvalidOption, "analysis: got a value",
    ),
    "an analysis by a number": (MOA, {"analysis": 2}, composite_llm.InvalidOption, "analysis: got 2"),
    "references of one layer": (MOA, {"references": 2}, composite_llm.InvalidOption, "layers of 2 or more"),
    "quorum above the members": (MOA, {"proposers": [FIRST], "quorum": 2}, composite_llm.InvalidOption, "quorum"),
    "unknown ranking": (COUNCIL, {"ranking": "fair"}, composite_llm.InvalidOption, "ranking"),
    "unknown placement": (MOA, {"reference_placement": "front"}, composite_llm.InvalidOption, "reference_placement"),
    "optional_params as a list": (MOA, {"optional_params": ["x"]}, composite_llm.InvalidOption, "optional_params"),
    "unknown strategy": (f"composite/mao/{FINAL}", {}, composite_llm.UnknownStrategy, "'moa'"),
    # Not a name that OpenAI has: LiteLLM 1.94 sends `composite/gpt-4o` to OpenAI without asking us.
    "no strategy": ("composite/some-model", {}, composite_llm.UnknownStrategy, "composite/moa/"),
    "unknown profile": ("composite/profile/nobody", {}, composite_llm.UnknownProfile, "nobody"),
    "nothing after the strategy": ("composite/moa/", {}, composite_llm.InvalidOption, "composite/moa/"),
    "no slash after the strategy": ("composite/moa", {}, composite_llm.InvalidOption, "composite/moa"),
    "blank after the strategy": ("composite/council/ ", {}, composite_llm.InvalidOption, "composite/council/"),
    "unknown persona": (
        MOA, {"proposers": [{"model": FIRST, "system": "persona:skeptik"}]}, composite_llm.InvalidOption, "skeptic",
    ),
    "no messages": (MOA, {"messages": []}, composite_llm.InvalidOption, "messages"),
    "four levels deep": (
        "composite/moa/composite/moa/composite/moa/composite/moa/openai/x", {}, composite_llm.InvalidOption, "3 levels",
    ),
    **{
        f"node {options['proposers'][1]!r}": (MOA, options, composite_llm.InvalidOption, "proposers.1")
        for options in NODE_PATHS
    },
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_refused_before_anybody_is_asked(
    case: str, failing: Callable[..., Any], server: ThreadedServer
) -> None:
    model, options, ours, named = BAD_INPUT[case]
    unknown = ours in (composite_llm.UnknownStrategy, composite_llm.UnknownProfile)
    error = failing(model, **options)
    assert error.status_code == (404 if unknown else 400)
    assert isinstance(error, exceptions.NotFoundError if unknown else exceptions.BadRequestError)
    assert isinstance(error, ours)
    assert named in str(error)
    assert wire.models(server) == []
    assert_clean(error)


@pytest.mark.parametrize("messages", ["", [], [{"role": "poet", "content": "x"}]], ids=str)
def test_messages_that_are_none_are_refused(messages: Any, failing: Callable[..., Any], server: ThreadedServer) -> None:
    error = failing(proposers=[FIRST], messages=messages)
    assert isinstance(error, composite_llm.InvalidOption)
    assert error.key.startswith("messages")
    assert wire.models(server) == []


@pytest.mark.parametrize("messages", ["hello", {"role": "user"}, ["x"], None], ids=str)
def test_what_is_no_list_of_mappings_is_refused_by_litellm_before_it_asks_us(
    messages: Any, ask_both: Ask, server: ThreadedServer
) -> None:
    with pytest.raises((AttributeError, TypeError, litellm.APIConnectionError)):
        ask_both(proposers=[FIRST], messages=messages)
    assert wire.models(server) == []


def test_a_profile_that_contains_itself_is_refused(
    failing: Callable[..., Any], configure: Callable[[Any], None], server: ThreadedServer
) -> None:
    configure(
        {
            "profiles": {
                "a": {"strategy": "moa", "model": FINAL, "proposers": ["composite/profile/b"]},
                "b": {"strategy": "moa", "model": FINAL, "proposers": ["composite/profile/a"]},
            }
        }
    )
    error = failing("composite/profile/a")
    assert isinstance(error, composite_llm.InvalidOption)
    assert "contains itself" in str(error)
    assert "composite/profile/a > composite/profile/b > composite/profile/a" in str(error)
    assert wire.models(server) == []


def test_an_unknown_profile_lists_the_nearest(failing: Callable[..., Any], configure: Callable[[Any], None]) -> None:
    profile = {"strategy": "moa", "model": FINAL}
    configure({"profiles": {"research": profile, "quick": profile}})
    error = failing("composite/profile/reserch")
    assert str(error).index("'research'") < str(error).index("'quick'")


def test_a_key_in_an_option_is_never_shown(failing: Callable[..., Any]) -> None:
    error = failing(proposers=[{"model": 7, "api_key": "sk-KEY-CANARY", "headers": {"X": "sk-KEY-CANARY"}}])
    assert_clean(error)


@pytest.mark.parametrize("revive", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy],
                         ids=["pickle", "copy", "deepcopy"])  # fmt: skip
def test_an_error_survives(revive: Callable[[Any], Any], failing: Callable[..., Any], server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", body(429))
    error = failing(proposers=[{"model": FIRST, "num_retries": 0}])
    again = revive(error)
    assert isinstance(again, composite_llm.QuorumNotMet)
    assert isinstance(again, exceptions.RateLimitError)
    assert (again.status_code, str(again), again.stage) == (429, str(error), "propose")


def test_an_error_carries_the_trace_of_the_run(failing: Callable[..., Any], server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", body(400))
    error = failing(proposers=[FIRST])
    trace = composite_llm.get_trace(error)
    assert trace.error == error.message
    assert [call.status for call in trace.calls] == ["failed"]
    assert trace.calls[0].attempts[0].status_code == 400
    (attempt,) = trace.calls[0].attempts
    assert attempt.provider_message == "BODY-CANARY ***"
    attempt.provider_message = None
    assert "CANARY" not in trace.model_dump_json()


def test_no_error_of_a_member_reaches_the_reasoning(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", body(400))
    answer = ask_both(proposers=[FIRST, SECOND], reasoning="full")
    shown = answer.choices[0].message.reasoning_content
    assert "HTTP 400" in shown
    assert "CANARY" not in shown


def test_the_best_answer_stands_in_for_a_failed_final_call_on_demand(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": "Mine."})
    server.set_scenario("gpt-4o", body(400))
    messages = [{"role": "user", "content": f"Best? {next(_number)}"}]
    answer = ask_both(proposers=[FIRST, SECOND], on_final_failure="best", messages=messages)
    assert answer.choices[0].message.content == "Mine."
    assert any("failed" in reason for reason in composite_llm.get_trace(answer).degraded)


def test_a_profile_file_that_is_not_yaml_is_named(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text("profiles: [\n")
    with pytest.raises(composite_llm.InvalidConfig, match=r"broken\.yaml, line 2") as caught:
        composite_llm.register(config=file)
    assert caught.value.status_code == 400


def _exception_classes() -> list[type[BaseException]]:
    found = [
        value
        for value in vars(exceptions).values()
        if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__ == exceptions.__name__
    ]
    return sorted(found, key=lambda found_class: found_class.__name__)


@pytest.mark.parametrize("error_class", _exception_classes(), ids=lambda error_class: error_class.__name__)
def test_we_say_explicitly_what_each_exception_of_litellm_means(error_class: type[BaseException]) -> None:
    listed = [known for known, _ in KIND_OF]
    generic = {openai.OpenAIError, openai.APIError, OSError}
    covered = [known for known in listed if issubclass(error_class, known) and known not in generic]
    assert covered, f"{error_class.__name__} needs a line in KIND_OF"


def test_an_exception_nobody_knows_is_a_failure_without_its_text() -> None:
    failure = as_failure(RuntimeError("BODY-CANARY"), "host:1")
    assert failure.kind == "internal"
    assert "BODY-CANARY" not in failure.reason
    assert "RuntimeError" in failure.reason


WORDS_THAT_CLIENTS_LOOK_FOR = ("maximum context length", "this model's maximum context length is")
TOO_LONG: dict[str, dict[str, Any]] = {
    "the final model says so": {"proposers": [FIRST]},
    "all members say so": {"proposers": [{"model": FIRST, "num_retries": 0}, {"model": SECOND, "num_retries": 0}]},
    "it is known before anything is sent": {"proposers": [FIRST], "aggregator": {"context_window": 1}},
}


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("shape", TOO_LONG)
def test_too_long_is_said_in_the_words_that_clients_know(
    shape: str, streamed: bool, ask: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("*" if shape.startswith("all") else "gpt-4o", CONTEXT)
    with pytest.raises(composite_llm.CompositeError) as caught:
        list(ask(stream=streamed, messages=[{"role": "user", "content": "word " * 400}], **TOO_LONG[shape]))
    error: Any = caught.value
    assert isinstance(error, litellm.ContextWindowExceededError)
    assert all(words in str(error).lower() for words in WORDS_THAT_CLIENTS_LOOK_FOR)
    assert_clean(error)


def test_other_errors_do_not_speak_of_the_context_length(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"error": {"status": 400}})
    with pytest.raises(composite_llm.CompositeError) as caught:
        ask(proposers=[FIRST])
    assert "context length" not in str(caught.value)
