"""A tool that the composite runs itself: the answer comes back finished, without a tool loop of one's own.

Needs OPENAI_API_KEY and ANTHROPIC_API_KEY.
"""

from __future__ import annotations

import litellm

import composite_llm


def weather(city: str) -> dict[str, str]:
    """The tool: its arguments come as keywords; what it returns or raises is told to the model."""
    return {"city": city, "weather": "4 degrees, clear"}


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


def main() -> None:
    """Ask something that needs the tool."""
    composite_llm.register()
    response = litellm.completion(
        model="composite/moa/openai/gpt-4.1",
        messages=[{"role": "user", "content": "What is the weather in Oslo?"}],
        proposers=["anthropic/claude-haiku-4-5"],
        tools=TOOLS,
        tool_executor={"weather": weather},
    )
    print(response.choices[0].message.content)
    for call in composite_llm.get_trace(response).tool_calls:
        print(f"{call.name}({call.arguments}) -> {call.error or call.result}")


if __name__ == "__main__":
    main()
