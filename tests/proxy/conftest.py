"""One proxy for all tests of a session: the example's configuration, and the deployments that tests need besides."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import fake_server
from tests.proxy.causes import GROUPS
from tests.support.proxies import deployment, example_config, started, with_tests_operator

if TYPE_CHECKING:
    from fake_server import ThreadedServer
    from tests.support.proxies import Proxy


LIMITS: dict[str, Any] = {
    "max_calls": 20,
    "max_tool_rounds": 4,
    "max_cost_usd": 5.0,
    "allow_unpriced": True,
    "timeout": 20,
}
SCENARIOS: dict[str, dict[str, Any]] = {
    "always-refused": {"error": {"status": 400, "message": "INTERNAL-DETAIL of http://10.0.0.7"}},
    "too-many-requests": {"error": {"status": 429}},
    "calls-tools": {
        "text": "Oslo has 4 degrees.",
        "by_content": [
            {"contains": "4 degrees", "then": {"text": "Take a coat."}},
            {"contains": "weather", "then": {"tool_calls": [{"name": "weather", "arguments": {"city": "Oslo"}}]}},
        ],
    },
    "o3": {"text": "The oldest one.", "reasoning": "Let me think."},
}


_PROFILES = """
profiles:
  house:
    strategy: moa
    model: openai/of-the-house
    aggregator: {api_base: os.environ/UPSTREAM_BASE, api_key: os.environ/UPSTREAM_KEY}
    proposers: [small]
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker runs all tests of the session's proxy, so that there is one of it."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group("proxy"))


@pytest.fixture(scope="session")
def _upstream() -> Iterator[ThreadedServer]:
    with fake_server.running_in_thread(scenarios=SCENARIOS) as running:
        yield running


@pytest.fixture(scope="session")
def _evil() -> Iterator[ThreadedServer]:
    with fake_server.running_in_thread() as running:
        yield running


@pytest.fixture(scope="session")
def _running(_upstream: ThreadedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Proxy]]:
    """The session's proxy, or a new one when its process has ended: a crash is the failure of one test."""
    with contextlib.ExitStack() as stack:
        proxies: list[Proxy] = []

        def running() -> Proxy:
            if not proxies or proxies[-1].process.poll() is not None:
                proxies.append(stack.enter_context(_started(_upstream, tmp_path_factory.mktemp("proxy"))))
                # What a proxy asks while it starts is no test's.
                _upstream.wait_until(lambda ledger: ledger.open_requests == 0)
                _upstream.ledger.clear()
            return proxies[-1]

        yield running


def _started(upstream: ThreadedServer, directory: Path) -> contextlib.AbstractContextManager[Proxy]:
    config = with_tests_operator(example_config(), _deployments(upstream))
    config["router_settings"] |= {
        "fallbacks": [
            {"refused-but": ["small"]},
            {"broken-but": ["small"]},
            {"broken-but-team": ["team-moa"]},
            {"broken-and": ["refused"]},
            {"refused-or-inner": ["inner"]},
        ],
        "model_group_alias": {"middle": "medium"},
        # Longer than a slow machine takes for a test.
        "cooldown_time": 600,
    }
    # A request has to ask for the cache: `cache: {use-cache: true}`.
    config["litellm_settings"] |= {"cache": True, "cache_params": {"type": "local", "mode": "default_off"}}
    (directory / "composite.yaml").write_text(_PROFILES, encoding="utf-8")
    return started(config, directory, upstream, COMPOSITE_LLM_TELEMETRY=str(directory / "traces.db"))


def _deployments(upstream: ThreadedServer) -> list[dict[str, Any]]:
    direct = {"api_base": upstream.base_url, "api_key": "sk-upstream-secret"}
    return [
        # The operator's own node, that is no model of the proxy.
        deployment("private", "composite/moa/large", proposers=[{"model": "openai/private-node", **direct}, "small"]),
        deployment(
            "private-broken",
            "composite/moa/large",
            proposers=[{"model": "openai/private-broken-node", **direct}, "small"],
        ),
        deployment("plain-moa", "composite/moa/large", proposers=["small", "medium"]),
        deployment("limited", "composite/moa/large", samples=3, layers=2, **LIMITS),
        deployment(
            "open-council",
            "composite/council/large",
            {
                "composite": {
                    "client_may_set": [
                        "members",
                        "proposers",
                        "chairman",
                        "criteria",
                        "tool_executor",
                        "api_base",
                        "max_cost_usd_per_day",
                        "max_cost_usd_per_month",
                    ]
                }
            },
            members=["small", "medium"],
        ),
        deployment(
            "open-moa",
            "composite/moa/large",
            {"composite": {"client_may_set": ["proposers", "aggregator", "layers", "samples", "analysis"]}},
            proposers=["small", "medium"],
        ),
        deployment(
            "inline",
            "composite/moa/openai/final-inline",
            proposers=[{"model": "openai/member-inline", **direct}, "small"],
            aggregator=direct,
        ),
        deployment("large-window", "composite/moa/medium", proposers=["medium"]),
        deployment("one-shot", "composite/moa/large", proposers=["small"]),
        deployment("deepseek", "composite/moa/openai/deepseek-v3", aggregator=direct, proposers=["small"]),
        deployment(
            "quiet-deepseek",
            "composite/moa/openai/deepseek-v3",
            aggregator=direct,
            proposers=["small"],
            reasoning="off",
        ),
        deployment(
            "claude",
            "composite/moa/anthropic/claude-sonnet-4-5",
            aggregator={
                "api_base": upstream.url,
                "api_key": "sk-upstream-secret",
                "thinking": {"type": "enabled", "budget_tokens": 1024},
                "max_tokens": 4000,
            },
            proposers=["small"],
        ),
        deployment(
            "priced",
            "composite/moa/openai/gpt-4o",
            aggregator=direct,
            proposers=[{"model": "openai/gpt-4o-mini", **direct}],
        ),
        deployment(
            "budgeted",
            "composite/moa/openai/gpt-4.1-nano",
            max_cost_usd_per_day=1e-9,
            aggregator=direct,
            proposers=[{"model": "openai/gpt-4o-mini", **direct}],
        ),
        deployment(
            "in-optional-params", "composite/moa/large", optional_params={"proposers": ["small"], "max_calls": 5}
        ),
        deployment("in-extra-body", "composite/moa/large", extra_body={"proposers": ["small"], "max_calls": 5}),
        deployment("hasty", "composite/moa/large", proposers=["small", "medium"], timeout=1.5),
        deployment("composite/*", "composite/*"),
        deployment("settling", "openai/gpt-3.5-turbo", **direct),
        deployment("refused", "openai/always-refused", **direct),
        deployment("degraded", "composite/moa/large", proposers=["small", "refused"]),
        deployment("broken", "composite/moa/large", proposers=["refused"]),
        deployment("broken-at-the-end", "composite/moa/refused", proposers=["small"]),
        deployment("tools", "openai/calls-tools", **direct),
        deployment("agent", "composite/moa/tools", proposers=["small"]),
        deployment("thinker", "openai/o3", **direct),
        deployment("thinking-moa", "composite/moa/thinker", proposers=["small"]),
        deployment("balanced", "openai/first-of-two", **direct),
        deployment("balanced", "openai/second-of-two", **direct),
        deployment("sinking", "openai/sinking-1", **direct),
        deployment("sinking", "openai/sinking-2", **direct),
        deployment("uses-balanced", "composite/moa/large", proposers=["balanced", "balanced"]),
        deployment("uses-fallback", "composite/moa/large", proposers=["refused-but"]),
        deployment("refused-but", "openai/always-refused", **direct),
        # A composite that fails at its end, with a fallback of the Router: one model, another composite, one that fails.
        *(
            deployment(name, "composite/moa/refused", proposers=["small"])
            for name in ("broken-but", "broken-but-team", "broken-and")
        ),
        deployment("hot", "openai/too-many-requests", **direct),
        deployment("hot", "openai/cool", **direct),
        deployment("uses-hot", "composite/moa/large", proposers=["hot"]),
        deployment("uses-alias", "composite/moa/large", proposers=["middle"]),
        deployment("own-price", "openai/no-such", input_cost_per_token=0.001, output_cost_per_token=0.002, **direct),
        deployment("uses-own-price", "composite/moa/own-price", proposers=["own-price"]),
        deployment("ends-with-composite", "composite/moa/one-shot", proposers=["small"]),
        deployment("uses-composite", "composite/moa/large", proposers=["one-shot"]),
        *(
            deployment(group, "composite/moa/large", proposers=[member])
            for group in GROUPS.values()
            for member in ("small", "medium")
        ),
        *(
            deployment(
                "open",
                "composite/moa/large",
                {"composite": {"client_may_set": ["proposers", "aggregator"]}},
                **settings,
            )
            for settings in ({"proposers": ["small"]}, {"proposers": ["medium"]})
        ),
        # Composites in composites: by name as final node and as member, in place, behind a leaf's fallback, two deep.
        deployment("inner", "composite/moa/large", proposers=["small", "medium"]),
        deployment("outer-final", "composite/moa/inner", proposers=["small"]),
        deployment("inner-medium", "composite/moa/medium", proposers=["small"]),
        deployment("outer-member", "composite/moa/large", proposers=["inner-medium", "small"]),
        deployment(
            "outer-in-place",
            "composite/moa/composite/moa/large",
            proposers=["small"],
            aggregator={"proposers": ["medium"]},
        ),
        deployment("refused-or-inner", "openai/always-refused", **direct),
        deployment("outer-fallback", "composite/moa/refused-or-inner", proposers=["small"]),
        deployment("outer-council", "composite/council/inner", members=["small", "inner"]),
        deployment("outer-twice", "composite/moa/outer-final", proposers=["small"]),
        deployment("leaf-or-inner", "openai/gpt-4o", **direct),
        deployment("leaf-or-inner", "composite/moa/large", proposers=["small", "medium"]),
        deployment("outer-balanced", "composite/moa/leaf-or-inner", proposers=["inner", "small"]),
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
def proxy(_running: Callable[[], Proxy], upstream: ThreadedServer) -> Proxy:
    """The session's proxy with empty books."""
    proxy = _running()
    proxy.forget()
    return proxy
