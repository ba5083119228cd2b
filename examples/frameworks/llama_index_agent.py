"""LlamaIndex: the options go into `additional_kwargs`. Needs `llama-index-llms-litellm` and OPENAI_API_KEY."""

from __future__ import annotations

import asyncio

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.litellm import LiteLLM

import composite_llm


def population(city: str) -> int:
    """How many people live in a city."""
    return {"Oslo": 709_037, "Bergen": 291_940}[city]


composite_llm.register()
# A retry here would repeat the whole deliberation; the nodes retry by themselves.
proposers = ["openai/gpt-4.1-mini", "openai/gpt-4o-mini"]
llm = LiteLLM("composite/moa/openai/gpt-4.1", additional_kwargs={"proposers": proposers}, max_retries=1)
agent = FunctionAgent(tools=[population], llm=llm)


async def main() -> None:
    """Ask."""
    print(await agent.run("How many more people live in Oslo than in Bergen?"))


if __name__ == "__main__":
    asyncio.run(main())
