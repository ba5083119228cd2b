"""A server that speaks Anthropic's messages, as far as the documents need it: text in, text or a ballot out, also streamed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any

from aiohttp import web

from fake_server.tokens import count_tokens

_LATENCY_S = {"claude-sonnet-4-6": 0.04, "claude-haiku-4-5": 0.08}
_LABEL = re.compile(r"<<<(Response [A-Z]) ")


@contextlib.contextmanager
def anthropic_in_thread(texts: Mapping[str, str]) -> Iterator[str]:
    """Serve these models' texts on a thread of its own; gives the address that `ANTHROPIC_API_BASE` takes."""
    started: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(texts, started)), name="anthropic", daemon=True)
    thread.start()
    url, loop, stopped = started.result()
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()


async def _serve(
    texts: Mapping[str, str], started: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]]
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        text = _text(body, texts)
        # Members finish in the order that the documents show: the other server's first.
        await asyncio.sleep(_LATENCY_S[body["model"]])
        usage = {"input_tokens": count_tokens(_prompt(body)), "output_tokens": count_tokens(text)}
        if body.get("stream"):
            return await _streamed(request, body["model"], text, usage)
        return web.json_response(_message(body["model"], [{"type": "text", "text": text}], usage, "end_turn"))

    application = web.Application()
    application.router.add_post("/v1/messages", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    stopped = asyncio.Event()
    started.set_result((f"http://{host}:{port}", asyncio.get_running_loop(), stopped))
    await stopped.wait()
    await runner.cleanup()


def _prompt(body: dict[str, Any]) -> str:
    contents = [body.get("system") or "", *(message["content"] for message in body["messages"])]
    return "\n".join(content if isinstance(content, str) else _parts(content) for content in contents)


def _parts(content: list[dict[str, Any]]) -> str:
    return "\n".join(str(part.get("text", "")) for part in content)


def _text(body: dict[str, Any], texts: Mapping[str, str]) -> str:
    prompt = _prompt(body)
    if "You are reviewing" not in prompt:
        return texts[body["model"]]
    labels = list(dict.fromkeys(_LABEL.findall(prompt)))
    return json.dumps({"reviews": dict.fromkeys(labels, "Sound."), "ranking": labels})


def _message(model: str, content: list[dict[str, Any]], usage: dict[str, int], stop: str | None) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }


async def _streamed(request: web.Request, model: str, text: str, usage: dict[str, int]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    pieces = [text[start : start + 12] for start in range(0, len(text), 12)]
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": _message(model, [], {**usage, "output_tokens": 0}, None)},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": p}} for p in pieces),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ]
    for event in events:
        await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    await response.write_eof()
    return response
