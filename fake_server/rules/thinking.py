"""Rules of thinking models on what comes back to them within a turn that uses tools."""

from collections.abc import Iterator
from typing import Any

from fake_server.request import ChatRequest
from fake_server.rules.refusal import Refusal, openai_refusal
from fake_server.rules.signatures import Signatures

_ANTHROPIC_PAGE = "https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
_THINKING_BLOCKS = frozenset({"thinking", "redacted_thinking"})


def deepseek_reasoning(request: ChatRequest, _signatures: Signatures) -> Refusal | None:
    """DeepSeek: each assistant message with tool calls, of whatever turn, has the reasoning that led to them."""
    at = _without_reasoning(request)
    if at is None:
        return None
    return openai_refusal(
        f"Missing `reasoning_content` field in the assistant message at message index {at}. For more information, "
        "please refer to https://api-docs.deepseek.com/guides/thinking_mode#tool-calls",
        code="invalid_request_error",
    )


def kimi_reasoning(request: ChatRequest, _signatures: Signatures) -> Refusal | None:
    """Kimi: as DeepSeek, unless thinking is switched off."""
    thinking = request.body.get("thinking")
    off = isinstance(thinking, dict) and thinking.get("type") == "disabled"
    at = None if off else _without_reasoning(request)
    if at is None:
        return None
    message = f"thinking is enabled but reasoning_content is missing in assistant tool call message at index {at}"
    return Refusal(message, body={"error": {"message": message, "type": "invalid_request_error"}})


def anthropic_signatures(request: ChatRequest, signatures: Signatures) -> Refusal | None:
    """Claude: a turn that uses tools begins with the thinking that it gave, unchanged.

    In chat completions, as gateways offer Claude, the same is read from a message's `thinking_blocks`.
    """
    for number, blocks in _assistant_blocks(request):
        for at, block in enumerate(blocks):
            if not _is_ours(block, signatures):
                kind = block["type"]
                return _anthropic(f"messages.{number}.content.{at}: Invalid `signature` in `{kind}` block")
    if not _thinks(request):
        return None
    for number, blocks in _assistant_blocks(request, running_turn=True):
        kinds = [str(block.get("type")) for block in blocks]
        if "tool_use" in kinds and kinds[0] not in _THINKING_BLOCKS:
            return _anthropic(
                f"messages.{number}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
                f"`{kinds[0]}`. When `thinking` is enabled, a final `assistant` message must start with a thinking "
                "block (preceeding the lastmost set of `tool_use` and `tool_result` blocks). We recommend you include "
                "thinking blocks from previous turns. To avoid this requirement, disable `thinking`. Please consult "
                f"our documentation at {_ANTHROPIC_PAGE}"
            )
    return None


def gemini_signatures(request: ChatRequest, signatures: Signatures) -> Refusal | None:
    """Gemini 3: in the running turn, the first function call of each step has the signature that it came with."""
    for position, name, signature in _first_calls(request):
        if signature is None:
            return _gemini(
                request,
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to "
                "work correctly, and missing thought_signature may lead to degraded model performance. Additional "
                f"data, function call `default_api:{name}` , position {position}. Please refer to "
                "https://ai.google.dev/gemini-api/docs/thought-signatures for more details.",
            )
        if not signatures.given(signature):
            return _gemini(request, "Thought signature is not valid.")
    return None


def _without_reasoning(request: ChatRequest) -> int | None:
    for number, message in enumerate(request.messages):
        if message.get("role") == "assistant" and message.get("tool_calls"):
            reasoning = message.get("reasoning_content")
            if not isinstance(reasoning, str) or not reasoning.strip():
                return number
    return None


def _thinks(request: ChatRequest) -> bool:
    thinking = request.body.get("thinking")
    if isinstance(thinking, dict):
        return thinking.get("type") in ("enabled", "adaptive")
    return bool(request.body.get("reasoning_effort"))


def _assistant_blocks(
    request: ChatRequest, *, running_turn: bool = False
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """The blocks of each assistant message, of all or of those after the last thing that a user said."""
    messages = request.body["messages"]
    first = _last_question(messages) + 1 if running_turn else 0
    for number, message in enumerate(messages[first:], first):
        if message.get("role") == "assistant":
            yield number, _blocks(message)


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    blocks = [block for block in message.get("thinking_blocks") or () if isinstance(block, dict)]
    if isinstance(content, list):
        blocks += [block for block in content if isinstance(block, dict)]
    elif content:
        blocks.append({"type": "text", "text": content})
    return blocks + [{"type": "tool_use"} for _call in message.get("tool_calls") or ()]


def _last_question(messages: list[dict[str, Any]]) -> int:
    for number in range(len(messages) - 1, -1, -1):
        message = messages[number]
        if message.get("role") == "user" and not _only_results(message):
            return number
    return -1


def _only_results(message: dict[str, Any]) -> bool:
    content = message.get("content")
    parts = content if isinstance(content, list) else ()
    return any(isinstance(part, dict) and part.get("type") == "tool_result" for part in parts)


def _is_ours(block: dict[str, Any], signatures: Signatures) -> bool:
    if block.get("type") == "thinking":
        return signatures.fits(block.get("signature"), block.get("thinking"))
    if block.get("type") == "redacted_thinking":
        return signatures.given(block.get("data"))
    return True


def _anthropic(message: str) -> Refusal:
    # Gateways pass it on as it is.
    return Refusal(message, body={"type": "error", "error": {"type": "invalid_request_error", "message": message}})


def _first_calls(request: ChatRequest) -> Iterator[tuple[int, str, Any]]:
    """Position, name and signature of the first call of each step of the running turn."""
    if request.format == "gemini":
        yield from _first_gemini_calls(request.body["contents"])
        return
    for number, message in enumerate(request.messages):
        if number > _last_question(request.messages) and message.get("tool_calls"):
            call = message["tool_calls"][0]
            google = (call.get("extra_content") or {}).get("google") or {}
            yield number + 1, call["function"]["name"], google.get("thought_signature")


def _first_gemini_calls(contents: list[dict[str, Any]]) -> Iterator[tuple[int, str, Any]]:
    questions = [
        number
        for number, content in enumerate(contents)
        if content.get("role") == "user" and not any("functionResponse" in part for part in content.get("parts") or ())
    ]
    for number, content in enumerate(contents):
        if questions and number > questions[-1]:
            for part in content.get("parts") or ():
                if "functionCall" in part:
                    yield number + 1, part["functionCall"]["name"], part.get("thoughtSignature")
                    break


def _gemini(request: ChatRequest, message: str) -> Refusal:
    error = {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}
    # Google's endpoint in OpenAI's form puts errors into a list.
    return Refusal(message, body=error if request.format == "gemini" else [error])
