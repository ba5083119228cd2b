"""An answer that was asked for as JSON: taken out of its wrapping, in a stream before any of it is passed on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from composite_llm.backend.interface import Choice, ChoiceDelta, Chunk, Reply
from composite_llm.engine.json_wrapping import JsonStream, unwrapped, wants_object
from composite_llm.engine.output_checks import format_problem
from composite_llm.engine.subcall import has_tool_calls


class JsonAnswer:
    """One answer, whole or in chunks.

    Args:
        response_format: One for which `wants_json` is true.
    """

    def __init__(self, response_format: Any) -> None:
        self._format = response_format
        self._starts = "{" if wants_object(response_format) else "{["
        self._streams: dict[int, JsonStream] = {}

    def read(self, reply: Reply) -> Reply:
        """The whole reply without the wrapping; the same object where there is none."""
        choices = tuple(map(self._read_choice, reply.choices))
        return reply if choices == reply.choices else replace(reply, choices=choices)

    def _read_choice(self, choice: Choice) -> Choice:
        content = choice.message.get("content")
        if not isinstance(content, str) or has_tool_calls(choice.message):
            return choice
        json_text = unwrapped(content, lambda text: format_problem(text, self._format) is None)
        return choice if json_text is content else replace(choice, message={**choice.message, "content": json_text})

    def passed(self, chunk: Chunk) -> Chunk | None:
        """What of a chunk may be passed on before the answer is whole; None for nothing."""
        choices = tuple(map(self._passed_delta, chunk.choices))
        if choices == chunk.choices:
            return chunk
        nothing = not any(choice.delta or choice.finish_reason or choice.logprobs for choice in choices)
        return None if nothing and chunk.usage is None else replace(chunk, choices=choices, raw=None)

    def _passed_delta(self, choice: ChoiceDelta) -> ChoiceDelta:
        content = choice.delta.get("content")
        if not content:
            return choice
        stream = self._streams.setdefault(choice.index, JsonStream(self._starts))
        passed = stream.feed(content)
        if passed == content:
            return choice
        others = {key: value for key, value in choice.delta.items() if key != "content"}
        return replace(choice, delta={**others, "content": passed} if passed else others)

    def rest(self, reply: Reply) -> Chunk | None:
        """What was kept back of the answer in chunks, as the whole reply has it; None for nothing."""
        contents = {choice.index: choice.message.get("content") or "" for choice in reply.choices}
        rests = ((index, stream.rest(contents.get(index, ""))) for index, stream in self._streams.items())
        choices = tuple(ChoiceDelta(index, {"content": rest}) for index, rest in rests if rest)
        return Chunk(choices) if choices else None
