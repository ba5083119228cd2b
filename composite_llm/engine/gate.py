"""The private tool by which a final model asks for a deliberation; the caller never sees it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from composite_llm.backend.interface import Reply
from composite_llm.engine.subcall_request import SubcallRequest
from composite_llm.engine.tools import requested, tool_names

STAGE = "gate"
TITLE = "Gate"

_NAME = "deliberate"
_DESCRIPTION = (
    "Ask a panel of other models for their answers to the user's latest message, to write a better answer from them. It "
    "costs time and money, so call it only where you may well be wrong alone: for hard, contested or consequential "
    "questions. Answer greetings, simple questions and routine work yourself. Call it first, before you write anything "
    "and instead of any other tool."
)
_PARAMETERS = {
    "type": "object",
    "properties": {"reason": {"type": "string", "description": "Why the question needs it, in a few words."}},
    "required": ["reason"],
    "additionalProperties": False,
}


def tool_name(params: Mapping[str, Any]) -> str:
    """What the private tool is called beside the caller's tools."""
    taken = {_name_of(tool) for key in ("tools", "functions") for tool in params.get(key) or ()}
    name = _NAME
    while name in taken:
        name += "_first"
    return name


def gate_subcall(subcall: SubcallRequest, name: str) -> SubcallRequest:
    """The final call without a deliberation, and with the private tool beside the caller's tools."""
    params = dict(subcall.params)
    function = {"name": name, "description": _DESCRIPTION, "parameters": _PARAMETERS}
    if params.get("functions") and not params.get("tools"):
        params["functions"] = [*params["functions"], function]
        return replace(subcall, stage=STAGE, title=TITLE, params=params)
    tools, choice = list(params.get("tools") or ()), params.get("tool_choice")
    private = {"type": "function", "function": function}
    if choice == "none":
        # The history may refer to the caller's tools, but none may be called.
        tools, params["tool_choice"] = [], "auto"
    elif isinstance(choice, Mapping):
        forced = _name_of(choice)
        tools, params["tool_choice"] = [tool for tool in tools if _name_of(tool) == forced], "required"
    params["tools"] = [*tools, private]
    return replace(subcall, stage=STAGE, title=TITLE, params=params)


def asks_for(reply: Reply, name: str) -> bool:
    """Whether a reply calls the private tool, whatever else it calls."""
    return any(name in tool_names(choice.message) for choice in reply.choices)


def reason_given(reply: Reply, name: str) -> str | None:
    """Why the final model asks for it, in its own words."""
    for choice in reply.choices:
        for call in requested(choice.message):
            function = call.get("function") or {}
            if function.get("name") != name:
                continue
            try:
                reason = json.loads(function.get("arguments") or "{}").get("reason")
            except (ValueError, AttributeError, TypeError, RecursionError):
                return None
            return reason if isinstance(reason, str) and reason.strip() else None
    return None


def _name_of(tool: Any) -> str | None:
    if not isinstance(tool, Mapping):
        return None
    function = tool.get("function")
    name = (function if isinstance(function, Mapping) else tool).get("name")
    return name if isinstance(name, str) else None
