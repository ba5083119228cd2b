"""What each profile of `composite.yaml` would cost at most, and the answer of one. Needs the keys of both providers."""

from __future__ import annotations

from pathlib import Path

import litellm

import composite_llm

CONFIG = Path(__file__).with_name("composite.yaml")
MESSAGES = [{"role": "user", "content": "Postgres or SQLite for a shop with one server?"}]


def main() -> None:
    """Explain all, ask one."""
    composite_llm.register(config=CONFIG)
    for name in ("quick", "careful", "samples"):
        plan = composite_llm.explain(f"composite/profile/{name}", messages=MESSAGES)
        cost = "unknown" if plan.worst_cost_usd is None else f"${plan.worst_cost_usd:.2f}"
        print(f"{name}: {plan.calls} calls in {plan.rounds} rounds, at most {cost}")
    response = litellm.completion(model="composite/profile/careful", messages=MESSAGES)
    print(response.choices[0].message.content)
    for reason in composite_llm.get_trace(response).degraded:
        print("degraded:", reason)


if __name__ == "__main__":
    main()
