"""A refused request in another form: shorter, or without what its endpoint does not take. Decides; sends nothing."""

from __future__ import annotations

from composite_llm.backend.interface import AttemptRequest, ModelFacts
from composite_llm.config.node import Node
from composite_llm.engine.cost_bounds import schemas_of
from composite_llm.engine.subcall_request import SubcallRequest
from composite_llm.model.errors import Failure, Restriction, StatedWindow
from composite_llm.model.message_roles import SYSTEM_ROLES
from composite_llm.model.messages import modalities_in, present_question

MOST_SHORTENED = 4
"""So many times a prompt is made shorter at most."""

IN_ANOTHER_FORM: dict[Restriction, str] = {
    "strict_turns": "with user and assistant taking turns",
    "no_system_role": "with the system prompt in the first user message",
    "no_response_format": "without response_format",
    "reasoning_required": "with the reasoning of every step that called tools",
    "signatures_required": "with a mark in the place of thought signatures",
    "no_reasoning": "without its reasoning",
    "other_signatures": "without signed thinking",
    "no_tool_history": "with tool calls and results as text",
    "no_media": "with notes in the place of pictures, sounds and files",
}

_OF_ITS_OWN: frozenset[Restriction] = frozenset(
    {"reasoning_required", "signatures_required", "no_reasoning", "other_signatures"}
)
"""About what a model is given back of what it said itself."""

OF_ONE_CONVERSATION: frozenset[Restriction] = frozenset({"other_signatures", "no_tool_history"})
"""Cures of one conversation, which say nothing about the endpoint."""

_OF_WHAT_WAS_SENT = 0.6
"""Share that is kept of a prompt when nothing is known but that it was too long."""
_AT_MOST_OF_WHAT_WAS_SENT = 0.95
_OF_THE_WINDOW = 0.85
"""Share that is filled of a window whose tokens are not ours."""
_OF_THE_RATIO = 0.97
"""The same where it is known how many of the provider's tokens were sent."""
_MOST_PER_TOKEN = 3
"""A tokenizer that needs more of its own for one of ours has counted something else."""


def tokens_of(facts: ModelFacts, sent: AttemptRequest) -> int:
    """Tokens of a request's messages and tools."""
    schemas = schemas_of(sent.params)
    added = [{"role": "system", "content": schemas}] if schemas else []
    return facts.count_tokens(sent.model, [*sent.messages, *added])


def shorter(counted: int, sent: AttemptRequest, told: StatedWindow | None) -> int:
    """Tokens, as we count them, that the next try may have: always fewer than were sent.

    Args:
        counted: Tokens of the request that was refused, messages and tools.
        sent: That request.
        told: What the refusal said about the window.
    """
    target = counted * _OF_WHAT_WAS_SENT
    if told is not None and told.limit is not None:
        room = told.limit - (told.answer or _max_tokens(sent))
        if told.prompt is not None and _is_plausible(told.prompt, counted):
            target = counted * room / told.prompt * _OF_THE_RATIO
        elif told.prompt is None and room < counted:
            target = room * _OF_THE_WINDOW
    return max(int(min(target, counted * _AT_MOST_OF_WHAT_WAS_SENT)), 0)


def window_in_our_tokens(counted: int, told: StatedWindow | None) -> int | None:
    """The window that a refusal names, by what it says of the prompt that we had counted so many tokens of."""
    if told is None or told.limit is None:
        return None
    if told.prompt is not None and _is_plausible(told.prompt, counted):
        return int(told.limit * counted / told.prompt)
    return told.limit


def _is_plausible(told: int, counted: int) -> bool:
    """Whether a number of tokens may be that of the prompt that was sent."""
    return counted / _MOST_PER_TOKEN <= told <= counted * _MOST_PER_TOKEN


def is_in_vain(before: Failure | None, now: Failure) -> bool:
    """Whether the provider counted no fewer tokens of a prompt that was made shorter."""
    told = before.window.prompt if before is not None and before.window is not None else None
    again = now.window.prompt if now.window is not None else None
    return told is not None and again is not None and again >= told


def _max_tokens(sent: AttemptRequest) -> int:
    asked = sent.params.get("max_completion_tokens") or sent.params.get("max_tokens")
    return asked if isinstance(asked, int) else 0


def lifted_by(subcall: SubcallRequest, node: Node, sent: AttemptRequest, failure: Failure) -> Restriction | None:
    """What the refused request should do without; None if it does already, or if nothing is known that would help."""
    restriction = failure.restriction
    if restriction in _OF_ITS_OWN:
        return _of_its_own(subcall, node, sent, restriction)
    has_system = any(message["role"] in SYSTEM_ROLES for message in sent.messages)
    strict = "strict_turns" in sent.restrictions or bool(node.params.get("ensure_alternating_roles"))
    if restriction == "strict_turns" and strict:
        # Templates that know no system count its message among the turns (Mistral 7B, Llama 2).
        restriction = "no_system_role"
    if restriction == "no_system_role" and not has_system:
        return None
    if restriction == "no_media" and not _may_be_noted(subcall, sent):
        return None
    if restriction is None or restriction == "no_response_format":
        # What only helps is left out whatever the refusal was about.
        restriction = "no_response_format" if failure.kind == "rejected" and _was_asked_for(subcall, sent) else None
    return None if restriction is None or restriction in sent.restrictions or node.is_composite else restriction


def _may_be_noted(subcall: SubcallRequest, sent: AttemptRequest) -> bool:
    """Whether a note will do: what the question itself is about, the final model has to see."""
    asked_about = present_question(sent.messages) if subcall.final else ()
    return bool(modalities_in(sent.messages)) and not modalities_in(asked_about)


def _was_asked_for(subcall: SubcallRequest, sent: AttemptRequest) -> bool:
    return subcall.response_format is not None and sent.params.get("response_format") is subcall.response_format


def _of_its_own(
    subcall: SubcallRequest, node: Node, sent: AttemptRequest, restriction: Restriction
) -> Restriction | None:
    """The next form of a history of tool calls; in the last there are none."""
    called = any(message.get("tool_calls") for message in sent.messages)
    if not subcall.final or node.is_composite or not called:
        return None
    return restriction if restriction not in sent.restrictions else "no_tool_history"
