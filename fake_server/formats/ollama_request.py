"""Requests to Ollama's own API."""

from collections.abc import Iterator
from typing import Any

from fake_server.errors import RequestError
from fake_server.formats.reading import an_object, as_object, function_call, objects, whole
from fake_server.request import ChatRequest


def read_chat_request(body: object) -> ChatRequest:
    """Return a request to `/api/chat`.

    Raises:
        RequestError: 400 in Ollama's words.
    """
    request = an_object(body)
    messages = list(_messages(request.get("messages")))
    if not messages:
        # Ollama loads the model and says nothing; a test that sends this has made a mistake.
        raise RequestError(400, "messages is required")
    return _request(request, messages)


def read_completion_request(body: object) -> ChatRequest:
    """Return a request to `/api/generate`.

    Raises:
        RequestError: 400 in Ollama's words.
    """
    request = an_object(body)
    messages = [{"role": "user", "content": str(request.get("prompt") or "")}]
    if request.get("system"):
        messages.insert(0, {"role": "system", "content": str(request["system"])})
    return _request(request, messages)


def _request(request: dict[str, Any], messages: list[dict[str, Any]]) -> ChatRequest:
    model = request.get("model")
    if not isinstance(model, str) or not model:
        raise RequestError(400, "model is required")
    return ChatRequest(
        body=request,
        model=model,
        messages=messages,
        texts=[_text(message["content"]) for message in messages],
        n=1,
        limit=whole(as_object(request.get("options")), "num_predict"),
        # Ollama streams unless it is told not to.
        stream=request.get("stream") is not False,
        include_usage=True,
        format="ollama",
    )


def _messages(value: object) -> Iterator[dict[str, Any]]:
    """The conversation in the one form that the rules and the default answers read."""
    for message in objects(value):
        content = message.get("content") or ""
        if not isinstance(content, str):
            kind = "array" if isinstance(content, list) else "object"
            raise RequestError(
                400, f"json: cannot unmarshal {kind} into Go struct field ChatRequest.messages.content of type string"
            )
        images = [{"type": "image_url"} for _image in message.get("images") or ()]
        functions = [as_object(call.get("function")) for call in objects(message.get("tool_calls"))]
        calls = [function_call(None, function.get("name"), function.get("arguments")) for function in functions]
        yield {
            "role": message.get("role"),
            "content": [{"type": "text", "text": content}, *images] if images else content,
            **({"tool_calls": calls} if calls else {}),
        }


def _text(content: str | list[dict[str, Any]]) -> str:
    return content if isinstance(content, str) else str(content[0]["text"])
