"""Prompts that fit: candidates are cut fairly to a model's context window, the caller's own messages never."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from composite_llm.backend.interface import Message, ModelFacts
from composite_llm.config.node import Node
from composite_llm.model.messages import shortened, text_of

Compose = Callable[[Sequence[str]], list[Message]]

_FEWEST_CHARACTERS = 200
_ROUNDS = 6
_MARGIN = 0.97


@dataclass(frozen=True, slots=True)
class FittedPrompt:
    """A prompt that fits.

    Attributes:
        messages: The prompt.
        cut: How many candidates were cut for it.
    """

    messages: list[Message]
    cut: int = 0


def window_of(facts: ModelFacts, node: Node, max_tokens: int | None) -> int | None:
    """Tokens the prompt may have; None when nobody knows.

    A node's own `context_window` is the whole window, so that the answer needs its place in it.
    """
    if node.context_window is not None:
        return max(node.context_window - (max_tokens or 0), 0)
    return facts.context_window(node.model)


def fits(facts: ModelFacts, model: str, messages: Sequence[Message], window: int | None) -> bool:
    """Whether the messages are known to be too long, or not."""
    return _tokens_over(facts, model, messages, window) <= 0


def _tokens_over(facts: ModelFacts, model: str, messages: Sequence[Message], window: int | None) -> int:
    if window is None or at_most_tokens(messages) <= window:
        return 0
    return facts.count_tokens(model, messages) - window


def at_most_tokens(messages: Sequence[Message]) -> int:
    """An upper bound of the tokens that costs nothing to find: no token is shorter than a byte."""
    return sum(sum(_bytes(message.get(name)) for name in _COUNTED) + 16 for message in messages)


_COUNTED = ("content", "tool_calls", "reasoning_content", "thinking_blocks")


def _bytes(content: object) -> int:
    if content is None:
        return 0
    if isinstance(content, str):
        # UTF-8 needs at most four bytes for a character; exact only where it is cheap.
        return len(content) if content.isascii() else 4 * len(content)
    return 4 * len(str(content))


def fitted(
    facts: ModelFacts, model: str, window: int | None, materials: Sequence[str], compose: Compose
) -> FittedPrompt | None:
    """The prompt of these candidates, cut as far as needed: the longest first, head and tail kept.

    Returns:
        None when the prompt is too long even with the candidates cut to almost nothing.
    """
    messages = compose(materials)
    over = _tokens_over(facts, model, messages, window)
    if over <= 0:
        return FittedPrompt(messages)
    limit = max((len(text) for text in materials), default=0)
    for _ in range(_ROUNDS):
        if limit <= _FEWEST_CHARACTERS:
            break
        characters = sum(map(_length, messages))
        kept = sum(min(len(text), limit) for text in materials)
        # What all may have, at this prompt's own characters per token, and a little less, since a cut leaves a mark.
        allowed = int((window or 0) * characters / (over + (window or 0)) * _MARGIN)
        limit = max(min(_water_level(materials, allowed - (characters - kept)), limit - 1), _FEWEST_CHARACTERS)
        messages = compose([shortened(text, limit) for text in materials])
        over = _tokens_over(facts, model, messages, window)
        if over <= 0:
            return FittedPrompt(messages, sum(len(text) > limit for text in materials))
    return None


def _length(message: Message) -> int:
    # What is inline and no text has tokens by its kind, not by its characters.
    content = message.get("content")
    return len(content) if isinstance(content, str) else len(text_of(content))


def _water_level(materials: Sequence[str], total: int) -> int:
    """The length to which the longest are cut so that all together have `total` characters."""
    lengths = sorted(map(len, materials))
    left = total
    for place, length in enumerate(lengths):
        share = left // (len(lengths) - place)
        if length > share:
            return max(share, 0)
        left -= length
    return lengths[-1] if lengths else 0
