"""A backend that answers at once, so that what is left of a run is this library's own work."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

from composite_llm.backend.interface import AttemptRequest, Choice, ChoiceDelta, Chunk, Reply
from composite_llm.config.plan import make_plan
from composite_llm.config.profiles import Profiles
from composite_llm.model.messages import checked_messages
from composite_llm.model.usage import Usage
from composite_llm.run import Caller, Run

_USAGE = Usage(prompt_tokens=10, completion_tokens=5, total_tokens=15)


class InstantBackend:
    """Gives every attempt the same answer.

    Args:
        text: The answer.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self.asked = 0

    async def complete(self, request: AttemptRequest) -> Reply:
        """One plain attempt."""
        self.asked += 1
        message = {"role": "assistant", "content": self._text}
        return Reply((Choice(0, message, "stop"),), _USAGE, 0.001, request.model)

    async def stream(self, request: AttemptRequest) -> AsyncGenerator[Chunk, None]:
        """One streamed attempt."""
        self.asked += 1
        yield Chunk((ChoiceDelta(0, {"role": "assistant", "content": self._text}, "stop"),))
        yield Chunk((), usage=_USAGE, cost_usd=0.001)

    def endpoint(self, request: AttemptRequest) -> str | None:
        """None: nobody is asked."""
        return None

    def routed(self, model: str) -> bool:
        """Never."""
        return False


async def instant_run(model: str, messages: list[dict[str, Any]], text: str, **options: Any) -> int:
    """One plain run whose every attempt is answered with `text`; what it was asked for is returned."""
    from composite_llm.runtime import services

    backend = InstantBackend(text)
    shared = replace(services(), backend=backend)
    plan = make_plan(model, options, Profiles())
    await Run(plan, checked_messages(messages), shared, Caller()).reply()
    return backend.asked
