"""A council's deliberation as it happens, then its answer as it is written.

Without a key the models are played by the fake server: `python -m examples.stream`. With a model, and its key in the
environment, real ones answer: `MODEL=openai/gpt-4o-mini python -m examples.stream`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import litellm

import composite_llm
import fake_server

QUESTION = "Our nightly backup takes nine hours. What would you look at first?"
MEMBERS = ["openai/gpt-4o-mini", "openai/gpt-4.1-mini", "openai/gpt-5-nano"]
ANSWERS = {
    "gpt-4o-mini": "Whether it copies everything every night: incremental backups move only what has changed.",
    "gpt-4.1-mini": "Where the time goes. Measure disk, network and compression apart before you change anything.",
    "gpt-5-nano": "The network. Nine hours look like a full copy over a slow line.",
}
FINAL = (
    "Measure first: read, compress and send a sample apart, and see which of the three takes the time. Then stop copying "
    "what has not changed: an incremental backup is what usually turns nine hours into one."
)


@contextlib.contextmanager
def models() -> Iterator[tuple[str, dict[str, Any]]]:
    """The chairman's model and the other options: a real model, or played ones with latencies like real ones."""
    model = os.environ.get("MODEL")
    if model:
        yield model, {}
        return
    scenarios: dict[str, Any] = {
        name: {
            "text": text,
            "latency_s": 0.2 + 0.3 * place,
            "by_content": [{"contains": "You are reviewing", "then": {"latency_s": 0.2 + 0.2 * place}}],
        }
        for place, (name, text) in enumerate(ANSWERS.items())
    }
    scenarios["gpt-4o"] = {"text": FINAL, "first_token_s": 0.3, "time_per_token_s": 0.02}
    with fake_server.running_in_thread(scenarios=scenarios) as server:
        yield "openai/gpt-4o", {"members": MEMBERS, "seed": 2, "api_base": server.base_url, "api_key": "not-needed"}


async def main() -> None:
    """Print each delta the moment it comes."""
    composite_llm.register()
    dim, off = ("\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "")
    with models() as (model, options):
        stream: Any = await litellm.acompletion(
            model=f"composite/council/{model}",
            messages=[{"role": "user", "content": QUESTION}],
            stream=True,
            **options,
        )
        print(QUESTION, end="\n\n")
        answering = False
        async for chunk in stream:
            delta = chunk.choices[0].delta
            if thought := getattr(delta, "reasoning_content", None):
                print(dim + ("\n\n" if answering else "") + thought + off, end="", flush=True)
                answering = False
            if delta.content:
                print(("" if answering else "\n") + delta.content, end="", flush=True)
                answering = True
        trace = composite_llm.get_trace(stream)
    best = trace.ranking.order[0] if trace.ranking is not None else "nobody"
    print(f"\n{len(trace.calls)} calls, {trace.usage.total_tokens} tokens; the members liked {best} best.")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except composite_llm.CompositeError as error:
        sys.exit(f"{type(error).__name__}: {error}")
