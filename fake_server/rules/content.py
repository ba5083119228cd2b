"""Rules on what a message holds."""

import re
from collections.abc import Iterator
from typing import Any

from fake_server.request import ChatRequest
from fake_server.rules.refusal import Refusal, openai_refusal
from fake_server.rules.signatures import Signatures
from fake_server.wire_json import json_text

_HALF_PAIR = re.compile("[\ud800-\udfff]")


def no_images(request: ChatRequest, _signatures: Signatures) -> Refusal | None:
    """OpenAI's models that read text only."""
    return _no_parts(request, "image_url")


def no_audio(request: ChatRequest, _signatures: Signatures) -> Refusal | None:
    """OpenAI's models that do not listen."""
    return _no_parts(request, "input_audio")


def no_files(request: ChatRequest, _signatures: Signatures) -> Refusal | None:
    """OpenAI's models that read no documents."""
    return _no_parts(request, "file")


def no_tool_images(request: ChatRequest, _signatures: Signatures) -> Refusal | None:
    """OpenAI: a picture belongs to a user, not to a tool."""
    for number, _at, part in _parts(request):
        role = request.messages[number].get("role")
        if part.get("type") == "image_url" and role != "user":
            return openai_refusal(
                f"Invalid 'messages[{number}]'. Image URLs are only allowed for messages with role 'user', "
                f"but this message with role '{role}' contains an image URL.",
                param=f"messages[{number}]",
                code="invalid_value",
            )
    return None


def string_content(request: ChatRequest, _signatures: Signatures) -> Refusal | None:
    """DeepSeek: the content is a text, not a list of parts."""
    for number, message in enumerate(request.messages):
        if isinstance(message.get("content"), list):
            return openai_refusal(
                f"Failed to deserialize the JSON body into the target type: messages[{number}]: "
                "invalid type: sequence, expected a string",
                code="invalid_request_error",
            )
    return None


def clean_text(request: ChatRequest, _signatures: Signatures) -> Refusal | None:
    """Anthropic refuses half a surrogate pair; servers that hand texts to C or to Postgres refuse NUL."""
    text = json_text(request.body)
    if _HALF_PAIR.search(text):
        message = "The request body is not valid JSON: no low surrogate in string"
    elif "\\u0000" in text.replace("\\\\", ""):
        message = "The request body is not valid JSON: invalid NUL character in string"
    else:
        return None
    return openai_refusal(message)


def _no_parts(request: ChatRequest, kind: str) -> Refusal | None:
    for number, at, part in _parts(request):
        if part.get("type") == kind:
            return openai_refusal(
                f"Invalid content type. {kind} is only supported by certain models.",
                param=f"messages.[{number}].content.[{at}].type",
            )
    return None


def _parts(request: ChatRequest) -> Iterator[tuple[int, int, dict[str, Any]]]:
    for number, message in enumerate(request.messages):
        content = message.get("content")
        for at, part in enumerate(content if isinstance(content, list) else ()):
            if isinstance(part, dict):
                yield number, at, part
