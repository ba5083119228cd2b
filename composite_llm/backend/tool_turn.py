"""What a model said beside its text when it called tools: reasoning, signed blocks, signatures.

Providers want it back in the requests that bring the tools' results, from the model that said it and unchanged. It is kept
in the form in which LiteLLM gives it, and goes back in the form in which each provider takes it through LiteLLM.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from composite_llm.backend.interface import Message

LONGEST = 1_000_000
"""Characters of what is kept of one turn; more is not kept."""

# Of a message: as LiteLLM names them, and OpenRouter's own.
_FIELDS = ("reasoning_content", "thinking_blocks", "reasoning_items", "reasoning_details")
_IN_PROVIDERS_FIELDS = ("reasoning", "reasoning_details")
# LiteLLM repeats these there, or they are no part of what was said.
_NOT_SAID = frozenset(
    {"refusal", "composite", "thinking_blocks", "reasoning_content", "citations", "annotations", *_IN_PROVIDERS_FIELDS}
)
_CALLS_OWN = frozenset({"id", "type", "function", "custom", "index", "cache_control"})
_FUNCTIONS_OWN = frozenset({"name", "arguments"})

# LiteLLM's adapters of these read what stands among a provider's own fields; others would send it on as it is.
_READ_PROVIDERS_FIELDS = frozenset(
    {"anthropic", "azure_ai", "bedrock", "bedrock_converse", "databricks", "gemini", "litellm_proxy", "vertex_ai"}
)
# Their schemas know `reasoning` and refuse `reasoning_content`.
_ONLY_REASONING = frozenset({"cerebras", "groq"})
_NAMED_REASONING = frozenset({"cerebras", "groq", "openrouter"})
# They read signed blocks, and the text beside them would be said twice.
_ONLY_BLOCKS = frozenset({"anthropic", "bedrock", "bedrock_converse"})


@dataclass(frozen=True, slots=True)
class ToolTurn:
    """One turn's own part.

    Attributes:
        origin: Who said it: see `origin_of`.
        ids: Of the turn's calls, in order: see `plain_id`.
        fields: Further fields of the message.
        calls: Further fields of each call, and of its function, by the call's id.
        named_reasoning: Whether the provider called it `reasoning`.
    """

    origin: str
    ids: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    calls: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    named_reasoning: bool = False

    def __bool__(self) -> bool:
        return bool(self.fields or self.calls)

    def to_json(self) -> str:
        """For a store."""
        return _AS_JSON.dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str) -> ToolTurn:
        """What `to_json` wrote.

        Raises:
            ValueError: It is something else, perhaps of another version.
        """
        return _AS_JSON.validate_json(text)


_AS_JSON: TypeAdapter[ToolTurn] = TypeAdapter(ToolTurn)


def origin_of(model: str, endpoint: str | None) -> str:
    """A model at an endpoint: nobody else is given what it said."""
    return f"{model} {endpoint or ''}"


def tool_turn_of(origin: str, message: Mapping[str, Any]) -> ToolTurn:
    """The own part of a message, a model's reply or what a caller has kept of one."""
    fields = {name: message[name] for name in _FIELDS if message.get(name)}
    theirs = message.get("provider_specific_fields")
    theirs = theirs if isinstance(theirs, Mapping) else {}
    if blocks := _told_apart(fields.pop("thinking_blocks", ())):
        fields["thinking_blocks"] = blocks
    if "reasoning_details" not in fields and theirs.get("reasoning_details"):
        fields["reasoning_details"] = theirs["reasoning_details"]
    if rest := {name: value for name, value in theirs.items() if name not in _NOT_SAID and value}:
        fields["provider_specific_fields"] = rest
    calls = [call for call in message.get("tool_calls") or () if isinstance(call, Mapping)]
    further = ((plain_id(call), _further(call)) for call in calls)
    return ToolTurn(
        origin,
        tuple(map(plain_id, calls)),
        fields,
        {call_id: extra for call_id, extra in further if extra},
        named_reasoning=bool(theirs.get("reasoning")),
    )


def plain_id(call: Mapping[str, Any]) -> str:
    """A call's id as all endpoints of a proxy leave it: Anthropic's takes a signature and odd letters out of it."""
    return _OTHER_LETTERS.sub("_", str(call.get("id") or "").partition(SIGNATURE_IN_ID)[0])


SIGNATURE_IN_ID = "__thought__"
"""LiteLLM puts Gemini's thought signature behind this into a call's id."""
_OTHER_LETTERS = re.compile(r"[^a-zA-Z0-9_-]")


def _told_apart(blocks: Any) -> list[Any]:
    return [block for block in blocks if isinstance(block, Mapping)] if isinstance(blocks, Sequence) else []


def _further(call: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: value for name, value in call.items() if name not in _CALLS_OWN and value}
    function = call.get("function")
    inner = function if isinstance(function, Mapping) else {}
    if own := {name: value for name, value in inner.items() if name not in _FUNCTIONS_OWN and value}:
        fields["function"] = own
    return fields


def with_own_reasoning(own: ToolTurn, message: Message, provider: str | None) -> Message:
    """The message as its model may be sent it: what everybody reads of it, and the model's own part.

    Args:
        own: That part.
        message: The rest.
        provider: LiteLLM's name of the provider; None where a Router chooses it.
    """
    given: Message = {**message, **dict(_fields_for(own, provider))}
    if own.calls and message.get("tool_calls"):
        given["tool_calls"] = [_with_own(call, own.calls.get(plain_id(call))) for call in message["tool_calls"]]
    return given


def _fields_for(own: ToolTurn, provider: str | None) -> Iterator[tuple[str, Any]]:
    for name, value in own.fields.items():
        if name == "reasoning_content":
            yield from _reasoning_for(own, value, provider)
        elif name != "provider_specific_fields" or provider is None or provider in _READ_PROVIDERS_FIELDS:
            yield name, value


def _reasoning_for(own: ToolTurn, reasoning: str, provider: str | None) -> Iterator[tuple[str, Any]]:
    if provider in _ONLY_BLOCKS and own.fields.get("thinking_blocks"):
        return
    if own.named_reasoning or provider in _NAMED_REASONING:
        yield "reasoning", reasoning
    if provider not in _ONLY_REASONING:
        yield "reasoning_content", reasoning


def _with_own(call: Message, further: Mapping[str, Any] | None) -> Message:
    if not further:
        return call
    function = further.get("function")
    outer = {name: value for name, value in further.items() if name != "function"}
    inner = {"function": {**call["function"], **function}} if function and "function" in call else {}
    return {**call, **outer, **inner}
