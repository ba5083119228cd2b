"""Rules on the roles of messages, as chat templates and providers enforce them."""

from typing import Any

from fake_server.request import ChatRequest
from fake_server.rules.refusal import Refusal, openai_refusal, vllm_refusal
from fake_server.rules.signatures import Signatures

_SYSTEM = frozenset({"system", "developer"})


def system_first(request: ChatRequest, _signatures: Signatures) -> Refusal | None:
    """Qwen 3.5's template: a system message stands at the very beginning or nowhere."""
    late = any(message.get("role") in _SYSTEM for message in request.messages[1:])
    return vllm_refusal("System message must be at the beginning.") if late else None


def one_system_message(request: ChatRequest, _signatures: Signatures) -> Refusal | None:
    """MiniMax: at most one system message, wherever it stands."""
    if sum(message.get("role") in _SYSTEM for message in request.messages) <= 1:
        return None
    return openai_refusal("invalid params, invalid chat setting (2013)", code="2013")


def no_system(request: ChatRequest, _signatures: Signatures) -> Refusal | None:
    """Gemma 2's template: no system message at all."""
    found = any(message.get("role") in _SYSTEM for message in request.messages)
    return vllm_refusal("System role not supported") if found else None


def no_developer(request: ChatRequest, _signatures: Signatures) -> Refusal | None:
    """Qwen's template: a role that is not known."""
    found = any(message.get("role") == "developer" for message in request.messages)
    return vllm_refusal("Unexpected message role.") if found else None


def alternate(request: ChatRequest, _signatures: Signatures) -> Refusal | None:
    """Gemma 3's template: after a system message, user and assistant take turns, the user first."""
    sentence = "Conversation roles must alternate user/assistant/user/assistant/..."
    return None if _alternates(_after_system(request)) else vllm_refusal(f"{sentence} {sentence}")


def alternate_except_tools(request: ChatRequest, _signatures: Signatures) -> Refusal | None:
    """Mistral's template: as `alternate`, but tool calls and their results do not count."""
    counted = [
        message for message in _after_system(request) if message.get("role") != "tool" and not message.get("tool_calls")
    ]
    if _alternates(counted):
        return None
    return vllm_refusal(
        "After the optional system message, conversation roles must alternate user and assistant roles "
        "except for tool calls and results."
    )


def last_user(request: ChatRequest, _signatures: Signatures) -> Refusal | None:
    """Mistral: the model answers a user or a tool, not an assistant."""
    last = request.messages[-1].get("role")
    if last in ("user", "tool"):
        return None
    message = f"Expected last role User or Tool (or Assistant with prefix True) for serving but got {last}"
    return Refusal(
        message,
        body={"object": "error", "message": message, "type": "invalid_request_error", "param": None, "code": None},
    )


def _after_system(request: ChatRequest) -> list[dict[str, Any]]:
    first = request.messages[0].get("role") in _SYSTEM
    return request.messages[1:] if first else request.messages


def _alternates(messages: list[dict[str, Any]]) -> bool:
    return all(
        message.get("role") == ("assistant" if number % 2 else "user") for number, message in enumerate(messages)
    )
