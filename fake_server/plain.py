"""An answer as one JSON body."""

from typing import Any

from fake_server.completion import Choice, Completion
from fake_server.scenario import Scenario
from fake_server.wire_json import json_bytes, raw_bytes


def plain_body(completion: Completion, scenario: Scenario) -> bytes:
    """Return the JSON body of an answer, cut when the scenario wants it malformed."""
    if scenario.raw_body is not None:
        return raw_bytes(scenario.raw_body)
    body = completion.envelope("chat.completion", [_choice(choice, scenario) for choice in completion.choices])
    if not scenario.no_usage:
        body["usage"] = None if scenario.null_usage else completion.usage
    data = json_bytes(body)
    return data[: len(data) * 2 // 3] if scenario.malformed_json else data


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
