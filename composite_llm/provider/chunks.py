"""A run's events and chunks as LiteLLM's stream chunks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import litellm
from litellm.types.utils import Delta, ModelResponseStream, StreamingChoices

from composite_llm.backend.interface import Chunk, Reply
from composite_llm.model.events import Event, StageDone
from composite_llm.model.summary import REASONING_HEADING, event_text, total_line
from composite_llm.model.trace import Trace
from composite_llm.model.usage import Usage
from composite_llm.provider.reply import REASONING_FIELDS, own_fields, reasoning_tokens, response_id, usage_object

PricedUsage = Callable[[Usage, int, float | None], litellm.Usage]

_AS_THEY_ARE = frozenset({"content", "tool_calls", "function_call", "audio", "images", "annotations"})
"""Fields of a delta that the caller gets in the library's own objects."""


class ChunkMaker:
    """Turns what a run yields into the chunks that LiteLLM's stream wrapper passes on.

    Args:
        run_id: For the chunks' id.
        model: The composite model string.
        reasoning: `summary`, `full` or `off`.
        priced_usage: What is to be booked for tokens, those of them that are no answer, and their cost in US dollars.
    """

    def __init__(self, run_id: str, model: str, reasoning: str, priced_usage: PricedUsage = usage_object) -> None:
        self._own: dict[str, Any] = {"id": response_id(run_id), "model": model, "created": int(time.time())}
        self._reasoning = reasoning
        self._priced_usage = priced_usage
        self._role_sent = False
        self._own_reasoning_started = False
        self._line_open = False

    def of_event(self, event: Event) -> Iterator[ModelResponseStream]:
        """The reasoning delta of an event, and the running usage after a stage."""
        if self._reasoning != "off" and (text := event_text(event, full=self._reasoning == "full")):
            yield self._line(text)
        if isinstance(event, StageDone):
            # A stream that breaks off later is charged by the last usage chunk that LiteLLM has seen.
            yield from self._usage_chunk(self._priced_usage(event.usage, event.usage.completion_tokens, event.cost_usd))

    def of_chunk(self, chunk: Chunk) -> tuple[ModelResponseStream, ...]:
        """The final call's own chunk, without its usage and finish reason, behind a heading where it needs one."""
        if self._fits_as_it_is(chunk):
            return (self._copied(chunk.raw),)
        heading: tuple[ModelResponseStream, ...] = ()
        choices = []
        for choice in chunk.choices:
            delta = self._shown(choice.delta)
            if "thinking_blocks" in delta and choice.index == 0 and not self._own_reasoning_started:
                # Anthropic's endpoint of a proxy joins what it streams of both fields to one signed block: the heading
                # tells where the part begins that the signature is for.
                self._own_reasoning_started = True
                heading = (self._line(f"\n{REASONING_HEADING}\n"),)
            if "reasoning_content" in delta:
                delta = self._with_own_reasoning(delta, choice.index)
            if not self._role_sent:
                delta = {"role": "assistant", **delta}
            elif "role" in delta:
                delta = {key: value for key, value in delta.items() if key != "role"}
            if delta or choice.logprobs is not None:
                choices.append(self._choice(delta, choice.index, logprobs=choice.logprobs))
        if not choices:
            return heading
        self._role_sent = True
        return (*heading, self._response(choices))

    def _shown(self, delta: dict[str, Any]) -> dict[str, Any]:
        if self._reasoning != "off" or REASONING_FIELDS.isdisjoint(delta):
            return delta
        return {key: value for key, value in delta.items() if key not in REASONING_FIELDS}

    def of_failure(self, trace: Trace) -> Iterator[ModelResponseStream]:
        """The bill of a run that fails now, for the same reason."""
        return self._usage_chunk(self._bill(trace))

    def of_end(self, reply: Reply, trace: Trace) -> Iterator[ModelResponseStream]:
        """The bill, the whole run's usage, and the finish chunk, in the order that LiteLLM needs."""
        if self._reasoning != "off":
            yield self._line(f"\n{total_line(trace)}\n")
        last: dict[str, Any] = {"content": ""}
        if not self._role_sent:
            last["role"] = "assistant"
        if fields := own_fields(reply.choices[0], trace):
            last["provider_specific_fields"] = fields
        # LiteLLM swallows a finish chunk and makes one of its own, for the first choice only; the others' reasons
        # travel beside an empty delta. Usage on or after the finish chunk would be lost.
        further = [
            StreamingChoices(finish_reason=choice.finish_reason or "stop", index=choice.index, delta=Delta())
            for choice in reply.choices[1:]
        ]
        chunk = self._response([self._choice(last, 0), *further])
        chunk.usage = self._bill(trace)
        yield chunk
        yield self._response([StreamingChoices(finish_reason=reply.finish_reason or "stop", index=0, delta=Delta())])

    def _bill(self, trace: Trace) -> litellm.Usage:
        return self._priced_usage(trace.usage, reasoning_tokens(trace), trace.cost_usd)

    def _fits_as_it_is(self, chunk: Chunk) -> bool:
        """Whether the library's own chunk can go on: most do, and making one anew is what a token costs most."""
        if not self._role_sent or chunk.usage is not None or not isinstance(chunk.raw, ModelResponseStream):
            return False
        for choice in chunk.choices:
            delta = choice.delta
            if choice.finish_reason is not None or not delta or not _AS_THEY_ARE.issuperset(delta):
                return False
        return bool(chunk.choices)

    def _copied(self, raw: ModelResponseStream) -> ModelResponseStream:
        # LiteLLM keeps the original for the subcall's own bill, which goes by its model.
        chunk = raw.model_copy(update=self._own)
        chunk._hidden_params = {}  # the subcall's endpoint and deployment are in the original's
        return chunk

    def _with_own_reasoning(self, delta: dict[str, Any], index: int) -> dict[str, Any]:
        if index != 0:
            return delta
        text = delta["reasoning_content"]
        if not self._own_reasoning_started:
            self._own_reasoning_started = True
            text = f"\n{REASONING_HEADING}\n{text}"
        self._line_open = not text.endswith("\n")
        return {**delta, "reasoning_content": text}

    def _line(self, text: str) -> ModelResponseStream:
        if self._line_open:
            self._line_open = False
            text = f"\n{text}"
        delta = {"reasoning_content": text}
        if not self._role_sent:
            delta["role"] = "assistant"
            self._role_sent = True
        return self._response([self._choice(delta, 0)])

    def _usage_chunk(self, usage: Any) -> Iterator[ModelResponseStream]:
        # Without choices, since LiteLLM takes any choice for the start of the answer, after which no Router falls back;
        # and not first, since LiteLLM 1.94 cannot add up chunks of which none has a choice.
        if self._role_sent:
            chunk = self._response([])
            chunk.usage = usage
            yield chunk

    def _choice(self, delta: dict[str, Any], index: int, logprobs: Any = None) -> StreamingChoices:
        return StreamingChoices(finish_reason=None, index=index, delta=Delta(**delta), logprobs=logprobs)

    def _response(self, choices: list[StreamingChoices]) -> ModelResponseStream:
        return ModelResponseStream(choices=choices, **self._own)
