"""Tools that the composite runs itself, behind a guard: one runs at once, the other only when the person at the terminal says yes.

Needs OPENAI_API_KEY and ANTHROPIC_API_KEY. The audit is appended to `audit.jsonl`.
"""

from __future__ import annotations

from typing import Any

import litellm

import composite_llm

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {"type": "object", "properties": {key: {"type": "string"}}, "required": [key]},
        },
    }
    for name, description, key in (
        ("weather", "The weather in a city.", "city"),
        ("book_table", "Books a table in a restaurant.", "restaurant"),
    )
]


def weather(city: str) -> dict[str, str]:
    """A tool that only looks."""
    return {"city": city, "weather": "4 degrees, clear"}


def book_table(restaurant: str) -> str:
    """A tool that acts."""
    return f"booked at {restaurant}"


def ask_at_the_terminal(name: str, arguments: dict[str, Any]) -> bool:
    """Whether the person agrees."""
    return input(f"Run {name} with {arguments}? [y/N] ").strip().lower() == "y"


def main() -> None:
    """Ask something that needs a tool."""
    composite_llm.register()
    guard = composite_llm.ToolGuard(
        {"weather": weather, "book_table": book_table},
        mode="manual",
        allow=["weather"],
        approve=ask_at_the_terminal,
        timeout_s=20,
        max_output_bytes=20_000,
        audit="audit.jsonl",
    )
    response = litellm.completion(
        model="composite/moa/openai/gpt-4.1",
        messages=[{"role": "user", "content": "What is the weather in Oslo?"}],
        proposers=["openai/gpt-4.1-mini", "anthropic/claude-haiku-4-5"],
        tools=TOOLS,
        tool_executor=guard,
    )
    print(response.choices[0].message.content)


if __name__ == "__main__":
    main()
