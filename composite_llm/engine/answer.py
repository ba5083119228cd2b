"""The final answer: the final call, and the tool rounds between its turns."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from composite_llm.backend.interface import NO_DELTA, Choice, ChoiceDelta, Chunk, Message, Reply
from composite_llm.engine.checked_turn import Turn
from composite_llm.engine.gate import asks_for
from composite_llm.engine.output_checks import OutputCheck
from composite_llm.engine.scope import Scope
from composite_llm.engine.subcall import has_tool_calls
from composite_llm.engine.subcall_request import SubcallRequest
from composite_llm.engine.tools import ToolExecutor, run_tools, tool_names
from composite_llm.model.events import ToolsRun
from composite_llm.model.messages import text_of
from composite_llm.model.trace import ToolCall

_BETWEEN_TURNS = "\n\n"
_ALIKE = 3
"""So many rounds in a row with the same calls and the same results are worth a word: the model is going in circles."""
_CIRCLES = (1, 2)
"""How many rounds go by before the same calls are made again, in the circles that eight rounds can show."""
_Round = list[tuple[str, Any, str | None]]
"""Name, arguments and result of each call."""


@dataclass(frozen=True, slots=True)
class ToolPolicy:
    """Who runs tools, and how often.

    Attributes:
        executor: None: tool calls go to the caller.
        max_rounds: Turns whose tools are run; after them the model must answer without.
        stops_at: A tool that ends it: nothing that is called beside it is run or passed on.
    """

    executor: ToolExecutor | None = None
    max_rounds: int = 8
    stops_at: str | None = None


@dataclass(frozen=True, slots=True)
class Stopped:
    """The model has called the tool that ends it.

    Attributes:
        reply: With that call.
        spoken: What the caller has seen of its text, a paragraph for each turn.
        added: The messages of the tool rounds before.
    """

    reply: Reply
    spoken: tuple[str, ...] = ()
    added: tuple[Message, ...] = ()


class _Paragraphs:
    """Joins the texts of several turns: each a paragraph of its own."""

    def __init__(self, spoken: Sequence[str]) -> None:
        self.spoken = list(spoken)
        self._due = bool(spoken)

    def add(self, text: str) -> None:
        """The text of a turn that is over."""
        self.spoken.append(text)
        self._due = True

    def joined(self, chunk: Chunk) -> Chunk:
        """The chunk, with the paragraph break before a further turn's first text."""
        if not self._due or not any(choice.delta.get("content") for choice in chunk.choices):
            return chunk
        self._due = False
        return replace(chunk, choices=tuple(_prefixed(choice) for choice in chunk.choices), raw=None)

    def whole(self, reply: Reply) -> Reply:
        """The reply with all that was said."""
        if not self.spoken:
            return reply
        first = reply.choices[0]
        last = text_of(first.message.get("content"))
        content = _BETWEEN_TURNS.join([*self.spoken, last] if last else self.spoken)
        return replace(
            reply, choices=(replace(first, message={**first.message, "content": content}), *reply.choices[1:])
        )


async def answer(
    scope: Scope,
    subcall: SubcallRequest,
    policy: ToolPolicy,
    *,
    streamed: bool,
    check: OutputCheck | None = None,
    spoken: Sequence[str] = (),
) -> AsyncGenerator[Chunk | Reply | Stopped, None]:
    """Yields the chunks the caller may see as they come, and last the reply, or that it was stopped.

    `spoken` is what the caller has seen of earlier turns.

    What the model says beside a tool call that we run is part of its answer, in both forms, each turn a paragraph of
    its own; with `response_format` only the last turn counts, since JSON allows nothing beside it.

    Raises:
        InvalidOutput: The answer never satisfied `check`.
        FinalCallFailed, BudgetExceeded: as the final call.
    """
    if policy.executor is None or not (subcall.params.get("tools") or subcall.params.get("functions")):
        single = _single_turn(scope, subcall, policy.stops_at, check, _Paragraphs(spoken), streamed=streamed)
        async with contextlib.aclosing(single) as items:
            async for item in items:
                yield item
        return
    loop = _ToolLoop(scope, subcall, policy, policy.executor, check, _Paragraphs(spoken))
    async with contextlib.aclosing(loop.items(streamed=streamed)) as items:
        async for item in items:
            yield item


async def _single_turn(
    scope: Scope,
    subcall: SubcallRequest,
    stops_at: str | None,
    check: OutputCheck | None,
    paragraphs: _Paragraphs,
    *,
    streamed: bool,
) -> AsyncGenerator[Chunk | Reply | Stopped, None]:
    formatted = bool(subcall.params.get("response_format"))

    def holds(chunk: Chunk) -> bool:
        return stops_at is not None and (_has_tool_delta(chunk) or (formatted and _has_content(chunk)))

    turn = Turn(scope, subcall, check, holds)
    async with contextlib.aclosing(turn.items(streamed=streamed)) as chunks:
        async for chunk in chunks:
            yield paragraphs.joined(chunk)
    if stops_at is not None and asks_for(turn.reply, stops_at):
        yield Stopped(turn.reply, _said(turn.reply, formatted=formatted))
        return
    for chunk in turn.held:
        yield paragraphs.joined(chunk)
    yield paragraphs.whole(turn.reply)


def _said(reply: Reply, *, formatted: bool) -> tuple[str, ...]:
    text = text_of(reply.message.get("content"))
    return (text,) if text and not formatted else ()


class _ToolLoop:
    def __init__(
        self,
        scope: Scope,
        subcall: SubcallRequest,
        policy: ToolPolicy,
        executor: ToolExecutor,
        check: OutputCheck | None,
        paragraphs: _Paragraphs,
    ) -> None:
        self._scope = scope
        self._subcall = subcall
        self._asked = len(subcall.messages)
        self._paragraphs = paragraphs
        self._policy = policy
        self._executor = executor
        self._check = check
        self._rounds: list[_Round] = []
        self._in_circles = False
        # The caller must get valid JSON, so a turn's text is held until it is known to be the last.
        self._holds_text = bool(subcall.params.get("response_format"))

    async def items(self, *, streamed: bool) -> AsyncGenerator[Chunk | Reply | Stopped, None]:
        for round_number in range(1, self._policy.max_rounds + 2):
            exhausted = round_number > self._policy.max_rounds
            if exhausted:
                rounds = f"max_tool_rounds ({self._policy.max_rounds})"
                self._degrade("tool_rounds_used_up", f"had to answer without tools after {rounds}")
                self._subcall = replace(self._subcall, params=_without_tools(self._subcall))
            turn = Turn(self._scope, self._subcall, self._check, self._must_hold)
            async with contextlib.aclosing(turn.items(streamed=streamed)) as chunks:
                async for chunk in chunks:
                    yield self._paragraphs.joined(chunk)
            if self._policy.stops_at is not None and asks_for(turn.reply, self._policy.stops_at):
                said = _said(turn.reply, formatted=self._holds_text)
                added = tuple(self._subcall.messages[self._asked :])
                yield Stopped(turn.reply, (*self._paragraphs.spoken, *said), added)
                return
            names = tool_names(turn.reply.message)
            if names and not exhausted and self._executor.covers(names):
                await self._run_tools(turn.reply, round_number)
                yield NO_DELTA
                continue
            for chunk in turn.held:
                if not (exhausted and _has_tool_delta(chunk)):
                    yield self._paragraphs.joined(chunk)
            yield self._paragraphs.whole(_without_tool_calls(turn.reply) if exhausted else turn.reply)
            return

    def _note_alike(self, records: Sequence[ToolCall]) -> None:
        """Not the end of it: a tool that is waited for gives the same result until it gives another."""
        self._rounds.append([(record.name, record.arguments, record.result or record.error) for record in records])
        if not self._in_circles and any(_repeats(self._rounds, size) for size in _CIRCLES):
            self._in_circles = True
            text = f"made the same tool calls {_ALIKE} times in a row, with the same results"
            self._degrade("tool_calls_repeated", text)

    def _degrade(self, code: str, detail: str) -> None:
        self._scope.degrade(code, detail, stage=self._subcall.stage, member=self._subcall.name)

    async def _run_tools(self, reply: Reply, round_number: int) -> None:
        # A streamed run has no limit around it as a whole, and nothing is yielded in here.
        async with asyncio.timeout_at(self._scope.deadline):
            messages, records = await run_tools(
                self._executor,
                reply.message,
                self._scope.recorder,
                self._subcall.name,
                round_number,
                reply.origin,
            )
        self._scope.recorder.tool_calls.extend(records)
        self._note_alike(records)
        self._scope.emit(ToolsRun(tuple(records)))
        text = text_of(reply.message.get("content"))
        if text and not self._holds_text:
            self._paragraphs.add(text)
        self._subcall = replace(self._subcall.with_more(messages), params=_free_choice(self._subcall))

    def _must_hold(self, chunk: Chunk) -> bool:
        return _has_tool_delta(chunk) or (self._holds_text and _has_content(chunk))


def _prefixed(choice: ChoiceDelta) -> ChoiceDelta:
    content = choice.delta.get("content")
    return replace(choice, delta={**choice.delta, "content": _BETWEEN_TURNS + content}) if content else choice


def _has_content(chunk: Chunk) -> bool:
    return any("content" in choice.delta for choice in chunk.choices)


def _has_tool_delta(chunk: Chunk) -> bool:
    return any("tool_calls" in choice.delta or "function_call" in choice.delta for choice in chunk.choices)


def _free_choice(subcall: SubcallRequest) -> dict[str, object]:
    """A forced tool has been called now; forcing it again would never let the model answer."""
    forced = subcall.params.get("tool_choice")
    if forced == "required" or isinstance(forced, Mapping):
        return {**subcall.params, "tool_choice": "auto"}
    return dict(subcall.params)


def _without_tools(subcall: SubcallRequest) -> dict[str, object]:
    """`tool_choice="none"`: the tools stay in the prompt, where the history refers to them."""
    params = dict(subcall.params)
    params["function_call" if "functions" in params and "tools" not in params else "tool_choice"] = "none"
    params.pop("parallel_tool_calls", None)
    return params


def _without_tool_calls(reply: Reply) -> Reply:
    return replace(reply, choices=tuple(_choice_without_tool_calls(choice) for choice in reply.choices))


def _choice_without_tool_calls(choice: Choice) -> Choice:
    if not has_tool_calls(choice.message):
        return choice
    message: Message = {
        key: value for key, value in choice.message.items() if key not in ("tool_calls", "function_call")
    }
    return replace(choice, message=message, finish_reason="stop")


def _repeats(rounds: Sequence[_Round], size: int) -> bool:
    """Whether the last rounds are the same so many times, `_ALIKE` in all."""
    last = rounds[-size * _ALIKE :]
    return len(last) == size * _ALIKE and all(last[place] == last[place % size] for place in range(len(last)))
