"""A composite as one deployment of a LiteLLM Router, its nodes the Router's other names. Needs the keys of both providers."""

from __future__ import annotations

import asyncio
from typing import Any

import litellm

import composite_llm

MODELS: list[dict[str, Any]] = [
    {"model_name": "fast", "litellm_params": {"model": "openai/gpt-4.1-mini"}},
    {"model_name": "careful", "litellm_params": {"model": "anthropic/claude-sonnet-4-6"}},
    {
        "model_name": "wise",
        "litellm_params": {"model": "composite/moa/careful", "proposers": ["fast", "careful"]},
    },
]


async def main() -> None:
    """Stream an answer."""
    # A Router refuses providers that it does not know, so the first call comes before it.
    composite_llm.register()
    # A retry here would repeat the whole deliberation; the nodes retry by themselves.
    router = litellm.Router(model_list=MODELS, num_retries=0)
    composite_llm.register(router=router)
    messages = [{"role": "user", "content": "Postgres or SQLite for a shop with one server?"}]
    stream: Any = await router.acompletion(model="wise", messages=messages, stream=True)
    async for chunk in stream:
        delta = chunk.choices[0].delta
        print(getattr(delta, "reasoning_content", None) or delta.content or "", end="", flush=True)
    print()


if __name__ == "__main__":
    asyncio.run(main())
