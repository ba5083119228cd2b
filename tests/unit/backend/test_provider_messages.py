"""A provider's own sentence: found in bodies of every form, masked and cut, and what it asks of the next try."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.backend.provider_messages import MAX_CHARACTERS, ProviderMessage, provider_message_of
from composite_llm.model.errors import StatedWindow

REQUEST = httpx.Request("POST", "http://127.0.0.1:1/v1/chat/completions")


def refused(body: str, status: int = 400) -> Exception:
    """What LiteLLM raises, as far as it is looked at here: its own exception, raised from the client's."""
    response = httpx.Response(status, text=body, request=REQUEST)
    error = Exception("litellm.BadRequestError: SomeException - whatever")
    error.__cause__ = httpx.HTTPStatusError("Client error", request=REQUEST, response=response)
    return error


BODIES: dict[str, Any] = {
    "openai": {"error": {"message": "No.", "type": "invalid_request_error", "param": None, "code": None}},
    "anthropic": {"type": "error", "error": {"type": "invalid_request_error", "message": "No."}},
    "gemini": {"error": {"code": 400, "message": "No.", "status": "INVALID_ARGUMENT"}},
    "gemini's streams": [{"error": {"code": 400, "message": "No."}}],
    "older vllm": {"object": "error", "message": "No.", "type": "BadRequestError", "code": 400},
    "ollama": {"error": "No."},
    "fastapi": {"detail": "No."},
    "fastapi's validation": {"detail": [{"loc": ["body"], "msg": "No.", "type": "missing"}]},
    "errors": {"errors": [{"message": "No."}]},
    "bare": "No.",
}


@pytest.mark.parametrize("form", BODIES)
def test_the_sentence_is_found_in_the_body_of(form: str) -> None:
    assert provider_message_of(refused(json.dumps(BODIES[form]))).sentence == "No."


def test_a_body_that_is_no_json_is_the_sentence() -> None:
    assert provider_message_of(refused("  Bad\n gateway  ")).sentence == "Bad gateway"


def test_half_a_pair_and_nul_in_it_can_be_stored() -> None:
    assert provider_message_of(refused('{"error": {"message": "No \\ud83d\\u0000."}}')).sentence == "No \ufffd."


@pytest.mark.parametrize(
    "message",
    [
        'litellm.BadRequestError: AnthropicException - {"error": {"message": "No."}}',
        'litellm.BadRequestError: Vertex_ai_betaException BadRequestError - b\'{"error": {"message": "No."}}\'',
        "litellm.APIError: APIError: OpenrouterException - No.",
    ],
)
def test_without_a_response_it_is_what_litellm_quotes(message: str) -> None:
    assert provider_message_of(Exception(message)).sentence == "No."


@pytest.mark.parametrize(
    "error",
    [
        Exception("litellm.UnsupportedParamsError: openai does not support parameters: ['stop']"),
        ValueError("x"),
        httpx.ConnectError("Cannot connect to host"),
        ConnectionRefusedError(111, "Connect call failed"),
    ],
    ids=str,
)
def test_where_no_provider_answered_there_is_no_sentence(error: Exception) -> None:
    outer = Exception("litellm.InternalServerError: OpenAIException - Connection error.")
    outer.__cause__ = error
    assert provider_message_of(error) == ProviderMessage()
    if not isinstance(error, ValueError) and "Unsupported" not in str(error):
        assert provider_message_of(outer) == ProviderMessage()


def test_an_error_of_the_clients_without_a_response_says_nothing() -> None:
    # LiteLLM makes such ones, of parameters that a model does not take.
    assert provider_message_of(openai.BadRequestError.__new__(openai.BadRequestError)) == ProviderMessage()


def test_keys_are_masked_before_the_sentence_is_cut() -> None:
    key = "sk-" + "a1" * 30
    sentence = provider_message_of(
        refused(json.dumps({"error": {"message": "x" * 470 + f" {key} and more" + "y" * 600}}))
    ).sentence
    assert sentence is not None
    assert len(sentence) == MAX_CHARACTERS
    assert "a1a1" not in sentence
    assert "***" in sentence
    assert sentence.endswith("…")


STRICT = [
    "Conversation roles must alternate user/assistant/user/assistant/...",
    "After the optional system message, conversation roles must alternate user and assistant roles except for tool calls "
    "and results.",
    'messages: roles must alternate between "user" and "assistant", but found multiple "user" roles in a row',
    "A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user "
    "and assistant roles and try again.",
    "A conversation must start with a user message. Try again with a conversation that starts with a user message.",
    "Please ensure that multiturn requests alternate between user and model.",
    "After the (optional) system message(s), user or tool message(s) should alternate with assistant message(s).",
    "deepseek-reasoner does not support successive user or assistant messages (messages[1] and messages[2] in your "
    "input). You should interleave the user/assistant messages in the message sequence.",
    'Error rendering prompt with jinja template: "Conversation roles must alternate user/assistant/user/assistant/..."',
    "user and assistant roles should be alternating",
    "Messages with consecutive user roles are not allowed: found two user messages in a row",
]
NO_SYSTEM = [
    "System role not supported",
    "System role is not supported.",
    "system messages are not supported by this model",
    "Only user and assistant roles are supported!",
    "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
    "This model doesn't support system messages. Try again without a system message or use a model that supports system "
    "messages.",
    "Developer instruction is not enabled for models/gemma-3-27b-it",
    "Invalid role: system",
]
NO_FORMAT = [
    "This response_format type is unavailable now",
    "'response_format' of type 'json_schema' is not supported with this model",
    "Unrecognized request argument supplied: response_format",
    "JSON mode is not enabled for this model",
    "Structured outputs are not supported",
]


@pytest.mark.parametrize(
    ("sentence", "restriction"),
    [
        *((sentence, "strict_turns") for sentence in STRICT),
        *((sentence, "no_system_role") for sentence in NO_SYSTEM),
        *((sentence, "no_response_format") for sentence in NO_FORMAT),
    ],
)
@pytest.mark.parametrize("status", [400, 500])
def test_what_a_request_has_to_do_without_is_read_off_the_sentence(
    sentence: str, restriction: str, status: int
) -> None:
    words = provider_message_of(refused(json.dumps({"error": {"message": sentence}}), status))
    assert words.restriction == restriction
    # llama.cpp answers with a 500 where a template cannot be rendered.
    assert words.kind("unavailable" if status == 500 else "rejected") == "rejected"


@pytest.mark.parametrize(
    "sentence",
    [
        "The model is overloaded. Please use an alternative model.",
        "Invalid value for temperature",
        "The system is busy",
        "System overload, message not accepted at this time",
        "Field 'n': Value must be between 1 <= value <= 1",
        "user not found",
    ],
)
def test_other_sentences_ask_for_nothing(sentence: str) -> None:
    words = provider_message_of(refused(json.dumps({"error": {"message": sentence}}), 503))
    assert words.restriction is None
    assert words.kind("unavailable") == "unavailable"


def test_a_refusal_of_a_long_prompt_is_one_whatever_litellm_makes_of_it() -> None:
    words = provider_message_of(refused(json.dumps({"error": {"message": "prompt is too long: 9 tokens > 3 maximum"}})))
    assert words.window == StatedWindow(3, 9)
    assert words.kind("rejected") == "context_window"
    assert words.kind("rate_limited") == "rate_limited"


@given(
    st.text()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["error", "message", "detail", "n_ctx", "code", "x"]), inner)
        ),
    ).map(json.dumps)
)
def test_no_body_is_too_odd(body: str) -> None:
    sentence = provider_message_of(refused(body)).sentence
    assert sentence is None or len(sentence) <= MAX_CHARACTERS


@pytest.mark.parametrize(
    ("sentence", "restriction"),
    [
        ("Missing `reasoning_content` field in the assistant message at message index 1.", "reasoning_required"),
        ("thinking is enabled but reasoning_content is missing in assistant tool call message", "reasoning_required"),
        ("The reasoning_content in the thinking mode must be passed back to the API.", "reasoning_required"),
        ("messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found", "reasoning_required"),
        ("Function call is missing a thought_signature in functionCall parts.", "signatures_required"),
        ("messages.1.content.0: Invalid `signature` in `thinking` block", "other_signatures"),
        ("Thought signature is not valid.", "other_signatures"),
        ("'messages.1' : property 'reasoning_content' is unsupported", "no_reasoning"),
        ("messages.1.assistant.reasoning_content: Extra inputs are not permitted", "no_reasoning"),
        ("Unrecognized key(s) in object: 'reasoning_content'", "no_reasoning"),
        ("property 'reasoning' is unsupported", "no_reasoning"),
        # These are about parameters of the call.
        ("reasoning_effort is not supported with this model", None),
        ("Unsupported parameter: 'reasoning_effort'", None),
        ("`max_tokens` must be greater than `thinking.budget_tokens`", None),
        ("This model does not support thinking", None),
    ],
)
def test_what_a_refusal_says_of_a_models_own_reasoning(sentence: str, restriction: str | None) -> None:
    assert provider_message_of(refused(json.dumps({"error": {"message": sentence}}))).restriction == restriction
