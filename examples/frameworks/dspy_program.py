"""DSPy: the options are arguments of `dspy.LM`. Needs `dspy` and OPENAI_API_KEY.

Each step of `dspy.ReAct` is a question of its own to the model, so a deliberation of its own.
"""

from __future__ import annotations

import dspy

import composite_llm


def population(city: str) -> int:
    """How many people live in a city."""
    return {"Oslo": 709_037, "Bergen": 291_940}[city]


composite_llm.register()
# A retry here would repeat the whole deliberation; the nodes retry by themselves.
proposers = ["openai/gpt-4.1-mini", "openai/gpt-4o-mini"]
dspy.configure(lm=dspy.LM("composite/moa/openai/gpt-4.1", proposers=proposers, num_retries=0))
program = dspy.ReAct("question -> answer", tools=[population], max_iters=6)

if __name__ == "__main__":
    print(program(question="How many more people live in Oslo than in Bergen?").answer)
