"""Requests of the Messages and the Responses API, which LiteLLM makes chats of before a custom provider is asked.

What it stumbles over there is a 500 with a traceback, for which its Router takes the deployment from everybody.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from composite_llm.model.errors import InvalidOption

Translate = Callable[[dict[str, Any]], Any]

_MESSAGES = (
    "messages",
    "max_tokens",
    "system",
    "tools",
    "tool_choice",
    "thinking",
    "stop_sequences",
    "temperature",
    "top_k",
    "top_p",
    "output_format",
    "output_config",
)
_RESPONSES = (
    "instructions",
    "max_output_tokens",
    "parallel_tool_calls",
    "reasoning",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
    "user",
)
_PLACES = {
    "anthropic_messages": ("litellm.llms.anthropic.pass_through.adapters.handler", "ANTHROPIC_ADAPTER"),
    "responses": (
        "litellm.responses.litellm_completion_transformation.transformation",
        "LiteLLMCompletionResponsesConfig",
    ),
}
_ORDINARY: Mapping[str, dict[str, Any]] = {
    "anthropic_messages": {"messages": [{"role": "user", "content": "a"}], "max_tokens": 1},
    "responses": {"input": "a"},
}
_HELD_IN = {"anthropic_messages": "messages", "responses": "input"}


def check_bridged(request: Mapping[str, Any], call: str) -> None:
    """Refuse what LiteLLM cannot make a chat of, by trying it.

    Args:
        request: A request's body, or a call's keywords.
        call: LiteLLM's name of the call.

    Raises:
        InvalidOption: It fails over it.
    """
    translate = _translation(call)
    if translate is None or _HELD_IN[call] not in request:
        return
    try:
        translate(copy.deepcopy({key: request[key] for key in _read(call) if request.get(key) is not None}))
    except Exception:  # noqa: BLE001  # whatever it is, LiteLLM would fail over it again
        raise InvalidOption(
            _HELD_IN[call], "cannot be made a chat of", allowed="items, parts, tools and choices as the API has them"
        ) from None


def _read(call: str) -> tuple[str, ...]:
    return _MESSAGES if call == "anthropic_messages" else ("input", *_RESPONSES)


@lru_cache(maxsize=2)
def _translation(call: str) -> Translate | None:
    """LiteLLM's own; None for a call that it does not translate, or where it is not as it was."""
    if call not in _PLACES:
        return None
    module, name = _PLACES[call]
    try:
        found = getattr(importlib.import_module(module), name)
        translate = _messages_by(found) if call == "anthropic_messages" else _responses_by(found)
        translate(copy.deepcopy(_ORDINARY[call]))
    except Exception:  # noqa: BLE001  # a private name of LiteLLM's: without it, LiteLLM answers
        return None
    return translate


def _messages_by(adapter: Any) -> Translate:
    return lambda body: adapter.translate_completion_input_params_with_tool_mapping({"model": "composite", **body})


def _responses_by(config: Any) -> Translate:
    def translate(body: dict[str, Any]) -> Any:
        return config.transform_responses_api_request_to_chat_completion_request(
            model="composite", input=body.pop("input"), responses_api_request=body
        )

    return translate
