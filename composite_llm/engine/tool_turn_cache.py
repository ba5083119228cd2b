"""What final models said beside their tool calls, kept for the requests that bring the results."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from composite_llm.backend.interface import Message, Reply
from composite_llm.backend.text_cache import TextCache
from composite_llm.backend.tool_turn import LONGEST, ToolTurn, plain_id, tool_turn_of
from composite_llm.engine.reuse import unmarked
from composite_llm.model.messages import ModelTurn

MAX_AGE_S = 86_400.0
"""Providers such as DeepSeek want the reasoning of tool turns in all later requests of a conversation."""
MOST_TURNS = 100
"""So many of a conversation's last tool turns are looked up."""


class ToolTurnCache:
    """The own parts of one caller's final models.

    Args:
        store: Where they are kept.
        owner: Whose they are, so that no two callers share them; None to keep and find none.
    """

    def __init__(self, store: TextCache, owner: str | None) -> None:
        self._store = store
        self._owner = owner

    async def keep(self, conversation: Sequence[Message], reply: Reply) -> None:
        """Keep what a reply's tool calls came with.

        Args:
            conversation: What the caller had sent.
            reply: The final model's, as it goes to the caller.
        """
        if reply.origin is None or self._owner is None:
            return
        places = _Places(conversation)
        for choice in reply.choices:
            calls = [call for call in choice.message.get("tool_calls") or () if call.get("id")]
            # Kept also where it said nothing beside them: then nothing is missing in the next step.
            text = tool_turn_of(reply.origin, choice.message).to_json() if calls else ""
            if text and len(text) <= LONGEST:
                keys = [self._key(call, places, len(conversation)) for call in calls]
                await asyncio.gather(*(self._store.put(key, text, MAX_AGE_S) for key in keys))

    async def found(self, messages: Sequence[Message]) -> list[Message]:
        """The messages, each tool turn with its own part where that is still kept.

        Calls of one turn that a client sends as several messages come together again, as the model made them.
        """
        if self._owner is None:
            return list(messages)
        turns = [(place, turn) for place, turn in enumerate(messages) if isinstance(turn, ModelTurn)][-MOST_TURNS:]
        places = _Places(messages)
        owns = await asyncio.gather(*(self._own(turn, places, place) for place, turn in turns))
        known = {place: own for (place, _), own in zip(turns, owns, strict=True) if own is not None}
        return _whole_turns(messages, known) if known else list(messages)

    async def _own(self, turn: ModelTurn, places: _Places, place: int) -> ToolTurn | None:
        for call in turn["tool_calls"]:
            text = await self._store.get(self._key(call, places, place)) if call.get("id") else None
            if text is not None:
                try:
                    return ToolTurn.from_json(text)
                except ValueError:
                    # Written by another version, or by somebody else.
                    continue
        return None

    def _key(self, call: Mapping[str, Any], places: _Places, place: int) -> str:
        before = None if is_unique(call) else places.digest(place)
        text = json.dumps([self._owner, plain_id(call), before])
        return "composite_llm:own:" + hashlib.sha256(text.encode("utf-8", errors="replace")).hexdigest()


class _Places:
    """Digests of a conversation up to each of its places, made when one is first asked for."""

    def __init__(self, conversation: Sequence[Message]) -> None:
        self._conversation = conversation
        self._digests = [hashlib.sha256().hexdigest()]

    def digest(self, place: int) -> str:
        """Of all messages before a place."""
        while len(self._digests) <= place:
            message = unmarked(self._conversation[len(self._digests) - 1])
            # Clients write an absent text in several ways.
            text = json.dumps(
                [self._digests[-1], {**message, "content": message.get("content") or ""}], sort_keys=True, default=str
            )
            self._digests.append(hashlib.sha256(text.encode("utf-8", errors="replace")).hexdigest())
        return self._digests[place]


_RANDOM = re.compile(r"(?=[a-zA-Z0-9]*[0-9])(?=[a-zA-Z0-9]*[a-zA-Z])[a-zA-Z0-9]{12,}")


def is_unique(call: Mapping[str, Any]) -> bool:
    """Whether a call's id is random, so that no other call has it.

    Kimi counts the calls of a conversation ("functions.look:0"), others write "call_0": those name a call only together
    with the conversation before it.
    """
    call_id, function = plain_id(call), call.get("function")
    name = str(function.get("name") or "") if isinstance(function, Mapping) else ""
    return _RANDOM.search(call_id) is not None and not (name and plain_id({"id": name}) in call_id)


def _whole_turns(messages: Sequence[Message], known: Mapping[int, ToolTurn]) -> list[Message]:
    whole: list[Message] = []
    last: ModelTurn | None = None
    for place, message in enumerate(messages):
        own = known.get(place)
        if last is not None and isinstance(message, ModelTurn) and _belongs_to(last, message, own):
            last["tool_calls"] = [*last["tool_calls"], *message["tool_calls"]]
            continue
        if isinstance(message, ModelTurn):
            message = last = ModelTurn(message, message.echo, own)
        elif message["role"] != "tool":
            last = None
        whole.append(message)
    return whole


def _belongs_to(turn: ModelTurn, further: ModelTurn, own: ToolTurn | None) -> bool:
    """Whether a message holds further calls of the turn before it."""
    if turn.own is None or own not in (None, turn.own) or further.get("content"):
        return False
    there = set(map(plain_id, turn["tool_calls"]))
    return all(plain_id(call) in turn.own.ids and plain_id(call) not in there for call in further["tool_calls"])
