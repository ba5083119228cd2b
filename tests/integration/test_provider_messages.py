"""A provider's own sentence: in the trace and the debug log, masked and cut; in no error, answer or summary."""

from __future__ import annotations

import logging
from typing import Any

import openai
import pytest

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FIRST, SECOND, Ask, at

pytestmark = pytest.mark.usefixtures("no_cached_answers")

KEY = "sk-abcdefgh12345678"
SENTENCE = f"Field 'n' must be 1; your key {KEY} said so"
MASKED = "Field 'n' must be 1; your key *** said so"
REFUSED = {"error": {"status": 400, "message": SENTENCE}}
ADAPTERS = [
    "openai", "hosted_vllm", "lm_studio", "llamafile", "custom_openai", "deepseek", "mistral", "openrouter", "groq", "together_ai",
]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_it_is_found_through_every_adapter(adapter: str, stream: bool, ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("strict", REFUSED)
    strict = at(server, f"{adapter}/strict")
    answer = ask(
        proposers=[strict, at(server, FIRST)],
        aggregator={**strict, "fallbacks": [at(server, SECOND)]},
        stream=stream,
    )
    if stream:
        assert list(answer)
    trace = composite_llm.get_trace(answer)
    assert trace.calls[0].attempts[0].provider_message == MASKED
    assert trace.calls[-1].attempts[0].provider_message == MASKED
    assert trace.calls[1].attempts[0].provider_message is None
    assert composite_llm.get_trace(answer).model_validate_json(trace.model_dump_json()) == trace


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_error_within_a_stream_is_the_providers_and_its_words_are_found(
    adapter: str, ask: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("strict", {**REFUSED, "error_after_chunks": 2})
    stream = ask(proposers=[at(server, FIRST)], aggregator=at(server, f"{adapter}/strict"), stream=True)
    with pytest.raises(openai.APIError, match="unavailable") as caught:
        list(stream)
    words = composite_llm.get_trace(stream).calls[-1].attempts[0].provider_message or ""
    # LiteLLM puts OpenRouter's into a sentence of its own.
    assert "Field 'n' must be 1" in words
    assert KEY not in words
    assert "Field 'n'" not in str(caught.value)


def test_it_is_in_no_error_no_summary_and_no_prompt(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", REFUSED)
    answer = ask_both(proposers=[FIRST, SECOND], reasoning="full")
    assert "Field 'n'" not in answer.model_dump_json()
    assert all("Field 'n'" not in str(record.body) for record in server.ledger.records)
    server.set_scenario("gpt-4o", REFUSED)
    with pytest.raises(composite_llm.FinalCallFailed) as caught:
        ask_both(proposers=[SECOND])
    assert "Field 'n'" not in f"{caught.value} {caught.value!r} {caught.value.args}"
    assert composite_llm.get_trace(caught.value).calls[-1].attempts[0].provider_message == MASKED


def test_it_is_not_in_a_stream(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", REFUSED)
    chunks = list(ask(COUNCIL, members=[FIRST, SECOND], stream=True, reasoning="full"))
    assert "Field 'n'" not in "".join(chunk.model_dump_json() for chunk in chunks)


def test_it_is_cut_after_500_characters(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"error": {"status": 503, "message": "word " * 500}})
    answer = ask(proposers=[{"model": FIRST, "num_retries": 0}, SECOND])
    said = composite_llm.get_trace(answer).calls[0].attempts[0].provider_message
    assert said is not None
    assert len(said) == 500


@pytest.mark.parametrize("scenario", [{"drop": "before"}, {"hang": True}, {"malformed_json": True}], ids=str)
def test_where_nothing_was_said_there_is_nothing(scenario: dict[str, Any], ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", scenario)
    answer = ask(proposers=[{"model": FIRST, "num_retries": 0, "timeout": 1.0}, SECOND])
    assert composite_llm.get_trace(answer).calls[0].attempts[0].provider_message is None


def test_the_debug_log_has_it(ask: Ask, server: ThreadedServer, caplog: pytest.LogCaptureFixture) -> None:
    server.set_scenario("gpt-4o-mini", REFUSED)
    with caplog.at_level(logging.INFO, logger="composite_llm"):
        ask(proposers=[FIRST, SECOND])
    assert "Field 'n'" not in caplog.text
    with caplog.at_level(logging.DEBUG, logger="composite_llm"):
        ask(proposers=[FIRST, SECOND])
    assert f"the provider said: {MASKED}" in caplog.text
    assert KEY not in caplog.text
    assert len(wire.records(server, "gpt-4o-mini")) == 2
