"""What one client does, the others do not feel: nothing that a client causes puts a composite into the Router's cooldown."""

from __future__ import annotations

import json

import httpx
import pytest

from fake_server import ThreadedServer
from tests.proxy.causes import CAUSES, GROUPS, STREAMED, Cause
from tests.support.proxies import CLIENT, Proxy

TIMES = 16
"""As often as a client repeats itself: a deployment goes when most of at least five of its calls failed."""

ASKED = [{"role": "user", "content": "Which bridge is the oldest?"}]


def _ask(proxy: Proxy, cause: Cause, group: str, key: str, *, streamed: bool) -> httpx.Response:
    if cause.raw:
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        content = cause.raw.replace("MODEL", json.dumps(group))
        return proxy.http.post(f"{proxy.url}{cause.path}", content=content, headers=headers)
    asked = {"messages": ASKED} if cause.path == "/v1/chat/completions" else {}
    body = {"model": group, **asked, **cause.body, **({"stream": True} if streamed else {})}
    return proxy.post(
        body, path=cause.path, key=key, **{name.replace("-", "_"): v for name, v in cause.headers.items()}
    )


def _is_undisturbed(proxy: Proxy, group: str) -> None:
    for _ in range(2):
        response = proxy.post({"model": group, "messages": ASKED})
        assert response.status_code == 200, response.text
        fields = response.json()["choices"][0]["message"].get("provider_specific_fields") or {}
        assert not fields.get("composite", {}).get("degraded")


def _try(proxy: Proxy, upstream: ThreadedServer, name: str, *, streamed: bool) -> None:
    cause = CAUSES[name]
    group = cause.group or GROUPS[name, streamed]
    for model, scenario in cause.upstream.items():
        upstream.set_scenario(model, scenario)
    key = proxy.add_key(f"sk-{abs(hash(name))}", **cause.key) if cause.key else CLIENT
    for _ in range(TIMES):
        response = _ask(proxy, cause, group, key, streamed=streamed)
        status = response.status_code
        if streamed and status == 200:
            # The deliberation had begun, so the error is the stream's last event.
            told = [line for line in response.text.splitlines() if line.startswith('data: {"error"')]
            status = int(json.loads(told[-1].removeprefix("data: "))["error"]["code"]) if told else 200
        assert status in cause.statuses, response.text[-500:]
    upstream.reset_scenarios()
    _is_undisturbed(proxy, group)


NEVER_SENT = ("a malformed part", "a number as a part", "a tool that is none", "NaN", "NaN for the final model")


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("name", [*NEVER_SENT, "a time that is too short"])
def test_it_opens_no_breaker_of_nodes_that_the_operator_wrote_with_their_endpoint(
    proxy: Proxy, name: str, streamed: bool
) -> None:
    for _ in range(TIMES):
        response = _ask(proxy, CAUSES[name], "inline", CLIENT, streamed=streamed)
        assert response.status_code in (200, *CAUSES[name].statuses), response.text[-500:]
    _is_undisturbed(proxy, "inline")


@pytest.mark.parametrize("name", CAUSES)
def test_what_a_client_causes_cools_nothing_down(proxy: Proxy, upstream: ThreadedServer, name: str) -> None:
    _try(proxy, upstream, name, streamed=False)


@pytest.mark.parametrize("name", STREAMED)
def test_neither_does_it_in_a_stream(proxy: Proxy, upstream: ThreadedServer, name: str) -> None:
    _try(proxy, upstream, name, streamed=True)
