"""Google's ADK: the options are arguments of `LiteLlm`. Needs `google-adk` and OPENAI_API_KEY."""

from __future__ import annotations

import asyncio

from google.adk.agents import LlmAgent
from google.adk.models.lite_llm import LiteLlm
from google.adk.runners import InMemoryRunner

import composite_llm


def population(city: str) -> int:
    """How many people live in a city."""
    return {"Oslo": 709_037, "Bergen": 291_940}[city]


composite_llm.register()
model = LiteLlm("composite/moa/openai/gpt-4.1", proposers=["openai/gpt-4.1-mini", "openai/gpt-4o-mini"])
agent = LlmAgent(name="geographer", model=model, tools=[population])


async def main() -> None:
    """Ask; `run_debug` prints the conversation."""
    async with InMemoryRunner(agent=agent) as runner:
        await runner.run_debug("How many more people live in Oslo than in Bergen?")


if __name__ == "__main__":
    asyncio.run(main())
