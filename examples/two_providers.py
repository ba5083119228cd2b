"""One question to a mixture and to a council of two providers. Needs OPENAI_API_KEY and ANTHROPIC_API_KEY."""

from __future__ import annotations

import litellm

import composite_llm

MEMBERS = ["openai/gpt-4.1-mini", "anthropic/claude-sonnet-4-6", "anthropic/claude-haiku-4-5"]
MESSAGES = [{"role": "user", "content": "Postgres or SQLite for a shop with one server?"}]


def main() -> None:
    """Ask both."""
    composite_llm.register()
    response = litellm.completion(model="composite/moa/openai/gpt-4.1", messages=MESSAGES, proposers=MEMBERS)
    print(response.choices[0].message.content)
    response = litellm.completion(
        model="composite/council/anthropic/claude-sonnet-4-6", messages=MESSAGES, members=MEMBERS
    )
    print(response.choices[0].message.content)
    print(response.choices[0].message.reasoning_content)


if __name__ == "__main__":
    main()
