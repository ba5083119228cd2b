"""The final answer: the final call, and the tool rounds between its turns."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace

from composite_llm.backend.interface import Choice, ChoiceDelta, Chunk, Message, Reply
from composite_llm.engine.final import final_call
from composite_llm.engine.scope import Scope
from composite_llm.engine.subcall import has_tool_calls
from composite_llm.engine.tools import ToolExecutor, run_tools, tool_names
from composite_llm.engine.want import Want
from composite_llm.events import ToolsRun
from composite_llm.messages import text_of

_BETWEEN_TURNS = "\n\n"


@dataclass(frozen=True, slots=True)
class ToolPolicy:
    """Who runs tools, and how often.

    Attributes:
        executor: None: tool calls go to the caller.
        max_rounds: Turns whose tools are run; after them the model must answer without.
    """

    executor: ToolExecutor | None = None
    max_rounds: int = 8


async def answer(
    scope: Scope, want: Want, policy: ToolPolicy, *, streamed: bool
) -> AsyncGenerator[Chunk | Reply, None]:
    """Yields the chunks the caller may see as they come, and last the reply.

    What the model says beside a tool call that we run is part of its answer, in both forms, each turn a paragraph of
    its own; with `response_format` only the last turn counts, since JSON allows nothing beside it.

    Raises:
        FinalCallFailed, BudgetExceeded: as the final call.
    """
    if policy.executor is None or not (want.params.get("tools") or want.params.get("functions")):
        async with contextlib.aclosing(final_call(scope, want, streamed=streamed)) as items:
            async for item in items:
                yield item
        return
    loop = _ToolLoop(scope, want, policy, policy.executor)
    async with contextlib.aclosing(loop.run(streamed=streamed)) as items:
        async for item in items:
            yield item


class _ToolLoop:
    def __init__(self, scope: Scope, want: Want, policy: ToolPolicy, executor: ToolExecutor) -> None:
        self._scope = scope
        self._want = want
        self._policy = policy
        self._executor = executor
        self._spoken: list[str] = []
        # The caller must get valid JSON, so a turn's text is held until it is known to be the last.
        self._holds_text = bool(want.params.get("response_format"))

    async def run(self, *, streamed: bool) -> AsyncGenerator[Chunk | Reply, None]:
        want = self._want
        for round_number in range(1, self._policy.max_rounds + 2):
            exhausted = round_number > self._policy.max_rounds
            if exhausted:
                want = replace(want, params=_without_tools(want))
            held: list[Chunk] = []
            reply: Reply | None = None
            async with contextlib.aclosing(final_call(self._scope, want, streamed=streamed)) as items:
                async for item in items:
                    if isinstance(item, Reply):
                        reply = item
                    elif self._must_hold(item):
                        held.append(item)
                    else:
                        yield self._joined(item)
            assert reply is not None
            names = tool_names(reply.message)
            ours = bool(names) and not exhausted and self._executor.covers(names)
            if not ours:
                if exhausted and names:
                    self._scope.degrade(f"{want.name}: asked for tools again after max_tool_rounds")
                    reply, held = _without_tool_calls(reply), [chunk for chunk in held if not _has_tool_delta(chunk)]
                for chunk in held:
                    yield self._joined(chunk)
                yield self._whole(reply)
                return
            messages, records = await run_tools(
                self._executor, reply.message, self._scope.recorder, want.name, round_number
            )
            self._scope.recorder.tool_calls.extend(records)
            self._scope.emit(ToolsRun(tuple(records)))
            if not self._holds_text and (text := text_of(reply.message.get("content"))):
                self._spoken.append(text)
            want = replace(want, messages=[*want.messages, *messages], params=_free_choice(want))
            self._turn_started = False

    _turn_started = False

    def _must_hold(self, chunk: Chunk) -> bool:
        return _has_tool_delta(chunk) or (self._holds_text and any("content" in c.delta for c in chunk.choices))

    def _joined(self, chunk: Chunk) -> Chunk:
        """The chunk, with the paragraph break before a further turn's first text."""
        if self._turn_started or not self._spoken or not any(choice.delta.get("content") for choice in chunk.choices):
            return chunk
        self._turn_started = True
        choices = tuple(_prefixed(choice) for choice in chunk.choices)
        return replace(chunk, choices=choices, raw=None)

    def _whole(self, reply: Reply) -> Reply:
        if not self._spoken:
            return reply
        first = reply.choices[0]
        last = text_of(first.message.get("content"))
        content = _BETWEEN_TURNS.join([*self._spoken, last] if last else self._spoken)
        return replace(
            reply, choices=(replace(first, message={**first.message, "content": content}), *reply.choices[1:])
        )


def _prefixed(choice: ChoiceDelta) -> ChoiceDelta:
    content = choice.delta.get("content")
    return replace(choice, delta={**choice.delta, "content": _BETWEEN_TURNS + content}) if content else choice


def _has_tool_delta(chunk: Chunk) -> bool:
    return any("tool_calls" in choice.delta or "function_call" in choice.delta for choice in chunk.choices)


def _free_choice(want: Want) -> dict[str, object]:
    """A forced tool has been called now; forcing it again would never let the model answer."""
    forced = want.params.get("tool_choice")
    if forced == "required" or isinstance(forced, Mapping):
        return {**want.params, "tool_choice": "auto"}
    return dict(want.params)


def _without_tools(want: Want) -> dict[str, object]:
    """`tool_choice="none"`: the tools stay in the prompt, where the history refers to them."""
    params = dict(want.params)
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
