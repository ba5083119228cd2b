"""A request to Anthropic's Messages: what it says, and what the API refuses of it."""

from collections.abc import Iterator
from typing import Any

from fake_server.errors import RequestError
from fake_server.formats.reading import an_object, as_object, function_call, objects
from fake_server.request import ChatRequest

_PARTS = {"image": "image_url", "document": "file"}
_MIN_BUDGET = 1024
_THINKING_PAGE = "https://docs.claude.com/en/docs/build-with-claude/extended-thinking"


def read_messages_request(body: object) -> ChatRequest:
    """Return the request in a JSON body.

    Raises:
        RequestError: 400 in the API's words.
    """
    request = an_object(body)
    model, limit = request.get("model"), request.get("max_tokens")
    if not isinstance(model, str) or not model:
        raise RequestError(400, "model: Field required")
    if limit is None:
        raise RequestError(400, "max_tokens: Field required")
    if type(limit) is not int or limit < 1:
        raise RequestError(400, "max_tokens: Input should be greater than or equal to 1")
    _check_messages(request)
    _check_thinking(request, limit)
    messages = list(_messages(request))
    return ChatRequest(
        body=request,
        model=model,
        messages=messages,
        texts=[_joined(message["content"]) for message in messages],
        n=1,
        limit=limit,
        stream=request.get("stream") is True,
        include_usage=True,
        format="anthropic",
    )


def _messages(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The conversation in the one form that the rules and the default answers read."""
    system = _content(request.get("system"))
    if system:
        yield {"role": "system", "content": system}
    for message in request["messages"]:
        blocks = objects(message.get("content"))
        for block in blocks:
            if block.get("type") == "tool_result":
                content = _content(block.get("content"))
                yield {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": content}
        calls = [
            function_call(block.get("id"), block.get("name"), block.get("input"))
            for block in blocks
            if block.get("type") == "tool_use"
        ]
        content = _content(message.get("content"))
        if content or calls or not blocks:
            extra = {"tool_calls": calls} if calls else {}
            yield {"role": message["role"], "content": content, **extra}


def _content(content: object) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    blocks = [block for block in objects(content) if block.get("type") in ("text", *_PARTS)]
    return [{"type": _PARTS.get(block["type"], "text"), "text": block.get("text")} for block in blocks]


def _joined(content: str | list[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if isinstance(part["text"], str))


def _check_messages(request: dict[str, Any]) -> None:
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RequestError(400, "messages: at least one message is required")
    for number, message in enumerate(messages):
        role = as_object(message).get("role")
        if role not in ("user", "assistant"):
            allowed = 'Allowed roles are "user" or "assistant"'
            raise RequestError(400, f'messages: Unexpected role "{role}". {allowed}')
        _check_blocks(number, message.get("content"), last=number == len(messages) - 1)
    if messages[0]["role"] != "user":
        raise RequestError(400, 'messages: first message must use the "user" role')
    _check_tool_pairs(messages)


def _check_blocks(number: int, content: object, *, last: bool) -> None:
    if not content and not last:
        raise RequestError(
            400,
            f"messages.{number}: all messages must have non-empty content except for the optional final assistant message",
        )
    for block in objects(content):
        if block.get("type") == "text" and not block.get("text"):
            raise RequestError(400, "messages: text content blocks must be non-empty")


def _check_tool_pairs(messages: list[dict[str, Any]]) -> None:
    waiting: dict[str, None] = {}
    for number, message in enumerate(messages):
        blocks = objects(message.get("content"))
        results = {b.get("tool_use_id") for b in blocks if b.get("type") == "tool_result"}
        missing = [identifier for identifier in waiting if identifier not in results]
        if missing:
            raise RequestError(
                400,
                f"messages.{number - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
                "next message.",
            )
        unexpected = [str(identifier) for identifier in results if identifier not in waiting]
        if unexpected:
            raise RequestError(
                400,
                f"messages.{number}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {unexpected[0]}. "
                "Each `tool_result` block must have a corresponding `tool_use` block in the previous message.",
            )
        waiting = {str(block.get("id")): None for block in blocks if block.get("type") == "tool_use"}
    if waiting:
        raise RequestError(
            400,
            f"messages.{len(messages) - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(waiting)}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
            "message.",
        )


def _check_thinking(request: dict[str, Any], limit: int) -> None:
    thinking = as_object(request.get("thinking"))
    if thinking.get("type") != "enabled":
        return
    budget = thinking.get("budget_tokens")
    if type(budget) is not int or budget < _MIN_BUDGET:
        raise RequestError(
            400, f"thinking.enabled.budget_tokens: Input should be greater than or equal to {_MIN_BUDGET}"
        )
    if budget >= limit:
        raise RequestError(400, f"`max_tokens` must be greater than `thinking.budget_tokens`. See {_THINKING_PAGE}")
    if request.get("temperature") not in (None, 1):
        raise RequestError(400, f"`temperature` may only be set to 1 when thinking is enabled. See {_THINKING_PAGE}")
    if as_object(request.get("tool_choice")).get("type") in ("any", "tool"):
        raise RequestError(400, "Thinking may not be enabled when tool_choice forces tool use.")
