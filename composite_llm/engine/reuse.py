"""Deliberations kept for the tool steps that follow them: one deliberation per user turn, not one per step."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from composite_llm.backend.interface import Message
from composite_llm.model.messages import last_user_index

MAX_AGE_S = 3600.0


def is_tool_step(messages: Sequence[Message]) -> bool:
    """Whether the conversation is in the middle of a user turn: a tool has answered since the user last spoke."""
    start = last_user_index(messages)
    behind = messages if start is None else messages[start + 1 :]
    return any(message["role"] in ("tool", "function") for message in behind)


def turn_key(messages: Sequence[Message], settings: Mapping[str, Any], owner: str) -> str:
    """One user turn of one caller under one configuration, as a digest.

    Cache marks do not count: agents move them along from step to step. Neither does the list around a single text that
    a mark needs and that is gone when the mark has moved on.

    Args:
        messages: The conversation; what follows the last user message is left out.
        settings: Everything else that decides what a deliberation comes to.
        owner: Whose it is, so that callers never share.
    """
    end = last_user_index(messages)
    turn = list(messages) if end is None else list(messages[: end + 1])
    text = json.dumps([unmarked(turn), settings, owner], sort_keys=True, default=str)
    return "composite_llm:turn:" + hashlib.sha256(text.encode("utf-8", errors="replace")).hexdigest()


def unmarked(value: Any) -> Any:
    """The same without cache marks, and without what only they needed."""
    if isinstance(value, Mapping):
        bare = {key: unmarked(inner) for key, inner in value.items() if key != "cache_control"}
        match bare.get("content"):
            case [{"type": "text", "text": str(text), **rest}] if not rest:
                bare["content"] = text
        return bare
    if isinstance(value, list):
        return [unmarked(inner) for inner in value]
    return value
