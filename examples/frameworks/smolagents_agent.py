"""smolagents: the options are arguments of the model. Needs `smolagents` and OPENAI_API_KEY.

Results of tools come back as text of the user, so each step of an agent is a deliberation of its own.
"""

from __future__ import annotations

from smolagents import LiteLLMModel, ToolCallingAgent, tool

import composite_llm


@tool
def population(city: str) -> int:
    """How many people live in a city.

    Args:
        city: Its name.
    """
    return {"Oslo": 709_037, "Bergen": 291_940}[city]


composite_llm.register()
# A retry here would repeat the whole deliberation; the nodes retry by themselves.
proposers = ["openai/gpt-4.1-mini", "openai/gpt-4o-mini"]
model = LiteLLMModel("composite/moa/openai/gpt-4.1", proposers=proposers, retry=False)
agent = ToolCallingAgent(tools=[population], model=model, max_steps=6)

if __name__ == "__main__":
    print(agent.run("How many more people live in Oslo than in Bergen?"))
