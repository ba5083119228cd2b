"""Instructor: the options are arguments of `create`. Needs `instructor` (without its extra `litellm`) and OPENAI_API_KEY."""

from __future__ import annotations

import instructor
import litellm
from pydantic import BaseModel

import composite_llm


class City(BaseModel):
    """What to find out."""

    name: str
    population: int


composite_llm.register()
client = instructor.from_litellm(litellm.completion)

if __name__ == "__main__":
    city = client.create(
        model="composite/moa/openai/gpt-4.1",
        proposers=["openai/gpt-4.1-mini", "openai/gpt-4o-mini"],
        messages=[{"role": "user", "content": "How many people live in Oslo?"}],
        response_model=City,
    )
    print(f"{city.name}: {city.population}")
