"""OpenAI Agents: the composite's options go into `extra_args` (not `extra_body`). Needs `openai-agents` and OPENAI_API_KEY."""

from __future__ import annotations

from agents import Agent, ModelSettings, Runner, function_tool, set_tracing_disabled
from agents.extensions.models.litellm_model import LitellmModel

import composite_llm


@function_tool
def population(city: str) -> int:
    """How many people live in a city."""
    return {"Oslo": 709_037, "Bergen": 291_940}[city]


composite_llm.register()
set_tracing_disabled(True)  # Traces go to OpenAI otherwise.
agent = Agent(
    name="Geographer",
    model=LitellmModel("composite/moa/openai/gpt-4.1"),
    model_settings=ModelSettings(extra_args={"proposers": ["openai/gpt-4.1-mini", "openai/gpt-4o-mini"]}),
    tools=[population],
)

if __name__ == "__main__":
    print(Runner.run_sync(agent, "How many more people live in Oslo than in Bergen?").final_output)
