"""A request to the Gemini API: what it says, and what the API refuses of it."""

from collections.abc import Iterator
from typing import Any

from fake_server.errors import RequestError
from fake_server.formats.reading import an_object, as_object, function_call, objects, whole
from fake_server.request import ChatRequest

# The API takes each name in both spellings.
_KNOWN = frozenset(
    {
        "cachedContent",
        "contents",
        "generationConfig",
        "labels",
        "model",
        "safetySettings",
        "serviceTier",
        "store",
        "systemInstruction",
        "toolConfig",
        "tools",
    }
)
_KNOWN_CONFIG = frozenset(
    {
        "audioTimestamp",
        "candidateCount",
        "enableEnhancedCivicAnswers",
        "frequencyPenalty",
        "imageConfig",
        "logprobs",
        "maxOutputTokens",
        "mediaResolution",
        "presencePenalty",
        "responseJsonSchema",
        "responseLogprobs",
        "responseMimeType",
        "responseModalities",
        "responseSchema",
        "seed",
        "speechConfig",
        "stopSequences",
        "temperature",
        "thinkingConfig",
        "topK",
        "topP",
    }
)


def read_generate_request(model: str, method: str, body: object) -> ChatRequest:
    """Return the request in a JSON body.

    Raises:
        RequestError: 400 in the API's words.
    """
    request = _camel(an_object(body))
    _check_names(request, _KNOWN, "")
    config = _camel(as_object(request.get("generationConfig")))
    _check_names(config, _KNOWN_CONFIG, " at 'generation_config'")
    if not request.get("contents"):
        raise RequestError(400, "* GenerateContentRequest.contents: contents is not specified\n")
    _check_turns(request["contents"])
    messages = list(_messages(request))
    return ChatRequest(
        body=request,
        model=model,
        messages=messages,
        texts=[message["content"] for message in messages],
        n=whole(config, "candidateCount") or 1,
        limit=whole(config, "maxOutputTokens"),
        stream=method == "streamGenerateContent",
        include_usage=True,
        format="gemini",
    )


def _messages(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The conversation in the one form that the rules and the default answers read."""
    system = _text(as_object(request.get("systemInstruction")))
    if system:
        yield {"role": "system", "content": system}
    for content in objects(request["contents"]):
        parts = objects(content.get("parts"))
        for part in parts:
            if "functionResponse" in part:
                response = as_object(part["functionResponse"])
                yield {"role": "tool", "tool_call_id": response.get("id"), "content": str(response.get("response"))}
        calls = [
            function_call(call.get("id"), call.get("name"), call.get("args"))
            for call in (as_object(part["functionCall"]) for part in parts if "functionCall" in part)
        ]
        if calls or any("functionResponse" not in part for part in parts):
            role = "assistant" if content.get("role") == "model" else "user"
            yield {"role": role, "content": _text(content), **({"tool_calls": calls} if calls else {})}


def _text(content: dict[str, Any]) -> str:
    parts = objects(content.get("parts"))
    return "\n".join(part["text"] for part in parts if isinstance(part.get("text"), str))


def _camel(value: dict[str, Any]) -> dict[str, Any]:
    return {_camel_name(name): item for name, item in value.items()}


def _camel_name(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _check_names(value: dict[str, Any], known: frozenset[str], where: str) -> None:
    for name in value:
        if name not in known:
            raise RequestError(400, f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.')


def _check_turns(contents: object) -> None:
    before: dict[str, Any] = {}
    for content in objects(contents):
        role = content.get("role", "user")
        if role not in ("user", "model", "function"):
            raise RequestError(400, "Please use a valid role: user, model.")
        calls, results = _counted(content, "functionCall"), _counted(content, "functionResponse")
        if calls and (not before or before.get("role") == "model"):
            raise RequestError(
                400,
                "Please ensure that function call turn comes immediately after a user turn or after a function "
                "response turn.",
            )
        if results != _counted(before, "functionCall"):
            raise RequestError(
                400,
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn.",
            )
        before = content


def _counted(content: dict[str, Any], kind: str) -> int:
    return sum(kind in part for part in objects(content.get("parts")))
