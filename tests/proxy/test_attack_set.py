"""Every entry of `attacks.yaml` against one real proxy: nobody gets in, nothing gets out, nobody pays for another."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import fake_server
from tests.support.attacks import QUESTION, Attack, attacks, configuration, described, filled
from tests.support.proxies import MASTER, Proxy, started, with_tests_operator

if TYPE_CHECKING:
    import httpx

    from fake_server import ThreadedServer

SECRETS = {"DATABASE_PASSWORD": "hunter2-of-the-database", "AZURE_API_KEY": "sk-azure-of-the-operator"}
NEVER_SHOWN = ("Traceback", "site-packages", '.py"', "sk-of-the-operator", MASTER, *SECRETS.values())
USD_PER_TOKEN = {"gpt-4o": (2.5e-6, 1e-5), "gpt-4o-mini": (1.5e-7, 6e-7), "gpt-4.1-mini": (4e-7, 1.6e-6)}
ALL = list(attacks())

# A proxy of its own, beside the one that the other tests share.
pytestmark = pytest.mark.xdist_group("attacks")


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[ThreadedServer, ThreadedServer]]:
    with fake_server.running_in_thread() as upstream, fake_server.running_in_thread() as foreign:
        yield upstream, foreign


@pytest.fixture(scope="module")
def attacked(
    servers: tuple[ThreadedServer, ThreadedServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    upstream, foreign = servers
    directory = tmp_path_factory.mktemp("attacked")
    (directory / "composite.yaml").write_text(yaml.safe_dump({"profiles": described()["profiles"]}), encoding="utf-8")
    config = with_tests_operator(configuration(upstream.base_url), [])
    with started(config, directory, upstream, AZURE_API_BASE=foreign.base_url, **SECRETS) as proxy:
        for key, settings in described()["keys"].items():
            proxy.add_key(key, **settings)
        yield proxy


def test_there_are_many_and_each_has_a_name_of_its_own() -> None:
    assert len(described()["attacks"]) >= 290
    assert len(ALL) >= 750
    assert len({attack.id for attack in ALL}) == len(ALL)


@pytest.mark.parametrize("key", list(described()["keys"]))
def test_each_attackers_own_request_is_answered(attacked: Proxy, key: str) -> None:
    for model in described()["keys"][key]["models"]:
        asked = "composite/moa/small" if model == "composite/*" else model
        response = attacked.post({"model": asked, "messages": QUESTION, "max_tokens": 60}, key=key)
        assert response.status_code == 200, f"{model}: {response.text}"


@pytest.mark.parametrize("attack", ALL, ids=lambda attack: attack.id)
def test_an_attack_comes_to_nothing(
    attacked: Proxy, servers: tuple[ThreadedServer, ThreadedServer], attack: Attack
) -> None:
    upstream, foreign = servers
    upstream.wait_until(lambda ledger: ledger.open_requests == 0)
    upstream.reset_scenarios()
    for model, scenario in filled(attack.upstream, LONG="word " * 900).items():
        upstream.set_scenario(model, scenario)
    upstream.ledger.clear()
    begun = time.monotonic()
    response = attacked.http.post(
        attacked.url + filled(attack.path, FOREIGN=foreign.base_url),
        content=attack.content(foreign.base_url),
        headers={
            "content-type": "application/json",
            **({"authorization": f"Bearer {attack.key}"} if attack.key else {}),
            **filled(attack.headers, FOREIGN=foreign.base_url),
        },
    )
    took_s = time.monotonic() - begun
    called = [str(record.model) for record in upstream.ledger.records]
    assert foreign.ledger.records == []
    assert set(called) <= attack.may.models, called
    assert len(called) <= attack.may.calls, called
    assert _status_is(response, attack.may.status, called), f"{response.status_code}: {response.text[:600]}"
    for text in (*NEVER_SHOWN, *attack.may.hidden):
        assert text not in response.text
    for text in attack.may.shown:
        assert text in response.text
    assert attack.may.usd is None or _billed_usd(upstream) <= attack.may.usd
    assert attack.may.seconds is None or took_s <= attack.may.seconds


def _status_is(response: httpx.Response, wanted: str, called: list[str]) -> bool:
    if wanted == "refused":
        return 400 <= response.status_code < 500 and not called
    return wanted == "any" or response.status_code < (300 if wanted == "ok" else 500)


def _billed_usd(upstream: ThreadedServer) -> float:
    billed = 0.0
    for record in upstream.ledger.records:
        usage: dict[str, Any] = record.usage or {}
        per_prompt, per_answer = USD_PER_TOKEN[str(record.model)]
        billed += usage.get("prompt_tokens", 0) * per_prompt + usage.get("completion_tokens", 0) * per_answer
    return billed


def test_afterwards_the_proxy_answers_as_before(
    attacked: Proxy, servers: tuple[ThreadedServer, ThreadedServer]
) -> None:
    upstream, foreign = servers
    upstream.reset_scenarios()
    upstream.ledger.clear()
    for model, calls in {"moa": 3, "council": 4, "capped": 3, "off": 3}.items():
        response = attacked.post({"model": model, "messages": [{"role": "user", "content": "Hello"}]})
        assert response.status_code == 200, response.text
        assert len(upstream.ledger.records) == calls, model
        upstream.ledger.clear()
    assert foreign.ledger.records == []
