"""A request to OpenAI's Responses in the one form that the rules and the default answers read."""

from collections.abc import Iterator
from typing import Any

from fake_server.errors import RequestError
from fake_server.formats.reading import an_object, objects, whole
from fake_server.request import ChatRequest

_PARTS = {"input_image": "image_url", "input_file": "file", "input_audio": "input_audio"}


def read_responses_request(body: object) -> ChatRequest:
    """Return the request in a JSON body.

    Raises:
        RequestError: 400 in the API's words.
    """
    request = an_object(body)
    model, given = request.get("model"), request.get("input")
    if not isinstance(model, str) or not model:
        raise RequestError(400, "Missing required parameter: 'model'.", param="model")
    if not given or not isinstance(given, str | list):
        raise RequestError(400, "Missing required parameter: 'input'.", param="input")
    _check_calls(given)
    messages = list(_messages(request, given))
    return ChatRequest(
        body=request,
        model=model,
        messages=messages,
        texts=[_joined(message["content"]) for message in messages],
        n=1,
        limit=whole(request, "max_output_tokens"),
        stream=request.get("stream") is True,
        include_usage=True,
        format="responses",
    )


def _messages(request: dict[str, Any], given: str | list[Any]) -> Iterator[dict[str, Any]]:
    if isinstance(request.get("instructions"), str):
        yield {"role": "system", "content": request["instructions"]}
    if isinstance(given, str):
        yield {"role": "user", "content": given}
        return
    step: dict[str, Any] | None = None
    for item in objects(given):
        if item.get("type") in ("reasoning", "function_call"):
            step = _with(step or {"role": "assistant", "content": ""}, item)
            continue
        if step is not None:
            yield step
            step = None
        if item.get("type") == "function_call_output":
            yield {"role": "tool", "tool_call_id": item.get("call_id"), "content": _content(item.get("output"))}
        else:
            yield {"role": item.get("role"), "content": _content(item.get("content"))}
    if step is not None:
        yield step


def _with(step: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    """The assistant's message with one more item of it."""
    if item["type"] == "reasoning":
        return {**step, "reasoning_content": "".join(str(part.get("text")) for part in objects(item.get("summary")))}
    function = {"name": item.get("name"), "arguments": item.get("arguments")}
    call = {"id": item.get("call_id"), "type": "function", "function": function}
    return {**step, "tool_calls": [*step.get("tool_calls", ()), call]}


def _content(content: object) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    parts = objects(content)
    return [{"type": _PARTS.get(str(part.get("type")), "text"), "text": part.get("text")} for part in parts]


def _joined(content: str | list[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if isinstance(part["text"], str))


def _check_calls(given: str | list[Any]) -> None:
    items = objects(given)
    called = [item.get("call_id") for item in items if item.get("type") == "function_call"]
    answered = [item.get("call_id") for item in items if item.get("type") == "function_call_output"]
    for call_id in called:
        if call_id not in answered:
            raise RequestError(400, f"No tool output found for function call {call_id}.", param="input")
    for call_id in answered:
        if call_id not in called:
            raise RequestError(
                400, f"No tool call found for function call output with call_id {call_id}.", param="input"
            )
