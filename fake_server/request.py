"""A chat completion request, read from its JSON body."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from fake_server.errors import RequestError
from fake_server.tokens import count_tokens
from fake_server.wire_json import json_text

MAX_CHOICES = 128
MAX_TOP_LOGPROBS = 20
_MAX_LIMIT = 2**31

Format = Literal["openai", "anthropic", "gemini", "ollama", "responses"]


@dataclass(slots=True)
class ChatRequest:
    """The parts of a request that an answer depends on."""

    body: dict[str, Any]
    model: str
    messages: list[dict[str, Any]]
    texts: list[str]
    n: int
    limit: int | None
    stream: bool
    include_usage: bool
    format: Format = "openai"

    @property
    def text(self) -> str:
        """The text of all messages."""
        return "\n".join(self.texts)

    @property
    def last_user(self) -> str:
        """The text of the last user message, or of the last message when no user spoke."""
        for message, text in zip(reversed(self.messages), reversed(self.texts), strict=True):
            if message.get("role") == "user":
                return text
        return self.texts[-1]

    @property
    def wants_logprobs(self) -> bool:
        """Whether logprobs were asked for."""
        return self.body.get("logprobs") is True

    @property
    def top_logprobs(self) -> int:
        """How many alternatives were asked for at each token."""
        return _whole(self.body, "top_logprobs", low=0, high=MAX_TOP_LOGPROBS) or 0

    def prompt_tokens(self) -> int:
        """Return the tokens of all message text and all tool text."""
        tools = self.body.get("tools")
        parts = [*self.texts, *_tool_call_texts(self.messages)]
        if tools:
            parts.append(json_text(tools))
        return count_tokens("".join(parts))


def read_request(body: object) -> ChatRequest:
    """Return the request in a JSON body.

    Raises:
        RequestError: 400 that names the wrong parameter.
    """
    if not isinstance(body, dict):
        raise RequestError(400, "The body must be a JSON object.")
    messages = _messages(body.get("messages"))
    options = body.get("stream_options")
    return ChatRequest(
        body=body,
        model=_model(body.get("model")),
        messages=messages,
        texts=[_content_text(message.get("content")) for message in messages],
        n=_whole(body, "n", low=1, high=MAX_CHOICES) or 1,
        limit=_whole(body, "max_completion_tokens", high=_MAX_LIMIT) or _whole(body, "max_tokens", high=_MAX_LIMIT),
        stream=body.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
    )


def _model(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise RequestError(400, "You must provide a model parameter.", param="model")
    return value


def _messages(value: object) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value or not all(isinstance(message, dict) for message in value):
        raise RequestError(400, "'messages' must be an array of objects that is not empty.", param="messages")
    return value


def _whole(body: dict[str, Any], name: str, *, low: int = 1, high: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if type(value) is not int or not low <= value <= high:
        message = f"'{name}' must be a whole number from {low} to {high}."
        raise RequestError(400, message, param=name)
    return value


def _content_text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


def _tool_call_texts(messages: list[dict[str, Any]]) -> Iterator[str]:
    for message in messages:
        calls = message.get("tool_calls")
        if calls:
            yield json_text(calls)
