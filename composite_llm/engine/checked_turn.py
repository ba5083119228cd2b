"""One turn of the final model, read as what was asked for, checked and, while nobody has seen it, repaired once."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import replace

from composite_llm.backend.interface import NO_DELTA, Chunk, Reply
from composite_llm.engine.final import final_call
from composite_llm.engine.json_answer import JsonAnswer
from composite_llm.engine.json_wrapping import wants_json
from composite_llm.engine.output_checks import OutputCheck, repair_note
from composite_llm.engine.schemas import Unfinished, in_bounds
from composite_llm.engine.scope import Scope
from composite_llm.engine.subcall import has_tool_calls
from composite_llm.engine.subcall_request import SubcallRequest, chain
from composite_llm.engine.tools import requested
from composite_llm.model.errors import InvalidOutput
from composite_llm.model.messages import text_of

Holds = Callable[[Chunk], bool]


class Turn:
    """One turn: `items` yields what may be passed on at once; then `reply` and `held` are there.

    Args:
        scope: The run.
        subcall: The final call.
        check: What the reply must satisfy; None for no check.
        holds: Which chunks must not be passed on before the turn is over.
    """

    def __init__(self, scope: Scope, subcall: SubcallRequest, check: OutputCheck | None, holds: Holds) -> None:
        self._scope = scope
        self._subcall = subcall
        self._check = check
        self._holds = holds
        self._format = subcall.params.get("response_format")
        self._json: JsonAnswer | None = None
        self._seen = False
        self._reply: Reply | None = None
        self.held: list[Chunk] = []

    @property
    def reply(self) -> Reply:
        """The turn's reply."""
        assert self._reply is not None
        return self._reply

    async def items(self, *, streamed: bool) -> AsyncGenerator[Chunk, None]:
        """The chunks to pass on.

        Raises:
            InvalidOutput: No node gave what `response_format` asks for.
            FinalCallFailed, BudgetExceeded: as the final call.
        """
        fallbacks = list(chain(self._subcall.node))[1:]
        subcall, repaired = self._subcall, False
        while True:
            async with contextlib.aclosing(self._once(subcall, streamed=streamed)) as chunks:
                async for chunk in chunks:
                    yield chunk
            problem = await self._problem()
            if problem is None or self._stands(problem, repaired=repaired):
                for chunk in self._rest():
                    yield chunk
                return
            if not repaired:
                self._degrade("output_repaired", f"asked again, since {problem}")
                subcall, repaired = self._subcall.with_more(repair_note(problem, self.reply)), True
            elif fallbacks:
                node = fallbacks.pop(0)
                self._degrade("fallback_used", f"{node.label} asked, since {problem}")
                subcall = replace(self._subcall, node=node.model_copy(update={"fallbacks": ()}))
            else:
                raise InvalidOutput(f"stage '{subcall.stage}': {subcall.name}: {problem}, also when asked again")
            yield NO_DELTA

    def _degrade(self, code: str, detail: str) -> None:
        self._scope.degrade(code, detail, stage=self._subcall.stage, member=self._subcall.name)

    async def _problem(self) -> str | None:
        check, reply = self._check, self.reply
        if check is None:
            return None
        try:
            return await in_bounds(lambda: check.problem(reply), characters=_length(reply))
        except Unfinished:
            self._degrade("output_unchecked", "checking its form would take too long")
            return None

    async def _read(self, reply: Reply) -> Reply:
        answer = self._json
        if answer is None:
            return reply
        try:
            return await in_bounds(lambda: answer.read(reply), characters=_length(reply))
        except Unfinished:
            return reply

    def _stands(self, problem: str, *, repaired: bool) -> bool:
        """Whether a reply with a problem is the answer nevertheless."""
        if self._seen:
            self._degrade("output_invalid", f"{problem}; it was already passed on")
        elif repaired and has_tool_calls(self.reply.message):
            # The caller, or the tool itself, can still say what is wrong with it.
            self._degrade("output_invalid", problem)
        else:
            return False
        return True

    async def _once(self, subcall: SubcallRequest, *, streamed: bool) -> AsyncGenerator[Chunk, None]:
        self.held = []
        self._json = JsonAnswer(self._format) if wants_json(self._format) else None
        async with contextlib.aclosing(final_call(self._scope, subcall, streamed=streamed)) as items:
            async for item in items:
                if isinstance(item, Reply):
                    self._reply = await self._read(item)
                    continue
                chunk = self._json.passed(item) if self._json is not None else item
                if chunk is None:
                    continue
                if self._holds(chunk):
                    self.held.append(chunk)
                else:
                    self._seen = self._seen or _is_answer(chunk)
                    yield chunk

    def _rest(self) -> Iterator[Chunk]:
        """What was kept back of a streamed JSON answer."""
        chunk = self._json.rest(self.reply) if self._json is not None else None
        if chunk is not None and self._holds(chunk):
            self.held.append(chunk)
        elif chunk is not None:
            yield chunk


def _length(reply: Reply) -> int:
    """Characters of what has to be read as JSON."""
    messages = [choice.message for choice in reply.choices]
    called = [call.get("function") or {} for message in messages for call in requested(message)]
    return sum(len(text_of(message.get("content"))) for message in messages) + sum(
        len(str(function.get("arguments") or "")) for function in called
    )


def _is_answer(chunk: Chunk) -> bool:
    return any(
        choice.delta.get("content") or choice.delta.get("tool_calls") or choice.delta.get("function_call")
        for choice in chunk.choices
    )
