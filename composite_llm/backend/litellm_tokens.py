"""LiteLLM's token counter, which counts each message once.

All members of a stage are sent the same conversation, and each turn of it sends the turns before: counted whole each
time, a long conversation takes a tenth of a second of the event loop for every attempt.
"""

from __future__ import annotations

from collections.abc import Sequence

import litellm

from composite_llm.backend.interface import Message

MAX_ENTRIES = 20_000
_SAMPLE: Message = {"role": "user", "content": "a"}


class TokenCounts:
    """Tokens of messages, remembered by the model and a digest of the message; no text is kept."""

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
        if known is None:
            if len(self._counts) >= MAX_ENTRIES:
                self._counts.clear()
            known = self._counts[key] = int(litellm.token_counter(model=model, messages=[message])) - primer
        return known

    def _primer(self, model: str) -> int:
        known = self._primers.get(model)
        if known is None:
            if len(self._primers) >= MAX_ENTRIES:
                self._primers.clear()
            once, twice = (litellm.token_counter(model=model, messages=[_SAMPLE] * times) for times in (1, 2))
            known = self._primers[model] = int(2 * once - twice)
        return known


def _digest(message: Message) -> int:
    # Python remembers the hash of a text, and salts it, so that nobody can make two texts meet.
    return hash(tuple((key, value if isinstance(value, str) else repr(value)) for key, value in message.items()))
