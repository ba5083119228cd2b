"""An answer as the chunks of a stream."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle, zip_longest
from typing import Any, TypeVar

from fake_server.completion import Choice, Completion
from fake_server.scenario import Scenario
from fake_server.tokens import token_ceiling
from fake_server.wire_json import json_bytes, raw_bytes

DONE = b"data: [DONE]\n\n"
COMMENT = b": keep-alive\n\n"
_MALFORMED_CHUNK = 1

_T = TypeVar("_T")


@dataclass(slots=True)
class Chunk:
    """One chunk and the tokens of text it carries."""

    payload: dict[str, Any]
    tokens: int = 0

    @property
    def choice(self) -> dict[str, Any]:
        """The one choice of a chunk that has choices."""
        found: dict[str, Any] = self.payload["choices"][0]
        return found


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


def encode_chunks(chunks: Iterable[Chunk], scenario: Scenario) -> Iterator[tuple[Chunk, bytes]]:
    """Yield every chunk with its bytes, comments and damage included."""
    for number, chunk in enumerate(chunks):
        data = json_bytes(chunk.payload)
        if scenario.malformed_json and number == _MALFORMED_CHUNK:
            data = data[: len(data) * 2 // 3]
        event = b"data: " + data + b"\n\n"
        yield chunk, COMMENT + event if scenario.comment_keepalive else event


def raw_chunks(events: Iterable[str]) -> Iterator[tuple[Chunk, bytes]]:
    """Yield events whose data is sent as it stands."""
    for event in events:
        yield Chunk({}), b"data: " + raw_bytes(event) + b"\n\n"


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


def pieces(text: str, sizes: int | list[int]) -> Iterator[str]:
    """Cut a text into pieces of these sizes in turn."""
    at = 0
    for size in cycle([sizes] if isinstance(sizes, int) else sizes):
        if at >= len(text):
            return
        yield text[at : at + size]
        at += size


def _in_turn(streams: list[Iterator[_T]]) -> Iterator[_T]:
    for row in zip_longest(*streams):
        yield from (item for item in row if item is not None)


def _one_after_another(streams: list[Iterator[_T]]) -> Iterator[_T]:
    for stream in streams:
        yield from stream
