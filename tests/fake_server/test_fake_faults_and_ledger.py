"""Connections that break on either side, and what the ledger says of them."""

import asyncio
from typing import Any

import aiohttp
import pytest

import fake_server

BODY = {"model": "m", "messages": [{"role": "user", "content": "Hello there"}]}


def _post(http: aiohttp.ClientSession, server: Any, **fields: Any) -> Any:
    return http.post(f"{server.base_url}/chat/completions", json={**BODY, **fields})


async def _read_until_broken(response: aiohttp.ClientResponse) -> bytes:
    received = bytearray()

    async def read() -> None:
        async for piece in response.content.iter_any():
            received.extend(piece)

    with pytest.raises(aiohttp.ClientPayloadError):
        await read()
    return bytes(received)


async def test_drop_before(server: Any, http: aiohttp.ClientSession) -> None:
    server.set_scenario("m", {"drop": "before"})
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await _post(http, server)
    await server.until(lambda ledger: not ledger.records[0].open)
    record = server.ledger.records[0]
    assert (record.status, record.disconnected, record.usage) == (None, False, None)


@pytest.mark.parametrize("stream", [False, True])
async def test_drop_after_headers(server: Any, http: aiohttp.ClientSession, stream: bool) -> None:
    server.set_scenario("m", {"drop": "headers"})
    async with _post(http, server, stream=stream) as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    assert server.ledger.records[0].status == 200


@pytest.mark.parametrize("drop", ["body", "mid_stream"])
async def test_drop_within_body(server: Any, http: aiohttp.ClientSession, drop: str) -> None:
    server.set_scenario("m", {"drop": drop})
    async with _post(http, server) as response:
        received = await _read_until_broken(response)
    assert received.startswith(b'{"id"')
    assert len(received) == int(response.headers["Content-Length"]) // 2


@pytest.mark.parametrize(("after", "content"), [(0, b""), (3, b"efgh"), (99, b"ijkl")])
async def test_drop_within_stream(server: Any, http: aiohttp.ClientSession, after: int, content: bytes) -> None:
    server.set_scenario("m", {"text": "abcdefghijkl", "drop": "mid_stream", "drop_after_chunks": after})
    async with _post(http, server, stream=True) as response:
        received = await _read_until_broken(response)
    assert content in received
    assert b"[DONE]" not in received
    record = server.ledger.records[0]
    assert record.chunks == min(after, 5)
    assert record.usage["completion_tokens"] == {0: 0, 3: 2, 99: 3}[after]
    assert not record.disconnected


@pytest.mark.parametrize("scenario", [{"hang": True}, {"latency_s": 3600.0}, {"time_per_token_s": 3600.0}])
async def test_client_that_goes_away_frees_the_request(
    server: Any, http: aiohttp.ClientSession, scenario: dict[str, Any]
) -> None:
    server.set_scenario("m", scenario)
    task = asyncio.ensure_future(_post(http, server))
    await server.until(lambda ledger: bool(ledger.records))
    assert server.stats()["open_requests"] == 1
    task.cancel()
    await server.until(lambda ledger: ledger.records[0].disconnected and not ledger.records[0].open)
    assert server.ledger.records[0].status is None
    assert server.stats()["open_requests"] == 0


@pytest.mark.parametrize("scenario", [{"hang_after_chunks": 2}, {"time_per_token_s": 3600.0}])
async def test_client_that_leaves_a_stream(server: Any, http: aiohttp.ClientSession, scenario: dict[str, Any]) -> None:
    server.set_scenario("m", {"text": "abcdefgh", **scenario})
    async with _post(http, server, stream=True) as response:
        await server.until(lambda ledger: ledger.records[0].chunks == 2)
        response.close()
    await server.until(lambda ledger: not ledger.records[0].open)
    record = server.ledger.records[0]
    assert (record.disconnected, record.status, record.chunks) == (True, 200, 2)
    assert record.usage["completion_tokens"] == 1


async def test_write_to_a_client_that_is_gone(
    server: Any, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: Any) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(aiohttp.web.StreamResponse, "write", gone)
    with pytest.raises(aiohttp.ClientError):
        async with _post(http, server, stream=True) as response:
            await response.read()
    await server.until(lambda ledger: not ledger.records[0].open)
    assert server.ledger.records[0].disconnected


async def test_shutdown_does_not_wait(http: aiohttp.ClientSession) -> None:
    async with fake_server.running(scenarios={"m": {"hang": True}}) as server:
        task = asyncio.ensure_future(_post(http, server))
        await server.until(lambda ledger: bool(ledger.records))
    async with asyncio.timeout(1):
        with pytest.raises(aiohttp.ClientError):
            await task
    assert not server.ledger.records[0].open
    assert not server.ledger.records[0].disconnected
    assert server.stats()["open_connections"] == 0


async def test_until_gives_up(server: Any) -> None:
    with pytest.raises(TimeoutError):
        await server.until(lambda _ledger: False, timeout_s=0.005)


async def test_ledger_over_http(server: Any, http: aiohttp.ClientSession) -> None:
    secrets = {"Authorization": "Bearer s3cret", "X-Api-Key": "s3cret", "Cookie": "a=s3cret", "X-Trace": "t"}
    async with http.post(f"{server.base_url}/chat/completions", json=BODY, headers=secrets) as response:
        request_id = response.headers["x-request-id"]
    async with _post(http, server, stream=True) as response:
        await response.read()
    await server.until(lambda ledger: not ledger.open_requests)
    async with http.get(f"{server.url}/ledger") as response:
        text = await response.text()
        plain, streamed = await response.json()
    assert "s3cret" not in text
    assert plain["headers"]["X-Trace"] == "t"
    assert request_id.endswith(str(plain["id"]))
    assert plain["body"] == BODY
    assert (plain["method"], plain["path"], plain["model"]) == ("POST", "/v1/chat/completions", "m")
    assert (plain["status"], plain["stream"], plain["chunks"], plain["in_flight"]) == (200, False, 0, 1)
    assert plain["started_at"] <= plain["finished_at"] <= streamed["started_at"]
    assert plain["usage"] == streamed["usage"]
    assert streamed["stream"]
    assert streamed["chunks"] > 2
    async with http.delete(f"{server.url}/ledger") as response:
        assert await response.json() == []
    assert server.ledger.as_list() == []


async def test_in_flight_and_stats(server: Any, http: aiohttp.ClientSession) -> None:
    server.set_scenario("m", {"hang": True})
    tasks = [asyncio.ensure_future(_post(http, server)) for _ in range(3)]
    await server.until(lambda ledger: len(ledger.records) == 3)
    async with http.get(f"{server.url}/stats") as response:
        stats = await response.json()
    assert (stats["requests"], stats["open_requests"], stats["max_in_flight"]) == (3, 3, 3)
    assert stats["open_connections"] == 4
    assert [record.in_flight for record in server.ledger.records] == [1, 2, 3]
    server.ledger.clear()
    for task in tasks:
        task.cancel()
    await server.until(lambda ledger: not ledger.open_requests)
    assert server.stats()["requests"] == 0
    assert server.stats()["max_in_flight"] == 3
