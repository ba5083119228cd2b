"""One proxy for all tests of a session: the example's configuration, and the deployments that tests need besides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

import fake_server
from tests.support.proxies import deployment, example_config, started, with_tests_operator

if TYPE_CHECKING:
    from fake_server import ThreadedServer
    from tests.support.proxies import Proxy


SCENARIOS: dict[str, dict[str, Any]] = {
    "always-refused": {"error": {"status": 400, "message": "INTERNAL-DETAIL of http://10.0.0.7"}},
    "calls-tools": {
        "text": "Oslo has 4 degrees.",
        "by_content": [
            {"contains": "4 degrees", "then": {"text": "Take a coat."}},
            {"contains": "weather", "then": {"tool_calls": [{"name": "weather", "arguments": {"city": "Oslo"}}]}},
        ],
    },
    "o3": {"text": "The oldest one.", "reasoning": "Let me think."},
}


@pytest.fixture(scope="session")
def _upstream() -> Iterator[ThreadedServer]:
    with fake_server.running_in_thread(scenarios=SCENARIOS) as running:
        yield running


@pytest.fixture(scope="session")
def _evil() -> Iterator[ThreadedServer]:
    with fake_server.running_in_thread() as running:
        yield running


@pytest.fixture(scope="session")
def _proxy(_upstream: ThreadedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    config = with_tests_operator(example_config(), _deployments(_upstream))
    with started(config, tmp_path_factory.mktemp("proxy"), _upstream) as running:
        yield running


def _deployments(upstream: ThreadedServer) -> list[dict[str, Any]]:
    direct = {"api_base": upstream.base_url, "api_key": "sk-upstream-secret"}
    return [
        # The operator's own node, that is no model of the proxy.
        deployment("private", "composite/moa/large", proposers=[{"model": "openai/private-node", **direct}, "small"]),
        deployment("plain-moa", "composite/moa/large", proposers=["small", "medium"]),
        deployment("limited", "composite/moa/large", samples=3, layers=2, max_calls=20, max_tool_rounds=4, timeout=20),
        deployment(
            "open-council",
            "composite/council/large",
            {"composite": {"client_may_set": ["members", "proposers", "chairman", "criteria", "tool_executor"]}},
            members=["small", "medium"],
        ),
        deployment(
            "open-moa",
            "composite/moa/large",
            {"composite": {"client_may_set": ["proposers", "aggregator", "layers", "samples"]}},
            proposers=["small", "medium"],
        ),
        deployment("one-shot", "composite/moa/large", proposers=["small"]),
        deployment("composite/*", "composite/*"),
        deployment("refused", "openai/always-refused", **direct),
        deployment("degraded", "composite/moa/large", proposers=["small", "refused"]),
        deployment("broken", "composite/moa/large", proposers=["refused"]),
        deployment("broken-at-the-end", "composite/moa/refused", proposers=["small"]),
        deployment("tools", "openai/calls-tools", **direct),
        deployment("agent", "composite/moa/tools", proposers=["small"]),
        deployment("thinker", "openai/o3", **direct),
        deployment("thinking-moa", "composite/moa/thinker", proposers=["small"]),
        # Two deployments behind one name, the first of them broken, and a name with a fallback.
        deployment("balanced", "openai/broken-one", **direct),
        deployment("balanced", "openai/working-one", **direct),
        deployment("own-price", "openai/no-such-price", input_cost_per_token=0.001, output_cost_per_token=0.002, **direct),
        deployment("uses-router", "composite/moa/own-price", proposers=["balanced", "own-price"]),
    ]


@pytest.fixture
def upstream(_upstream: ThreadedServer) -> ThreadedServer:
    """Where the proxy's own models are, with an empty ledger and no scenario."""
    _upstream.wait_until(lambda ledger: ledger.open_requests == 0)
    _upstream.reset_scenarios()
    _upstream.ledger.clear()
    return _upstream


@pytest.fixture
def evil(_evil: ThreadedServer) -> ThreadedServer:
    """A server of an attacker; nothing may ever reach it."""
    _evil.ledger.clear()
    return _evil


@pytest.fixture
def proxy(_proxy: Proxy, upstream: ThreadedServer) -> Proxy:
    """The session's proxy with empty books."""
    _proxy.forget()
    return _proxy
