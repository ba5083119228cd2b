"""An answer as one JSON body."""

from typing import Any

from fake_server.completion import Choice, Completion
from fake_server.scenario import Scenario
from fake_server.wire_json import json_bytes


def plain_body(completion: Completion, scenario: Scenario) -> bytes:
    """Return the JSON body of an answer, cut when the scenario wants it malformed."""
    body = completion.envelope("chat.completion", [_choice(choice) for choice in completion.choices])
    if not scenario.no_usage:
        body["usage"] = completion.usage
    data = json_bytes(body)
    return data[: len(data) * 2 // 3] if scenario.malformed_json else data


def _choice(choice: Choice) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.content, "refusal": choice.refusal}
    if choice.reasoning is not None:
        message["reasoning_content"] = choice.reasoning
    if choice.tool_calls:
        message["tool_calls"] = choice.tool_calls
    return {
        "index": choice.index,
        "message": message,
        "logprobs": choice.logprobs(choice.content or ""),
        "finish_reason": choice.finish_reason,
    }
