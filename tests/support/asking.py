"""Asking a composite through LiteLLM, in the ways users do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import litellm
from anyio.from_thread import BlockingPortal

from fake_server import ThreadedServer

QUESTION = "Which bridge is the oldest?"
MESSAGES = [{"role": "user", "content": QUESTION}]
FINAL = "openai/gpt-4o"
FIRST = "openai/gpt-4o-mini"
SECOND = "openai/gpt-4.1-mini"
THIRD = "openai/gpt-4.1-nano"
MOA = f"composite/moa/{FINAL}"
COUNCIL = f"composite/council/{FINAL}"
KEY = "sk-test"

Ask = Callable[..., Any]
"""Returns a `ModelResponse`; its fields are looked at freely."""


def at(server: ThreadedServer, model: str, **settings: Any) -> dict[str, Any]:
    """A node that names its own endpoint."""
    return {"model": model, "api_base": server.base_url, "api_key": KEY, **settings}


def asking(server: ThreadedServer, completion: Ask | None = None) -> Ask:
    """`ask(model, **options)`: one question, with the fake server as the endpoint of every OpenAI model."""
    send = completion or litellm.completion

    def ask(model: str = MOA, **options: Any) -> Any:
        return send(
            **{
                "model": model,
                "messages": MESSAGES,
                "api_base": server.base_url,
                "api_key": KEY,
                **options,
            }
        )

    return ask


def through(portal: BlockingPortal) -> Ask:
    """`litellm.acompletion`, on another thread's loop."""
    return lambda **kwargs: portal.call(partial(litellm.acompletion, **kwargs))
