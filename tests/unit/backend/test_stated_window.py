"""Context windows as providers name them when they refuse a prompt."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.backend.stated_window import stated_window
from composite_llm.model.errors import StatedWindow

SENTENCES: dict[str, tuple[str, StatedWindow]] = {
    "openai": (
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9123 tokens. Please "
        "reduce the length of the messages.",
        StatedWindow(8192, 9123),
    ),
    "openai with an answer": (
        "This model's maximum context length is 8192 tokens. However, you requested 8700 tokens (8200 in the messages, "
        "500 in the completion). Please reduce the length of the messages or completion.",
        StatedWindow(8192, 8200, 500),
    ),
    "openai with functions": (
        "This model's maximum context length is 16385 tokens. However, you requested 16900 tokens (15000 in the messages, "
        "900 in the functions, and 1000 in the completion).",
        StatedWindow(16385, 15900, 1000),
    ),
    "openrouter": (
        "This endpoint's maximum context length is 32768 tokens. However, you requested about 40123 tokens (39623 of "
        "text input, 500 in the output). Please reduce the length of either one.",
        StatedWindow(32768, 39623, 500),
    ),
    "vllm": (
        "This model's maximum context length is 2048 tokens. However, you requested 2500 tokens (2000 in the messages, "
        "500 in the completion). Please reduce the length of the messages or completion.",
        StatedWindow(2048, 2000, 500),
    ),
    "vllm, newer": (
        "'max_tokens' or 'max_completion_tokens' is too large: 3000. This model's maximum context length is 4096 tokens "
        "and your request has 2000 input tokens (3000 > 4096 - 2000).",
        StatedWindow(4096, 2000),
    ),
    "vllm, newest": (
        "You passed 5000 input tokens and requested 100 output tokens. However, the model's context length is only 4096 "
        "tokens, resulting in a maximum input length of 3996 tokens.",
        StatedWindow(4096, 5000, 100),
    ),
    "vllm's decoder": (
        "The decoder prompt (length 5000) is longer than the maximum model length of 4096. Make sure that "
        "`max_model_len` is no smaller than the number of text tokens.",
        StatedWindow(4096, 5000),
    ),
    "anthropic": ("prompt is too long: 210,000 tokens > 200,000 maximum", StatedWindow(200_000, 210_000)),
    "anthropic with an answer": (
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or "
        "`max_tokens` and try again",
        StatedWindow(200_000, 190_000, 20_000),
    ),
    "gemini": (
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        StatedWindow(1_048_576, 1_200_000),
    ),
    "llama.cpp": (
        "request (1234 tokens) exceeds the available context size (768 tokens), try increasing it",
        StatedWindow(768, 1234),
    ),
    "mistral": (
        "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
        StatedWindow(32_768, 40_000),
    ),
    "cohere": (
        "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000. Try using a shorter "
        "prompt.",
        StatedWindow(4081, 5000),
    ),
    "text generation inference": (
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: 2000 `inputs` tokens and "
        "100 `max_new_tokens`",
        StatedWindow(2048, 2000, 100),
    ),
    "text generation inference, inputs": (
        "Input validation error: `inputs` must have less than 1024 tokens. Given: 3000",
        StatedWindow(1024, 3000),
    ),
    "sglang": (
        "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
        StatedWindow(4096, 5000),
    ),
    "sglang with an answer": (
        "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total of 5000 "
        "tokens: 4000 tokens from the input messages and 1000 tokens for the completion.",
        StatedWindow(4096, 4000, 1000),
    ),
    "fireworks": ("The prompt is too long: 5000, model maximum context length: 4096", StatedWindow(4096, 5000)),
    "xai": (
        "This model's maximum prompt length is 131072 but the request contains 200000 tokens.",
        StatedWindow(131_072, 200_000),
    ),
    "lm studio": (
        "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with context "
        "length of only 4096 tokens, which is not enough.",
        StatedWindow(4096, 5000),
    ),
    "cerebras": (
        "Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192",
        StatedWindow(8192, 9000),
    ),
    "dashscope": ("Range of input length should be [1, 30720]", StatedWindow(30_720)),
    "moonshot": ("Invalid request: Your request exceeded model token limit: 8192", StatedWindow(8192)),
    "ollama": ("the input length exceeds the context length", StatedWindow()),
    "responses": ("Your input exceeds the context window of this model. Please adjust your input.", StatedWindow()),
    "bedrock": ("Input is too long for requested model.", StatedWindow()),
    "groq": ("Please reduce the length of the messages or completion.", StatedWindow()),
}


@pytest.mark.parametrize("form", SENTENCES)
def test_the_window_is_read_off_the_refusal_of(form: str) -> None:
    sentence, told = SENTENCES[form]
    assert stated_window(sentence, None) == told


@pytest.mark.parametrize(
    ("sentence", "body", "told"),
    [
        (
            "the request exceeds the available context size. try increasing the context size",
            {"error": {"type": "exceed_context_size_error", "n_prompt_tokens": 900, "n_ctx": 768}},
            StatedWindow(768, 900),
        ),
        ("No.", {"error": {"code": "context_length_exceeded"}}, StatedWindow()),
        ("No.", {"code": "context_length_exceeded"}, StatedWindow()),
        ("No.", {"error": "No."}, None),
        ("No.", {"error": {"n_ctx": "768", "n_prompt_tokens": True}}, None),
    ],
)
def test_the_body_tells_it_too(sentence: str, body: Any, told: StatedWindow | None) -> None:
    assert stated_window(sentence, body) == told


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        "context deadline exceeded",
        "Post http://10.0.0.1/api/chat: context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
        "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29000, Requested 5000.",
        "Number of input tokens has exceeded your per minute rate limit",
        "You exceeded your current quota, please check your plan and billing details.",
        "max_tokens is too large: 5000. This model supports at most 4096 completion tokens.",
        "max_tokens must be at least 1, got 0",
        "Invalid value for 'temperature': expected at most 2.",
        "Conversation roles must alternate user/assistant/user/assistant/...",
        "The model `gpt-9` does not exist",
    ],
)
def test_other_refusals_name_no_window(sentence: str) -> None:
    assert stated_window(sentence, {"error": {"message": sentence}}) is None


@given(
    st.text(max_size=300) | st.from_regex(r"(?:[a-z ]{0,10}(?:tokens|context length|exceeds) ?\d{0,12}[,.(]?){0,12}")
)
def test_whatever_the_sentence_nothing_is_raised_and_a_limit_is_a_number_above_0(sentence: str) -> None:
    told = stated_window(sentence, None)
    assert told is None or told.limit is None or told.limit > 0


def test_a_long_sentence_is_read_in_no_time() -> None:
    for unit in ("maximum context length is ", "exceeds the context ", "prompt (length ", "tokens, input ", "1,234 "):
        stated_window(unit * 100_000, None)
