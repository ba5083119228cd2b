"""A run's events and chunks as LiteLLM's stream chunks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from litellm.types.utils import Delta, ModelResponseStream, StreamingChoices

from composite_llm.backend.interface import Chunk, Reply
from composite_llm.events import Event, StageDone
from composite_llm.provider.reply import litellm_usage, usage_object, with_degraded
from composite_llm.summary import REASONING_HEADING, event_text, total_line
from composite_llm.trace import Trace


class ChunkMaker:
    """Turns what a run yields into the chunks that LiteLLM's stream wrapper passes on.

    Args:
        run_id: For the chunks' id.
        model: The composite model string.
        reasoning: `summary`, `full` or `off`.
    """

    def __init__(self, run_id: str, model: str, reasoning: str) -> None:
        self._id = f"chatcmpl-{run_id}"
        self._model = model
        self._reasoning = reasoning
        self._role_sent = False
        self._own_reasoning_started = False

    def of_event(self, event: Event) -> Iterator[ModelResponseStream]:
        """The reasoning delta of an event, and the running usage after a stage."""
        if self._reasoning != "off" and (text := event_text(event, full=self._reasoning == "full")):
            yield self._chunk({"reasoning_content": text})
        if isinstance(event, StageDone):
            # A stream that breaks off later is charged by the last usage chunk that LiteLLM has seen.
            yield self._usage_chunk(usage_object(event.usage, event.usage.completion_tokens, event.cost_usd))

    def of_chunk(self, chunk: Chunk) -> ModelResponseStream | None:
        """The final call's own chunk, without its usage and finish reason; None if nothing is left."""
        choices = []
        for choice in chunk.choices:
            delta = choice.delta
            if "reasoning_content" in delta:
                delta = self._with_own_reasoning(delta)
            if not self._role_sent:
                delta = {"role": "assistant", **delta}
            elif "role" in delta:
                delta = {key: value for key, value in delta.items() if key != "role"}
            if delta or choice.logprobs is not None:
                choices.append(self._choice(delta, choice.index, logprobs=choice.logprobs))
        if not choices:
            return None
        self._role_sent = True
        return self._response(choices)

    def of_end(self, reply: Reply, trace: Trace) -> Iterator[ModelResponseStream]:
        """The bill, the whole run's usage, and the finish chunk, in the order that LiteLLM needs."""
        if self._reasoning != "off":
            bill = total_line(trace.usage, trace.cost_usd, len(trace.calls), trace.duration_s)
            yield self._chunk({"reasoning_content": f"\n{bill}\n"})
        last: dict[str, Any] = {"content": ""}
        if trace.degraded:
            last["provider_specific_fields"] = with_degraded(None, trace)
        # LiteLLM swallows a finish chunk and makes one of its own, for the first choice only; the others' reasons
        # travel beside an empty delta. Usage on or after the finish chunk would be lost.
        further = [
            StreamingChoices(finish_reason=choice.finish_reason or "stop", index=choice.index, delta=Delta())
            for choice in reply.choices[1:]
        ]
        chunk = self._response([self._choice(last, 0), *further])
        chunk.usage = litellm_usage(trace, with_cost=True)
        yield chunk
        yield self._response([StreamingChoices(finish_reason=reply.finish_reason or "stop", index=0, delta=Delta())])

    def _with_own_reasoning(self, delta: dict[str, Any]) -> dict[str, Any]:
        if self._reasoning == "off":
            return {key: value for key, value in delta.items() if key not in ("reasoning_content", "thinking_blocks")}
        if self._own_reasoning_started:
            return delta
        self._own_reasoning_started = True
        return {**delta, "reasoning_content": f"\n{REASONING_HEADING}\n{delta['reasoning_content']}"}

    def _chunk(self, delta: dict[str, Any]) -> ModelResponseStream:
        if not self._role_sent:
            delta = {"role": "assistant", **delta}
            self._role_sent = True
        return self._response([self._choice(delta, 0)])

    def _usage_chunk(self, usage: Any) -> ModelResponseStream:
        chunk = self._chunk({"content": ""})
        chunk.usage = usage
        return chunk

    def _choice(self, delta: dict[str, Any], index: int, logprobs: Any = None) -> StreamingChoices:
        return StreamingChoices(finish_reason=None, index=index, delta=Delta(**delta), logprobs=logprobs)

    def _response(self, choices: list[StreamingChoices]) -> ModelResponseStream:
        return ModelResponseStream(id=self._id, model=self._model, choices=choices)
