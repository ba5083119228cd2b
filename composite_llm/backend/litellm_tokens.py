"""LiteLLM's token counter, which counts each message once, fetches nothing, and holds up no event loop.

All members of a stage are sent the same conversation, and each turn of it sends the turns before: counted whole each
time, a long conversation takes a tenth of a second of the event loop for every attempt.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import litellm

from composite_llm.backend.interface import Message
from composite_llm.backend.media_tokens import media_tokens, tokens_of_another_part

MAX_ENTRIES = 20_000
_SAMPLE: Message = {"role": "user", "content": "a"}

LONG = 100_000
"""Characters that take a tokenizer some ten milliseconds, the slow ones some hundred."""

_PIECES = 16
_PIECE = 1_500
_MARGIN = 1.1
"""What an estimate is raised by: rather too much than over a window, or over a cap."""

LARGEST_IMAGE = 1_445
"""Tokens of an image of high detail, at OpenAI's prices: eight tiles and a base."""


class TokenCounts:
    """Tokens of messages, remembered by the model and a digest of the message; no text is kept.

    On an event loop a long message that was not counted before is estimated from pieces of it.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, int], int] = {}
        self._primers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def count(self, model: str, messages: Sequence[Message]) -> int:
        """As `litellm.token_counter`, whose count is the sum over the messages and a constant for the reply."""
        primer = self._primer(model)
        return primer + sum(self._counted(model, message, primer) for message in messages)

    def _counted(self, model: str, message: Message, primer: int) -> int:
        key = (model, _digest(message))
        known = self._counts.get(key)
        if known is not None:
            return known
        if _on_a_loop() and (length := _length(message)) > LONG:
            return _estimated(model, message, length)
        counted = _by_litellm(model, message) - primer
        if len(self._counts) >= MAX_ENTRIES:
            self._counts.clear()
        self._counts[key] = counted
        return counted

    def _primer(self, model: str) -> int:
        known = self._primers.get(model)
        if known is None:
            if len(self._primers) >= MAX_ENTRIES:
                self._primers.clear()
            once, twice = (litellm.token_counter(model=model, messages=[_SAMPLE] * times) for times in (1, 2))
            known = self._primers[model] = int(2 * once - twice)
        return known


def _by_litellm(model: str, message: Message) -> int:
    """LiteLLM's count, without what it would fetch: for the size of an image of high detail it asks the image's server.

    Sounds and films, which it refuses, are counted by how long they play.
    """
    parts = _parts(message)
    played = [media_tokens(part) for part in parts]
    if any(tokens is not None for tokens in played):
        parts = [part for part, tokens in zip(parts, played, strict=True) if tokens is None]
        message = {**message, "content": parts}
    fetched = sum(map(_is_fetched, parts))
    counted = _of_known_kinds(model, message, fetched) + fetched * LARGEST_IMAGE
    return counted + sum(tokens for tokens in played if tokens is not None)


def _of_known_kinds(model: str, message: Message, fetched: int) -> int:
    def counted(one: Message) -> int:
        return int(litellm.token_counter(model=model, messages=[one], use_default_image_token_count=fetched > 0))

    try:
        return counted(message)
    except Exception:  # noqa: BLE001  # counting is a courtesy, and base64 must not be taken for text
        texts = [{"type": "text", "text": text} for text in _texts(message)]
        others = [part for part in _parts(message) if not isinstance(part, Mapping) or part.get("type") != "text"]
        return counted({**message, "content": texts}) + sum(map(tokens_of_another_part, others))


def _is_fetched(part: Any) -> bool:
    image = part.get("image_url") if isinstance(part, Mapping) else None
    url, detail = (image.get("url"), image.get("detail")) if isinstance(image, Mapping) else (image, None)
    return isinstance(url, str) and not url.startswith("data:") and detail == "high"


def _estimated(model: str, message: Message, length: int) -> int:
    pieces = list(_pieces(message))
    text = "".join(pieces)
    counted = int(litellm.token_counter(model=model, text=text))
    others = sum(media_tokens(part) or LARGEST_IMAGE for part in _parts(message))
    return int(counted * length / max(len(text), 1) * _MARGIN) + others


def _pieces(message: Message) -> Iterator[str]:
    """One from each sixteenth of its longest text, at a place that its author cannot know."""
    text = max(_texts(message), key=len, default="")
    stretch = len(text) // _PIECES
    for number in range(_PIECES):
        start = number * stretch + secrets.randbelow(max(stretch - _PIECE, 1))
        yield text[start : start + _PIECE]


def _texts(message: Message) -> Iterator[str]:
    content = message.get("content")
    if isinstance(content, str):
        yield content
    for part in _parts(message):
        if isinstance(part, Mapping) and isinstance(part.get("text"), str):
            yield part["text"]
    for call in message.get("tool_calls") or ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            yield str(function.get("arguments") or "")


def _parts(message: Message) -> Sequence[Any]:
    content = message.get("content")
    return content if isinstance(content, list) else ()


def _length(message: Message) -> int:
    return sum(map(len, _texts(message)))


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _digest(message: Message) -> int:
    # Python remembers the hash of a text, and salts it, so that nobody can make two texts meet.
    return hash(tuple((key, value if isinstance(value, str) else repr(value)) for key, value in message.items()))
