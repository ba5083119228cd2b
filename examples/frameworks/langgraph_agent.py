"""LangChain and LangGraph: the options go into `model_kwargs`. Needs `langchain`, `langchain-litellm` and OPENAI_API_KEY."""

from __future__ import annotations

from langchain.agents import create_agent
from langchain_litellm import ChatLiteLLM

import composite_llm


def population(city: str) -> int:
    """How many people live in a city."""
    return {"Oslo": 709_037, "Bergen": 291_940}[city]


composite_llm.register()
# An unknown argument of the constructor is dropped without a word; `model_kwargs` arrives.
proposers = ["openai/gpt-4.1-mini", "openai/gpt-4o-mini"]
llm = ChatLiteLLM(model="composite/moa/openai/gpt-4.1", model_kwargs={"proposers": proposers})
agent = create_agent(llm, [population])

if __name__ == "__main__":
    question = {"role": "user", "content": "How many more people live in Oslo than in Bergen?"}
    print(agent.invoke({"messages": [question]})["messages"][-1].content)
