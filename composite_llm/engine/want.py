"""What a strategy asks the engine for: one answer from one role."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from composite_llm.backend.interface import AttemptRequest, Message, ModelFacts, Reply
from composite_llm.config.node import Node, resolved_params
from composite_llm.config.parameters import CONNECTION, SAMPLING
from composite_llm.engine.fit import Compose, fitted, window_of
from composite_llm.engine.scope import Scope
from composite_llm.errors import AttemptFailed, Failure
from composite_llm.messages import alternating, modalities_in, with_persona, without_modalities
from composite_llm.personas import persona_text


@dataclass(frozen=True, slots=True)
class Want:
    """One answer wanted from one role.

    Attributes:
        stage: The stage it belongs to.
        role: The part it plays.
        name: Its label in traces, unique in its stage.
        node: Whom to ask, with fallbacks.
        messages: The prompt without the node's persona.
        params: Call parameters of the request that belong to this call.
        connection: `api_base`, `api_key` and the like that came with the request, for nodes of `connection_provider`.
        connection_provider: LiteLLM's provider name of the final node.
        unique: Must not be answered from a response cache.
        seed: This sample's own seed, in the place of the request's.
        final: Whether its answer goes to the caller.
        materials: Texts in the prompt that may be cut to make it fit: other models' answers.
        compose: Makes the prompt from them; None when there are none.
    """

    stage: str
    role: str
    name: str
    node: Node
    messages: Sequence[Message]
    params: Mapping[str, Any] = field(default_factory=dict)
    connection: Mapping[str, Any] = field(default_factory=dict)
    connection_provider: str | None = None
    unique: bool = False
    seed: int | None = None
    final: bool = False
    materials: tuple[str, ...] = ()
    compose: Compose | None = None

    def with_more(self, further: Sequence[Message]) -> Want:
        """The same want with messages added to its prompt."""
        compose = self.compose
        longer = None if compose is None else (lambda materials: [*compose(materials), *further])
        return replace(self, messages=[*self.messages, *further], compose=longer)


@dataclass(frozen=True, slots=True)
class Answer:
    """A usable answer of a stage."""

    name: str
    text: str
    reply: Reply
    index: int
    """Its place in the configuration."""

    @property
    def cut_off(self) -> bool:
        """Whether a token limit ended it."""
        return self.reply.finish_reason == "length"


def cut_off_in(answers: Sequence[Answer]) -> tuple[int, ...]:
    """Places of the answers that a token limit ended."""
    return tuple(place for place, answer in enumerate(answers) if answer.cut_off)


def chain(node: Node) -> Iterator[Node]:
    """A node and its fallbacks, in the order in which they are tried; a fallback plays its node's persona."""
    yield node
    for fallback in node.fallbacks:
        persona = {"system": node.system} if fallback.system is None and node.system is not None else {}
        yield from chain(fallback.model_copy(update=persona) if persona else fallback)


def attempt_request(scope: Scope, want: Want, node: Node, *, squeezed: bool = False) -> AttemptRequest:
    """The attempt at one node of a want's chain, made inside `scope`; other models' answers are cut where they must be.

    Args:
        scope: Inside the want's call.
        want: What is wanted.
        node: Whom to ask.
        squeezed: The provider said that the same prompt was too long, whatever the tables say.

    Raises:
        AttemptFailed: The conversation itself does not fit the node's context window.
        InvalidOption: The node names an environment variable that is not set, or an unknown persona.
    """
    own = resolved_params(node.params)
    inherited = {key: value for key, value in want.params.items() if key not in own}
    if want.seed is not None:
        (own if "seed" in own else inherited)["seed"] = want.seed
    params = {**inherited, **own, **_connection(scope.facts, want, node, own)}
    return AttemptRequest(
        model=node.model,
        messages=_prompt(scope, want, node, squeezed=squeezed),
        params=params,
        inherited=frozenset(inherited) & SAMPLING,
        timeout_s=node.timeout or scope.client_timeout_s,
        metadata={
            **scope.metadata,
            "composite_run": scope.recorder.run_id,
            "composite_stage": want.stage,
            "composite_node": want.name,
        },
        trace_id=scope.trace_id,
        session_id=scope.session_id,
        unique=want.unique,
        final=want.final,
        scope=scope,
    )


def _connection(facts: ModelFacts, want: Want, node: Node, own: Mapping[str, Any]) -> Mapping[str, Any]:
    """The request's endpoint and key, only where they belong: never to another provider, never mixed with a node's own."""
    if not want.connection or any(key in own for key in CONNECTION):
        return {}
    if want.final and node is want.node:
        return want.connection
    if node.is_composite:
        # It decides by itself: its own final model may be of another provider.
        return {}
    provider = facts.provider(node.model, own)
    return want.connection if provider is not None and provider == want.connection_provider else {}


def _prompt(scope: Scope, want: Want, node: Node, *, squeezed: bool) -> list[Message]:
    facts, persona = scope.facts, persona_text(node.system) if node.system else None

    def as_seen(messages: Sequence[Message]) -> list[Message]:
        seen = with_persona(_readable(facts, node, messages), persona)
        return alternating(seen) if node.params.get("ensure_alternating_roles") else seen

    def compose(materials: Sequence[str]) -> list[Message]:
        if want.compose is None or materials is want.materials:
            return as_seen(want.messages)
        return as_seen(want.compose(materials))

    if node.is_composite:
        return as_seen(want.messages)
    max_tokens = node.params.get("max_tokens") or want.params.get("max_tokens")
    window = window_of(facts, node, max_tokens if isinstance(max_tokens, int) else None)
    if squeezed:
        window = int(facts.count_tokens(node.model, as_seen(want.messages)) * _SQUEEZE)
    found = fitted(facts, node.model, window, want.materials, compose)
    if found is None:
        reason = f"the conversation is longer than its context window of {window} tokens"
        raise AttemptFailed(Failure("context_window", reason))
    if found.cut:
        scope.degrade("context_cut", f"{want.name}: {found.cut} answers cut to fit {node.model}")
    return found.messages


_SQUEEZE = 0.6
"""Share of a prompt that is kept when the provider says it was too long."""


def _readable(facts: ModelFacts, node: Node, messages: Sequence[Message]) -> Sequence[Message]:
    held = modalities_in(messages)
    if not held or node.is_composite:
        return messages
    return without_modalities(messages, {kind for kind in held if facts.takes(node.model, kind) is False})


def numbered(labels: Sequence[str]) -> list[str]:
    """The labels made unique: a repeated one gets `#1`, `#2`, … in order."""
    single = {label for label, count in Counter(labels).items() if count == 1}
    taken = set(single)
    numbers = {label: itertools.count(1) for label in labels}
    unique = []
    for label in labels:
        candidates = (f"{label} #{number}" for number in numbers[label])
        name = label if label in single else next(name for name in candidates if name not in taken)
        unique.append(name)
        taken.add(name)
    return unique
