"""Rules on tool calls and their results."""

from fake_server.request import ChatRequest
from fake_server.rules.refusal import Refusal, openai_refusal
from fake_server.rules.signatures import Signatures


def tool_pairs(request: ChatRequest, _signatures: Signatures) -> Refusal | None:
    """OpenAI: every call is followed by its result, and every result answers a call of the message before."""
    waiting: dict[str, None] = {}
    for number, message in enumerate(request.messages):
        if message.get("role") == "tool":
            if message.get("tool_call_id") not in waiting:
                return openai_refusal(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message "
                    "with 'tool_calls'.",
                    param=f"messages.[{number}].role",
                )
            waiting.pop(message["tool_call_id"])
        elif waiting:
            break
        else:
            waiting = dict.fromkeys(call.get("id") for call in message.get("tool_calls") or ())
    if not waiting:
        return None
    return openai_refusal(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(waiting)}",
        param="messages",
    )
