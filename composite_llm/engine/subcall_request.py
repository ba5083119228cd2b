"""What a strategy asks the engine for: one subcall, with its node and its prompt."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from composite_llm.backend.interface import AttemptRequest, Message, ModelFacts, Reply
from composite_llm.backend.tool_turn import origin_of
from composite_llm.config.node import Node, resolved_params
from composite_llm.config.parameters import CONNECTION, SAMPLING
from composite_llm.engine.cost_bounds import schemas_of
from composite_llm.engine.prompt_fitting import Compose, FittedPrompt, fitted, window_of
from composite_llm.engine.reasoning_history import Recipient
from composite_llm.engine.scope import Scope
from composite_llm.model.errors import AttemptFailed, Failure, Restriction
from composite_llm.model.message_roles import with_one_system_message, with_turns, without_system_role
from composite_llm.model.messages import modalities_in, with_persona, without_modalities
from composite_llm.model.personas import persona_text


@dataclass(frozen=True, slots=True)
class Review:
    """What a reviewer's answer says.

    Attributes:
        labels: Under which label it saw whose answer.
        critiques: What it says of each, by author.
    """

    labels: Mapping[str, str]
    critiques: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SubcallRequest:
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
        title: The heading of its stage.
        materials: Texts in the prompt that may be cut to make it fit: other models' answers.
        compose: Makes the prompt from them; None when there are none.
        response_format: Helps, but is not needed: sent where the model takes it, and left out where that is refused.
        review: Reads a reviewer's answer when it comes, for the record.
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
    title: str = ""
    materials: tuple[str, ...] = ()
    compose: Compose | None = None
    response_format: Mapping[str, Any] | None = None
    review: Callable[[Reply], Review] | None = None

    def with_more(self, further: Sequence[Message]) -> SubcallRequest:
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


def chain(node: Node) -> Iterator[Node]:
    """A node and its fallbacks, in the order in which they are tried; a fallback plays its node's persona."""
    yield node
    for fallback in node.fallbacks:
        persona = {"system": node.system} if fallback.system is None and node.system is not None else {}
        yield from chain(fallback.model_copy(update=persona) if persona else fallback)


@dataclass(frozen=True, slots=True)
class Form:
    """What an attempt has to be like, by what became of those before it.

    Attributes:
        restrictions: What it must do without.
        at_most_tokens: As `count_tokens` counts them, of its messages and tools.
    """

    restrictions: frozenset[Restriction] = frozenset()
    at_most_tokens: int | None = None


def attempt_request(scope: Scope, subcall: SubcallRequest, node: Node, form: Form = Form()) -> AttemptRequest:
    """The attempt at one node of a want's chain, made inside `scope`; other models' answers are cut where they must be.

    Args:
        scope: Inside the want's call.
        subcall: What is wanted.
        node: Whom to ask.
        form: What became of earlier attempts.

    Raises:
        AttemptFailed: The conversation itself does not fit the node's context window.
        InvalidOption: The node names an environment variable that is not set, or an unknown persona.
    """
    own = resolved_params(node.params)
    inherited = {key: value for key, value in subcall.params.items() if key not in own}
    if subcall.seed is not None:
        (own if "seed" in own else inherited)["seed"] = subcall.seed
    params = {**inherited, **own, **_connection(scope.facts, subcall, node, own)}
    bare = AttemptRequest(node.model, (), params)
    endpoint = scope.backend.endpoint(bare)
    form = replace(form, restrictions=form.restrictions | scope.endpoint_refusals.restrictions(node.model, endpoint))
    if subcall.response_format is not None and _takes_format(scope.facts, node, params, form):
        params["response_format"] = subcall.response_format
    recipient = _recipient(scope.facts, subcall, node, endpoint, params, form)
    messages = _prompt(
        scope, subcall, node, params, form, scope.endpoint_refusals.window(node.model, endpoint), recipient
    )
    for reason in sorted(recipient.lost):
        scope.degrade("reasoning_lost", reason, stage=subcall.stage, member=subcall.name)
    if recipient.must_not_think:
        params = {key: value for key, value in params.items() if key not in _THINKING}
    return AttemptRequest(
        model=node.model,
        messages=messages,
        params=params,
        restrictions=form.restrictions,
        inherited=frozenset(inherited) & SAMPLING,
        timeout_s=node.timeout or scope.client_timeout_s,
        metadata={
            **scope.metadata,
            "composite_run": scope.recorder.run_id,
            "composite_stage": subcall.stage,
            "composite_node": subcall.name,
        },
        trace_id=scope.trace_id,
        session_id=scope.session_id,
        unique=subcall.unique,
        final=subcall.final,
        scope=scope,
    )


def _takes_format(facts: ModelFacts, node: Node, params: Mapping[str, Any], form: Form) -> bool:
    return (
        "response_format" not in params
        and "no_response_format" not in form.restrictions
        and not node.is_composite
        and facts.takes_schema(node.model)
    )


def _connection(facts: ModelFacts, subcall: SubcallRequest, node: Node, own: Mapping[str, Any]) -> Mapping[str, Any]:
    """The request's endpoint and key, only where they belong: never to another provider, never mixed with a node's own."""
    if not subcall.connection or any(key in own for key in CONNECTION):
        return {}
    if subcall.final and node is subcall.node:
        return subcall.connection
    if node.is_composite:
        # It decides by itself: its own final model may be of another provider.
        return {}
    provider = facts.provider(node.model, own)
    return subcall.connection if provider is not None and provider == subcall.connection_provider else {}


_THINKING = frozenset({"thinking", "reasoning_effort"})


def _recipient(
    facts: ModelFacts, subcall: SubcallRequest, node: Node, endpoint: str | None, params: Mapping[str, Any], form: Form
) -> Recipient:
    """Who reads the prompt: a final model is given back what it said itself."""
    return Recipient(
        origin=origin_of(node.model, endpoint) if subcall.final else None,
        model=node.model,
        provider=facts.answering_provider(node.model, params) if subcall.final else None,
        name=subcall.name,
        params=params,
        restrictions=form.restrictions,
    )


def _prompt(
    scope: Scope,
    subcall: SubcallRequest,
    node: Node,
    params: Mapping[str, Any],
    form: Form,
    learned_window: int | None,
    recipient: Recipient,
) -> list[Message]:
    facts, persona = scope.facts, persona_text(node.system) if node.system else None

    def compose(materials: Sequence[str]) -> list[Message]:
        fresh = subcall.compose is not None and materials is not subcall.materials
        messages = subcall.compose(materials) if fresh and subcall.compose is not None else subcall.messages
        # A composite's final model is given its own by the run that is nested for it.
        given = messages if node.is_composite else recipient.shown(messages)
        seen = with_persona(_readable(facts, node, given, form.restrictions), persona)
        return _as_taken(seen, node, form.restrictions)

    if node.is_composite:
        return compose(subcall.materials)
    window = _least(_window(facts, node, params, learned_window), form.at_most_tokens)
    room = window
    if window is not None and (schemas := schemas_of(params)):
        room = max(window - facts.count_tokens(node.model, [{"role": "system", "content": schemas}]), 0)
    found = _fitted(facts, node.model, room, subcall, compose)
    if found is None:
        reason = f"the conversation is longer than its context window of {window} tokens"
        raise AttemptFailed(Failure("context_window", reason))
    if found.cut:
        detail = f"{found.cut} answers cut to fit {node.model}"
        scope.degrade("context_cut", detail, stage=subcall.stage, member=subcall.name)
    return found.messages


def _window(facts: ModelFacts, node: Node, params: Mapping[str, Any], noted_window: int | None) -> int | None:
    """Tokens that the prompt may have, the answer's own left out."""
    asked = params.get("max_completion_tokens") or params.get("max_tokens")
    max_tokens = asked if isinstance(asked, int) else None
    known = window_of(facts, node, max_tokens)
    return known if noted_window is None else _least(known, max(noted_window - (max_tokens or 0), noted_window // 2))


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _fitted(
    facts: ModelFacts, model: str, window: int | None, subcall: SubcallRequest, compose: Compose
) -> FittedPrompt | None:
    if window is not None and subcall.materials and not facts.counts_exactly(model):
        # The answers make room for what is counted wrong; the conversation itself is not refused for it.
        prompt = fitted(facts, model, int(window * _OF_FOREIGN_TOKENS), subcall.materials, compose)
        if prompt is not None:
            return prompt
    return fitted(facts, model, window, subcall.materials, compose)


_OF_FOREIGN_TOKENS = 0.9
"""Share of a window that is filled by the count of another model's tokenizer; small models' were seen 5.5 % above it."""


def _as_taken(messages: Sequence[Message], node: Node, restrictions: frozenset[Restriction]) -> list[Message]:
    """The messages in the roles and the order that the endpoint takes; a composite's nodes look to that themselves."""
    if node.is_composite:
        return list(messages)
    taken = without_system_role(messages) if "no_system_role" in restrictions else with_one_system_message(messages)
    strict = "strict_turns" in restrictions or node.params.get("ensure_alternating_roles")
    return with_turns(taken) if strict else taken


def _readable(
    facts: ModelFacts, node: Node, messages: Sequence[Message], restrictions: frozenset[Restriction]
) -> Sequence[Message]:
    held = modalities_in(messages)
    if not held or node.is_composite:
        return messages
    refused = "no_media" in restrictions
    return without_modalities(messages, {kind for kind in held if refused or facts.takes(node.model, kind) is False})


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
