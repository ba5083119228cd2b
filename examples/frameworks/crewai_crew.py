"""CrewAI: the options are arguments of `LLM`. Needs `crewai` and OPENAI_API_KEY."""

from __future__ import annotations

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool

import composite_llm


@tool
def population(city: str) -> int:
    """How many people live in a city."""
    return {"Oslo": 709_037, "Bergen": 291_940}[city]


composite_llm.register()
# CrewAI pins an `mcp` that LiteLLM's calls with tools cannot import; this keeps LiteLLM from trying.
llm = LLM(
    model="composite/moa/openai/gpt-4.1",
    proposers=["openai/gpt-4.1-mini", "openai/gpt-4o-mini"],
    _skip_mcp_handler=True,
)
llm.context_window_size = 128_000  # CrewAI takes a name that it does not know for a model of 8,192 tokens.
geographer = Agent(role="Geographer", goal="Answer with numbers.", backstory="Precise.", tools=[population], llm=llm)
question = "How many more people live in Oslo than in Bergen?"
task = Task(description=question, expected_output="A number.", agent=geographer)

if __name__ == "__main__":
    print(Crew(agents=[geographer], tasks=[task]).kickoff())
