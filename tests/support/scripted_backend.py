"""A backend that answers from a script, and facts about models that do not exist: real classes, no network."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from composite_llm.backend.interface import (
    NO_PARAMS,
    AttemptRequest,
    Choice,
    ChoiceDelta,
    Chunk,
    Message,
    Params,
    Reply,
)
from composite_llm.model.errors import AttemptFailed, Failure, FailureKind
from composite_llm.model.usage import Usage

USAGE = Usage(prompt_tokens=10, completion_tokens=5, total_tokens=15)
COST = 0.25


@dataclass(frozen=True, slots=True)
class Say:
    """An answer.

    Attributes:
        text: Its content.
        after: Seconds until it is there, or until its stream's first piece.
        gap: Seconds between the pieces of its stream.
        more: Further fields of its message.
        deltas: Its stream's pieces, where words will not do.
    """

    text: str | None = "fine"
    after: float = 0
    gap: float = 0
    finish_reason: str = "stop"
    usage: Usage = USAGE
    cost_usd: float | None = COST
    more: Mapping[str, Any] = field(default_factory=dict)
    deltas: Sequence[Message] | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """A failure, after some seconds; of a stream, after these pieces."""

    failure: Failure
    after: float = 0
    pieces: Sequence[Message] = ()


@dataclass(frozen=True, slots=True)
class Hang:
    """Nothing, ever; of a stream, after these pieces."""

    pieces: Sequence[Message] = ()


Step: TypeAlias = Say | Fail | Hang | Callable[[AttemptRequest], "Say | Fail | Hang"]
Script: TypeAlias = Mapping[str, Step | Sequence[Step] | str]


def failing(kind: FailureKind, reason: str = "no luck", after: float = 0, **more: Any) -> Fail:
    """A failure of that kind."""
    return Fail(Failure(kind, reason, **more), after)


def asking_for(*calls: tuple[str, str, str], text: str | None = None, **more: Any) -> Say:
    """An answer that asks for tools: (id, name, arguments) each."""
    tool_calls = [
        {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
        for id_, name, arguments in calls
    ]
    return Say(text, finish_reason="tool_calls", more={"tool_calls": tool_calls}, **more)


class ScriptedBackend:
    """Answers each model's attempts from its script, one step after the other; the last step repeats.

    Attributes:
        requests: Every attempt, in the order of their arrival, its messages copied at that moment.
        done: Models of the attempts that came to their end, in that order.
        cut: Models of the attempts that were cancelled or closed before their end.
        most_in_flight: The most attempts that were under way at once.
    """

    def __init__(self, script: Script) -> None:
        self._script = {model: _steps(steps) for model, steps in script.items()}
        self.requests: list[AttemptRequest] = []
        self.times: list[float] = []
        self.done: list[str] = []
        self.cut: list[str] = []
        self.in_flight = 0
        self.most_in_flight = 0

    def asked(self, model: str) -> list[AttemptRequest]:
        """The attempts at one model."""
        return [request for request in self.requests if request.model == model]

    def prompts(self, model: str) -> list[Sequence[Message]]:
        """The messages of the attempts at one model."""
        return [request.messages for request in self.asked(model)]

    async def complete(self, request: AttemptRequest) -> Reply:
        """One plain attempt."""
        step = self._begin(request)
        ended = False
        try:
            if isinstance(step, Hang):
                await asyncio.get_running_loop().create_future()
            assert not isinstance(step, Hang)
            await asyncio.sleep(step.after)
            ended = True
            if isinstance(step, Fail):
                raise AttemptFailed(step.failure)
            return _reply(step, request.model)
        finally:
            self._end(request, ended=ended)

    async def stream(self, request: AttemptRequest) -> AsyncGenerator[Chunk, None]:
        """One streamed attempt."""
        step = self._begin(request)
        ended = False
        try:
            if isinstance(step, Say):
                await asyncio.sleep(step.after)
                for number, chunk in enumerate(_chunks(step)):
                    if number:
                        await asyncio.sleep(step.gap)
                    yield chunk
                ended = True
                return
            for piece in step.pieces:
                yield Chunk((ChoiceDelta(0, piece),))
            if isinstance(step, Hang):
                await asyncio.get_running_loop().create_future()
            assert isinstance(step, Fail)
            await asyncio.sleep(step.after)
            ended = True
            raise AttemptFailed(step.failure)
        finally:
            self._end(request, ended=ended)

    def endpoint(self, request: AttemptRequest) -> str | None:
        """A host of the model's own."""
        return f"{request.model.replace('/', '.')}:443"

    def routed(self, model: str) -> bool:
        """Whether a router looks after the name: here, if it starts with `routed-`."""
        return model.startswith("routed-")

    def nested(self, model: str) -> bool:
        """Whether the name leads to composites: none here does."""
        return False

    def _begin(self, request: AttemptRequest) -> Say | Fail | Hang:
        assert request.model in self._script, f"nothing is scripted for {request.model!r}"
        kept = copy.copy(request)
        object.__setattr__(kept, "messages", copy.deepcopy(list(request.messages)))
        self.requests.append(kept)
        self.times.append(asyncio.get_running_loop().time())
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        steps = self._script[request.model]
        step = steps[min(len(self.asked(request.model)), len(steps)) - 1]
        return step if isinstance(step, Say | Fail | Hang) else step(request)

    def _end(self, request: AttemptRequest, *, ended: bool) -> None:
        self.in_flight -= 1
        (self.done if ended else self.cut).append(request.model)


def _steps(steps: Step | Sequence[Step] | str) -> Sequence[Step]:
    if isinstance(steps, str):
        return (Say(steps),)
    return (steps,) if isinstance(steps, Say | Fail | Hang) or callable(steps) else steps


def _message(step: Say) -> Message:
    return {"role": "assistant", "content": step.text, **copy.deepcopy(dict(step.more))}


def _reply(step: Say, model: str) -> Reply:
    return Reply((Choice(0, _message(step), step.finish_reason),), step.usage, step.cost_usd, model)


def _chunks(step: Say) -> list[Chunk]:
    deltas = list(step.deltas) if step.deltas is not None else _deltas(step)
    return [
        *(Chunk((ChoiceDelta(0, delta),)) for delta in deltas),
        Chunk((ChoiceDelta(0, {}, step.finish_reason),)),
        Chunk((), usage=step.usage, cost_usd=step.cost_usd),
    ]


def _deltas(step: Say) -> list[Message]:
    message = _message(step)
    deltas: list[Message] = [{"role": "assistant"}]
    if reasoning := message.get("reasoning_content"):
        deltas.append({"reasoning_content": reasoning})
    deltas += [{"content": piece} for piece in (step.text or "").split("|") if piece]
    for index, call in enumerate(message.get("tool_calls") or ()):
        arguments = call["function"]["arguments"]
        half = len(arguments) // 2
        deltas.append(
            {"tool_calls": [{**call, "index": index, "function": {**call["function"], "arguments": arguments[:half]}}]}
        )
        deltas.append({"tool_calls": [{"index": index, "function": {"arguments": arguments[half:]}}]})
    rest = {key: message[key] for key in message if key not in ("role", "content", "reasoning_content", "tool_calls")}
    return [*deltas, rest] if rest else deltas


@dataclass(slots=True)
class ScriptedFacts:
    """What a test wants to be known about models: providers are the models' own prefixes, a token is a word.

    Attributes:
        prices: US dollars per token by model; a model that is not there has no known price.
        refused: Modalities that a model does not take.
        windows: Prompt tokens by model.
        foreign: Models whose tokens are not words.
        schemas: Models that take a JSON schema.
        keyless: Environment variables that are not set, by the model that needs them.
        unknown: Names near those that nobody answers for.
    """

    prices: Mapping[str, float] = field(default_factory=dict)
    refused: Mapping[str, frozenset[str]] = field(default_factory=dict)
    windows: Mapping[str, int] = field(default_factory=dict)
    foreign: frozenset[str] = frozenset()
    schemas: frozenset[str] = frozenset()
    keyless: Mapping[str, str] = field(default_factory=dict)
    unknown: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def provider(self, model: str, params: Params) -> str | None:
        """The model's prefix."""
        return model.partition("/")[0] if "/" in model else None

    def answering_provider(self, model: str, params: Params) -> str | None:
        """The model's prefix."""
        return self.provider(model, params)

    def missing_key(self, model: str, params: Params) -> str | None:
        """As told, but for a node with a key."""
        return None if "api_key" in params else self.keyless.get(model)

    def near_unknown(self, model: str, params: Params) -> Sequence[str] | None:
        """As told."""
        return self.unknown.get(model)

    def context_window(self, model: str) -> int | None:
        """As told."""
        return self.windows.get(model)

    def count_tokens(self, model: str, messages: Sequence[Message]) -> int:
        """Words."""
        return sum(len(str(message.get("content") or "").split()) for message in messages)

    def takes_schema(self, model: str) -> bool:
        """As told."""
        return model in self.schemas

    def counts_exactly(self, model: str) -> bool:
        """Unless told otherwise."""
        return model not in self.foreign

    def takes(self, model: str, modality: str) -> bool | None:
        """Unknown, unless refused."""
        return False if modality in self.refused.get(model, ()) else None

    def price(self, model: str, prompt_tokens: int, completion_tokens: int, params: Params = NO_PARAMS) -> float | None:
        """As told."""
        per_token = params.get("input_cost_per_token", self.prices.get(model))
        return None if per_token is None else per_token * (prompt_tokens + completion_tokens)

    def max_output_tokens(self, model: str) -> int | None:
        """Unknown."""
        return None
