"""An answer as OpenAI's JSON body."""

from typing import Any

from fake_server.completion import Choice, Completion
from fake_server.scenario import Scenario


def plain_body(completion: Completion, scenario: Scenario) -> dict[str, Any]:
    """Return the body of an answer."""
    body = completion.envelope("chat.completion", [_choice(choice, scenario) for choice in completion.choices])
    if not scenario.no_usage:
        body["usage"] = None if scenario.null_usage else completion.usage
    return body


def _choice(choice: Choice, scenario: Scenario) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.content, "refusal": choice.refusal}
    if choice.reasoning is not None:
        message[scenario.reasoning_field] = choice.reasoning
    if choice.thinking_blocks:
        message["thinking_blocks"] = choice.thinking_blocks
    if choice.tool_calls:
        message["tool_calls"] = choice.tool_calls
    return {
        "index": choice.index,
        "message": message,
        "logprobs": choice.logprobs(choice.content or ""),
        "finish_reason": choice.finish_reason,
    }
