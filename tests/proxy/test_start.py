"""A proxy says at its start, in its log, what is wrong with its composites; and starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from fake_server import ThreadedServer
from tests.support.proxies import deployment, example_config, started, with_tests_operator


@pytest.mark.xdist_group("proxy-start")
def test_mistakes_are_in_the_log_before_a_client_meets_them(upstream: ThreadedServer, tmp_path: Path) -> None:
    broken = [
        deployment("misspelt", "composite/moa/large", proposers=["smal"], layrs=2),
        deployment("first", "composite/moa/second", proposers=["small"]),
        deployment("second", "composite/moa/first", proposers=["small"]),
        deployment(
            "many", "composite/council/large", {"composite": {"client_may_set": ["criterea"]}}, members=["small"]
        ),
    ]
    config = with_tests_operator(example_config(), broken)
    config["router_settings"]["num_retries"] = 1
    with started(config, tmp_path, upstream) as proxy:
        log = proxy.log
        assert proxy.post({"model": "team-moa", "messages": [{"role": "user", "content": "Hello"}]}).status_code == 200
    before, _, _ = log.partition("Application startup complete")
    told = [line for line in before.splitlines() if "started-with.yaml, line " in line]
    for said in (
        "misspelt: layrs: unknown option; did you mean 'layers'?",
        "misspelt: proposers.0: 'smal' is not a model of this proxy",
        "first: model: a cycle: first > second > first",
        "many: model_info.composite.client_may_set.0: 'criterea' is not an option; nearest: criteria",
        "router_settings.num_retries: got 1",
    ):
        assert sum(said in line for line in told) == 1, (said, before)
    assert len(told) == 5
