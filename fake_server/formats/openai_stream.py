"""An answer as the chunks of OpenAI's stream."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, TypeVar

from fake_server.completion import Choice, Completion
from fake_server.formats.format import Chunk
from fake_server.pieces import pieces
from fake_server.scenario import Scenario
from fake_server.tokens import token_ceiling

_T = TypeVar("_T")


def make_chunks(completion: Completion, scenario: Scenario, *, include_usage: bool) -> list[Chunk]:
    """Return all chunks of an answer in the order they are sent."""
    chunks = list(_in_turn([_choice_chunks(completion, choice, scenario) for choice in completion.choices]))
    if scenario.usage_on_last_content_chunk:
        _put_usage_on_last_content(chunks, completion)
    elif include_usage and not scenario.no_usage:
        usage = None if scenario.null_usage else completion.usage
        for chunk in chunks:
            chunk.payload["usage"] = None
        chunks.append(Chunk({**completion.envelope("chat.completion.chunk", []), "usage": usage}))
    if scenario.empty_first_chunk:
        chunks.insert(0, Chunk(completion.envelope("chat.completion.chunk", [])))
    return chunks


def _choice_chunks(completion: Completion, choice: Choice, scenario: Scenario) -> Iterator[Chunk]:
    for delta, text in _deltas(choice, scenario):
        logprobs = choice.logprobs(text) if delta.get("content") else None
        yield Chunk(_payload(completion, choice, delta, logprobs, None), token_ceiling(len(text)))
    yield Chunk(_payload(completion, choice, {}, None, choice.finish_reason))


def _payload(
    completion: Completion,
    choice: Choice,
    delta: dict[str, Any],
    logprobs: dict[str, Any] | None,
    finish_reason: str | None,
) -> dict[str, Any]:
    entry = {"index": choice.index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
    return completion.envelope("chat.completion.chunk", [entry])


def _deltas(choice: Choice, scenario: Scenario) -> Iterator[tuple[dict[str, Any], str]]:
    yield {"role": "assistant", "content": None if choice.content is None else ""}, ""
    for piece in pieces(choice.reasoning or "", scenario.chunk_chars):
        yield {scenario.reasoning_field: piece}, piece
    if choice.thinking_blocks:
        yield {"thinking_blocks": choice.thinking_blocks}, ""
    for key, text in (("content", choice.content), ("refusal", choice.refusal)):
        for piece in pieces(text or "", scenario.chunk_chars):
            yield {key: piece}, piece
    calls = [_tool_deltas(at, call, scenario) for at, call in enumerate(choice.tool_calls)]
    for delta, text in _in_turn(calls) if scenario.interleaved_tool_deltas else _one_after_another(calls):
        yield {"tool_calls": [delta]}, text


def _tool_deltas(index: int, call: dict[str, Any], scenario: Scenario) -> Iterator[tuple[dict[str, Any], str]]:
    name = call["function"]["name"]
    yield {"index": index, **call, "function": {"name": name, "arguments": ""}}, name
    for piece in pieces(call["function"]["arguments"], scenario.tool_argument_chars):
        yield {"index": index, "function": {"arguments": piece}}, piece


def _put_usage_on_last_content(chunks: list[Chunk], completion: Completion) -> None:
    finish = chunks.pop()
    last = next(chunk for chunk in reversed(chunks) if chunk.choice["index"] == finish.choice["index"])
    last.choice["finish_reason"] = finish.choice["finish_reason"]
    last.payload["usage"] = completion.usage
    # With several choices another one may stand behind it, and the usage is to come last.
    chunks.remove(last)
    chunks.append(last)


def _in_turn(streams: list[Iterator[_T]]) -> Iterator[_T]:
    for row in zip_longest(*streams):
        yield from (item for item in row if item is not None)


def _one_after_another(streams: list[Iterator[_T]]) -> Iterator[_T]:
    for stream in streams:
        yield from stream
