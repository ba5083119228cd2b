"""A conversation as one node of the final call is sent it: with its own reasoning and signatures, and with nobody else's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from composite_llm.backend.interface import Message, Params
from composite_llm.backend.tool_turn import ToolTurn, tool_turn_of, with_own_reasoning
from composite_llm.model.errors import Restriction
from composite_llm.model.messages import ModelTurn, as_plain_text, running_turn
from composite_llm.model.summary import own_reasoning_in
from composite_llm.model.wellformed import well_formed_value

LOST = "(My reasoning at this step is no longer available.)"
"""In the place of reasoning that a provider asks for and nobody has any more; DeepSeek refuses a blank one."""
NO_SIGNATURE = "skip_thought_signature_validator"
"""What Google's page on thought signatures names for calls that have none."""

_EVERY_TURN = frozenset({"deepseek", "moonshot"})
"""Want the reasoning of tool turns in all later requests, not in those of the running turn alone."""
_BLOCKS = frozenset({"anthropic", "azure_ai", "bedrock", "bedrock_converse", "databricks", "litellm_proxy"})
"""Give thinking as signed blocks, and refuse a running tool turn that does not begin with them while thinking is on."""
_GOOGLE = frozenset({"gemini", "vertex_ai", "vertex_ai_beta"})
_ENCRYPTED_BY_LITELLM = "litellm_encrypted_reasoning:"


@dataclass(slots=True)
class Recipient:
    """A node that is asked.

    Attributes:
        origin: Its model and endpoint; None for a node that is not of the final call, which is given nothing back.
        model: Its model string.
        provider: LiteLLM's provider name.
        name: How the summary calls it.
        params: The call's parameters.
        restrictions: What its endpoint is known to ask for or to refuse.
        lost: Afterwards: what had to be done without, one clause for people.
        must_not_think: Afterwards: whether the call can only be made with thinking switched off.
    """

    origin: str | None
    model: str
    provider: str | None
    name: str
    params: Params
    restrictions: frozenset[Restriction] = frozenset()
    lost: set[str] = field(default_factory=set)
    must_not_think: bool = False

    def shown(self, messages: Sequence[Message]) -> list[Message]:
        """The messages as it is sent them."""
        if not any(isinstance(message, ModelTurn) for message in messages):
            return list(messages)
        if self.origin is None:
            return [dict(message) for message in messages]
        if "no_tool_history" in self.restrictions:
            self.lost.add("tool calls and results were sent as text")
            return [as_plain_text(message) for message in messages]
        start = running_turn(messages)
        return [
            self._turn(message, running=place >= start) if isinstance(message, ModelTurn) else message
            for place, message in enumerate(messages)
        ]

    def _turn(self, turn: ModelTurn, *, running: bool) -> Message:
        own = None if self.restrictions & _GIVES_NOTHING else self._own(turn)
        wanted = running or self.provider in _EVERY_TURN or "reasoning_required" in self.restrictions
        message = with_own_reasoning(own, turn, self.provider) if own and wanted else dict(turn)
        unsure = own is None or "reasoning_required" in self.restrictions
        if running and unsure and self._reads_blocks and "thinking_blocks" not in message:
            self._forgo_thinking(turn)
        return self._filled(message, running=running)

    def _own(self, turn: ModelTurn) -> ToolTurn | None:
        """What it said in this turn; None where nobody knows."""
        if turn.own is None:
            return self._echoed(turn.echo)
        return turn.own if turn.own.origin == self.origin else None

    @property
    def _reads_blocks(self) -> bool:
        return self.provider in _BLOCKS or (self.provider in _GOOGLE and "claude" in self.model)

    def _forgo_thinking(self, turn: ModelTurn) -> None:
        if _thinks(self.params):
            others = turn.own is not None and turn.own.origin != self.origin
            why = (
                "an earlier step of this turn is another model's" if others else "its signed thinking is no longer kept"
            )
            self.must_not_think = True
            self.lost.add(f"{why}, so it was asked without thinking")

    def _filled(self, message: Message, *, running: bool) -> Message:
        required = "reasoning_required" in self.restrictions and not self._reads_blocks
        if required and not message.get("reasoning_content"):
            self.lost.add("its reasoning is no longer kept")
            message = {**message, "reasoning_content": LOST}
        if "signatures_required" in self.restrictions and running:
            message = {**message, "tool_calls": [self._signed(call) for call in message["tool_calls"]]}
        return message

    def _signed(self, call: Message) -> Message:
        google = (call.get("extra_content") or {}).get("google") or {}
        if google.get("thought_signature"):
            return call
        self.lost.add("a thought signature is no longer kept")
        return {**call, "extra_content": {"google": {**google, "thought_signature": NO_SIGNATURE}}}

    def _echoed(self, echo: Mapping[str, Any]) -> ToolTurn | None:
        """What of a caller's copy can only be the model's own; None for nothing."""
        said = tool_turn_of(self.origin or "", well_formed_value(echo))
        fields = {name: value for name, value in said.fields.items() if self._is_its_own(name)}
        if blocks := [_told_apart(block) for block in fields.pop("thinking_blocks", ()) if _is_signed(block)]:
            fields["thinking_blocks"] = blocks
        elif not fields and self.provider not in _ONLY_SIGNED and (text := self._from_summary(echo)):
            fields["reasoning_content"] = text
        calls = said.calls if self.provider in _GOOGLE or "gemini" in self.model else {}
        return replace(said, fields=fields, calls=calls) if fields or calls else None

    def _is_its_own(self, name: str) -> bool:
        match name:
            case "thinking_blocks":
                return self._reads_blocks
            case "provider_specific_fields":
                return self.provider in _GOOGLE or self.provider == "anthropic"
            case "reasoning_items":
                return self.provider in ("openai", "azure")
            case "reasoning_details":
                return self.provider == "openrouter"
            case _:
                return False

    def _from_summary(self, echo: Mapping[str, Any]) -> str | None:
        told = echo.get("reasoning_content")
        own = own_reasoning_in(told, self.name) if isinstance(told, str) else None
        if own:
            self.lost.add("its reasoning is no longer kept; what the caller sent back of it was used")
        return own


_GIVES_NOTHING: frozenset[Restriction] = frozenset({"no_reasoning", "other_signatures"})
_ONLY_SIGNED = _GOOGLE | {"anthropic", "bedrock", "bedrock_converse"}


def _thinks(params: Params) -> bool:
    thinking = params.get("thinking")
    if isinstance(thinking, Mapping):
        return thinking.get("type") != "disabled"
    return params.get("reasoning_effort") not in (None, "none")


def _is_signed(block: Any) -> bool:
    """Whether a block is signed by its provider, not made by LiteLLM or by us."""
    if not isinstance(block, Mapping):
        return False
    seal = block.get("signature") if block.get("type") == "thinking" else block.get("data")
    return isinstance(seal, str) and bool(seal) and not seal.startswith(_ENCRYPTED_BY_LITELLM)


def _told_apart(block: Mapping[str, Any]) -> Mapping[str, Any]:
    """The block without the deliberation that Anthropic's endpoint of a proxy streams into it."""
    text = block.get("thinking")
    own = own_reasoning_in(text) if isinstance(text, str) else None
    return block if own is None else {**block, "thinking": own}
