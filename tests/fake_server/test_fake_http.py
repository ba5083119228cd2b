"""Control endpoints, keys and requests that are refused."""

import json
from typing import Any

import aiohttp
import pytest

import fake_server
from fake_server import answering


async def _call(http: aiohttp.ClientSession, method: str, url: str, **options: Any) -> tuple[int, Any]:
    async with http.request(method, url, **options) as response:
        return response.status, await response.json()


async def test_health(server: Any, http: aiohttp.ClientSession) -> None:
    assert await _call(http, "GET", f"{server.url}/health") == (200, {"status": "ok"})
    assert server.ledger.records == []


async def test_scenarios_over_http(http: aiohttp.ClientSession) -> None:
    async with fake_server.running(scenarios={"start": {"text": "S"}}) as server:
        url = f"{server.url}/scenarios"
        given = {"by_content": [{"contains": "x", "then": {"latency_s": 1}}]}
        assert await _call(http, "PUT", f"{url}/vendor/group/model", json=given) == (200, {"vendor/group/model": given})
        assert (await _call(http, "PUT", f"{url}/vendor%2Fother", json={}))[0] == 200
        assert set((await _call(http, "GET", url))[1]) == {"start", "vendor/group/model", "vendor/other"}
        assert (await _call(http, "DELETE", f"{url}/vendor/other"))[0] == 200
        status, body = await _call(http, "DELETE", f"{url}/vendor/other")
        assert (status, body["error"]["code"]) == (404, "no_such_scenario")
        await _call(http, "DELETE", f"{url}/start")
        assert await _call(http, "DELETE", url) == (200, {"start": {"text": "S"}})


@pytest.mark.parametrize(
    ("data", "named"), [('{"latncy_s": 1}', "latncy_s"), ("[1]", "m"), ("{", "JSON"), ("[" * 200_000, "JSON")]
)
async def test_wrong_scenario_is_refused(server: Any, http: aiohttp.ClientSession, data: str, named: str) -> None:
    status, body = await _call(http, "PUT", f"{server.url}/scenarios/m", data=data)
    assert status == 400
    assert named in body["error"]["message"]
    assert body["error"]["code"] == "invalid_scenario"


async def test_key_is_required(http: aiohttp.ClientSession) -> None:
    async with fake_server.running(api_key="s3cret") as server:
        url = f"{server.base_url}/models"
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cret"}):
            status, body = await _call(http, "GET", url, headers=headers)
            assert (status, body["error"]["code"]) == (401, "invalid_api_key")
        assert (await _call(http, "GET", url, headers={"Authorization": "Bearer s3cret"}))[0] == 200
        assert (await _call(http, "GET", f"{server.url}/health"))[0] == 200
        assert [record.status for record in server.ledger.records] == [401, 401, 401, 200]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 3}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": ["x"]}, "messages"),
        ({"messages": "x"}, "messages"),
        ({"n": 0}, "n"),
        ({"n": True}, "n"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ],
)
async def test_wrong_parameter_is_named(server: Any, chat: Any, fields: dict[str, Any], param: str) -> None:
    status, body, _ = await chat(**fields)
    assert status == 400
    assert body["error"]["param"] == param
    assert body["error"]["type"] == "invalid_request_error"
    assert server.ledger.records[0].status == 400


@pytest.mark.parametrize("data", ["{", "[]", "null", "[" * 200_000])
async def test_wrong_body_is_refused(server: Any, http: aiohttp.ClientSession, data: str) -> None:
    status, body = await _call(http, "POST", f"{server.base_url}/chat/completions", data=data)
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")
    if data == "{":
        assert server.ledger.records[0].body == data


async def test_body_too_deep_to_be_written_again(server: Any, http: aiohttp.ClientSession) -> None:
    for depth in range(900, 1000, 2):
        nested = "[" * depth + "]" * depth
        data = f'{{"model": "m", "messages": [{{"content": "x", "y": {nested}}}]}}'
        assert (await _call(http, "POST", f"{server.base_url}/chat/completions", data=data))[0] in {200, 400}
    assert (await _call(http, "GET", f"{server.url}/ledger"))[0] == 200


async def test_wrong_paths_and_methods(server: Any, http: aiohttp.ClientSession) -> None:
    assert (await _call(http, "GET", f"{server.base_url}/chat/completions"))[0] == 405
    assert (await _call(http, "DELETE", f"{server.base_url}/models"))[0] == 405
    status, body = await _call(http, "GET", f"{server.url}/elsewhere")
    assert (status, body["error"]["code"]) == (404, "unknown_url")
    assert [record.status for record in server.ledger.records] == [405, 405, 404]


async def test_too_large_body(server: Any, chat: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def too_large(*_: Any) -> object:
        raise aiohttp.web.HTTPRequestEntityTooLarge(max_size=1, actual_size=2)

    monkeypatch.setattr(answering, "_read_json", too_large)
    status, body, _ = await chat()
    assert (status, body["error"]["code"]) == (413, "request_too_large")
    assert server.ledger.records[0].status == 413


async def test_ipv6_address(http: aiohttp.ClientSession) -> None:
    try:
        async with fake_server.running(host="::1") as server:
            assert server.url.startswith("http://[::1]:")
    except OSError:
        pytest.skip("no IPv6 here")


async def test_wrong_scenario_at_the_start() -> None:
    with pytest.raises(fake_server.ScenarioError, match="nope"):
        async with fake_server.running(scenarios={"m": {"nope": json.loads("1")}}):
            pass
