"""A council as a page to look at: who was asked, how long each took, what it cost, and how they voted.

Without a key the models are played by the fake server: `python -m examples.picture [FILE]`. With a model, and its key
in the environment, real ones answer: `MODEL=openai/gpt-4o-mini python -m examples.picture`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import litellm

import composite_llm
import fake_server

QUESTION = "Our nightly backup takes nine hours. What would you look at first?"
MEMBERS: list[dict[str, Any]] = [
    {"model": "openai/gpt-4o-mini"},
    {"model": "openai/gpt-4.1-mini", "hedge_after_s": 0.3},
    {"model": "openai/gpt-5-nano", "num_retries": 0, "fallbacks": ["openai/gpt-4.1"]},
    {"model": "openai/gpt-5-mini", "num_retries": 0},
]
ANSWERS: dict[str, Any] = {
    "gpt-4o-mini": {
        "text": "Whether it copies everything every night: incremental backups move only what has changed.",
        "latency_s": 0.3,
    },
    "gpt-4.1-mini": {
        "text": "Where the time goes. Measure disk, network and compression apart before you change anything.",
        "latency_s": 0.7,
    },
    "gpt-5-nano": {"error": {"status": 503}, "latency_s": 0.1},
    "gpt-4.1": {"text": "The network: nine hours look like a full copy over a slow line.", "latency_s": 0.4},
    "gpt-5-mini": {"error": {"status": 401}},
    "gpt-4o": {
        "text": "Measure first: read, compress and send a sample apart. Then stop copying what has not changed.",
        "latency_s": 0.4,
    },
}


@contextlib.contextmanager
def models() -> Iterator[tuple[str, dict[str, Any]]]:
    """The chairman's model and the other options: a real model, or played ones, two of which fail."""
    model = os.environ.get("MODEL")
    if model:
        yield model, {}
        return
    # Without an answer of its own, a played model that is asked to rank does so.
    ranks = {"by_content": [{"contains": "You are reviewing", "then": {"latency_s": 0.2}}]}
    scenarios = {name: {**played, **ranks} for name, played in ANSWERS.items() if "text" in played}
    with fake_server.running_in_thread(scenarios={**ANSWERS, **scenarios}) as server:
        yield "openai/gpt-4o", {"members": MEMBERS, "seed": 2, "api_base": server.base_url, "api_key": "not-needed"}


def main() -> None:
    """Ask, and write the page."""
    composite_llm.register()
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "run.html")
    with models() as (model, options):
        response: Any = litellm.completion(
            model=f"composite/council/{model}", messages=[{"role": "user", "content": QUESTION}], **options
        )
    composite_llm.get_trace(response).to_html(path)
    print(response.choices[0].message.content)
    print(f"Open {path.resolve().as_uri()} in a browser to see how it came about.")


if __name__ == "__main__":
    try:
        main()
    except composite_llm.CompositeError as error:
        sys.exit(f"{type(error).__name__}: {error}")
