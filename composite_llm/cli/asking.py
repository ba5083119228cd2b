"""One question, shown while it is answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from composite_llm.cli.progress import Progress
from composite_llm.cli.target import Target
from composite_llm.cli.views import View


@dataclass(frozen=True, slots=True)
class Answered:
    """What a run brought.

    Attributes:
        text: The answer.
        finish_reason: The final model's.
        reasoning: What came as `reasoning_content`.
    """

    text: str
    finish_reason: str | None
    reasoning: str


def expect(progress: Progress, target: Target) -> None:
    """Let the progress know who will be asked.

    Raises:
        CompositeError: The target cannot be used.
    """
    import composite_llm

    progress.expect(composite_llm.explain(target.model, **target.options))


async def answered(target: Target, messages: Sequence[Mapping[str, Any]], view: View) -> Answered:
    """Ask, and show it; cancelling it cancels the run.

    Raises:
        CompositeError: The run gave no answer.
    """
    from composite_llm.provider.streamed_answer import Answer

    answer = Answer(target.model, messages, target.options)
    text = ""
    watching = asyncio.create_task(view.watch())
    try:
        async with contextlib.aclosing(answer.text()) as pieces:
            async for piece in pieces:
                text += piece
                view.add(piece)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        view.end()
    return Answered(text, answer.finish_reason, answer.reasoning)
