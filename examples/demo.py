"""One question to a Mixture-of-Agents and to a council, and what happened behind the answers.

`make demo` plays the models with the fake server, without a key. `make demo MODEL=openai/gpt-4o-mini` asks that model.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import litellm

import composite_llm
import fake_server

QUESTION = "We are four developers starting a web shop. Monolith or microservices?"

PROPOSERS = ["openai/gpt-4o-mini", "openai/gpt-4.1-mini", "openai/gpt-5-nano"]
FINAL = "openai/gpt-4o"

_ANSWERS = {
    "gpt-4o-mini": (
        "Start with a monolith. One deployment, one database and one log file let four people ship every day; "
        "microservices buy independence between teams that you do not have yet."
    ),
    "gpt-4.1-mini": (
        "A monolith, but a modular one: give catalogue, basket, payment and shipping their own packages with narrow "
        "interfaces. Then the part that really has to scale can be cut out later without a rewrite."
    ),
    "gpt-5-nano": (
        "Microservices: start the way you want to end. Each of the four owns one service, and the shop can scale its "
        "parts on the first day that a campaign goes well."
    ),
    "gpt-4o": (
        "Microservices only pay when teams step on each other's toes. Measure first: with four developers the cost of "
        "networks, versions and tracing is larger than anything they would save."
    ),
}
_FINAL_ANSWER = (
    "Start with a modular monolith: one deployment and one database, but catalogue, basket, payment and shipping as "
    "packages with narrow interfaces. Four people ship faster without networks between their modules, and the seams "
    "let you cut out a service on the day a measurement, not a feeling, says that a part must scale or be deployed "
    "alone."
)


def _scenarios() -> dict[str, Any]:
    """What each played model answers: a ballot when asked to review (the server's own), else its text."""
    final = [
        {"contains": note, "then": {"text": _FINAL_ANSWER}} for note in ("You chair a council", "Write one answer")
    ]
    review = {"contains": "You are reviewing", "then": {}}
    return {
        model: {"text": text, "latency_s": 0.2 + 0.15 * place, "by_content": [review, *final]}
        for place, (model, text) in enumerate(_ANSWERS.items())
    }


@contextlib.contextmanager
def _models() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """The final model, and the options that name the others."""
    asked = os.environ.get("MODEL")
    if asked:
        print(f"Asking {asked}; the key comes from the environment.")
        yield asked, {}, {}
        return
    with fake_server.running_in_thread(scenarios=_scenarios()) as server:
        print(f"The models are played by the fake server on {server.url}; no key is needed and nothing is spent.")
        connection = {"api_base": server.base_url, "api_key": "not-needed"}
        # The seed decides how the reviewers see the answers shuffled, and so how the played ballots fall.
        yield FINAL, {"proposers": PROPOSERS, **connection}, {"members": [*PROPOSERS, FINAL], "seed": 2, **connection}


def _show(title: str, response: Any) -> None:
    width = min(shutil.get_terminal_size().columns, 110)
    bold, dim, off = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")
    message = response.choices[0].message
    print(f"\n{bold}{title}{off}\n{'─' * width}")
    print(textwrap.fill(message.content, width))
    print(f"\n{bold}How it came about{off} (message.reasoning_content)")
    print(dim + textwrap.indent(message.reasoning_content or "", "  ") + off)
    usage = response.usage
    cost = composite_llm.get_trace(response).cost_usd
    price = "price unknown" if cost is None else f"${cost:.6f}"
    print(f"\nresponse.usage: {usage.prompt_tokens} + {usage.completion_tokens} tokens; cost: {price}")


def main() -> None:
    """Ask both."""
    composite_llm.register()
    messages = [{"role": "user", "content": QUESTION}]
    with _models() as (model, moa, council):
        print(f"Question: {QUESTION}")
        response = litellm.completion(model=f"composite/moa/{model}", messages=messages, **moa)
        _show(f"Mixture-of-Agents: composite/moa/{model}", response)
        response = litellm.completion(model=f"composite/council/{model}", messages=messages, **council)
        _show(f"Council: composite/council/{model}", response)


if __name__ == "__main__":
    try:
        main()
    except composite_llm.CompositeError as error:
        sys.exit(f"{type(error).__name__}: {error}")
