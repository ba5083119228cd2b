"""The same calls by other means: by hand over LiteLLM, over raw aiohttp, and a custom provider of twenty lines."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import aiohttp
import litellm
from litellm.utils import custom_llm_setup

from benchmarks.harness import KEY, Upstream

QUESTION = [{"role": "user", "content": "Which bridge is the oldest?"}]
FINAL = "gpt-4o"
MEMBER = "gpt-4o-mini"


def members(count: int) -> list[str]:
    """Models of that many members; LiteLLM knows their prices."""
    return [f"openai/{MEMBER}"] * count


async def composite(upstream: Upstream, proposers: int) -> Any:
    """A mixture of agents of this library."""
    return await composite_of(upstream, members(proposers))


async def composite_of(upstream: Upstream, proposers: Sequence[Any]) -> Any:
    """One of these nodes."""
    upstream.claim(len(proposers) + 1)
    return await litellm.acompletion(**composite_call(upstream, proposers))


def composite_call(upstream: Upstream, proposers: Sequence[Any]) -> dict[str, Any]:
    """The keyword arguments of one."""
    return {
        "model": f"composite/moa/openai/{FINAL}",
        "messages": QUESTION,
        "proposers": list(proposers),
        **upstream.options,
    }


async def council(upstream: Upstream, size: int) -> Any:
    """A council of this library."""
    upstream.claim(2 * size + 1)
    return await litellm.acompletion(
        model=f"composite/council/openai/{FINAL}", messages=QUESTION, members=members(size), **upstream.options
    )


async def by_hand(upstream: Upstream, proposers: int) -> Any:
    """`asyncio.gather` over `litellm.acompletion`, then the final call."""
    upstream.claim(proposers + 1)
    texts = await _asked(upstream, members(proposers), QUESTION)
    return await litellm.acompletion(model=f"openai/{FINAL}", messages=_with(texts), **upstream.options)


async def council_by_hand(upstream: Upstream, size: int) -> Any:
    """The same for a council, without reading any ballot."""
    upstream.claim(2 * size + 1)
    answers = await _asked(upstream, members(size), QUESTION)
    reviews = await _asked(upstream, members(size), _with(answers))
    return await litellm.acompletion(model=f"openai/{FINAL}", messages=_with([*answers, *reviews]), **upstream.options)


async def _asked(upstream: Upstream, models: Sequence[str], messages: list[dict[str, str]]) -> list[str]:
    answers: list[Any] = await asyncio.gather(
        *(litellm.acompletion(model=model, messages=messages, **upstream.options) for model in models)
    )
    return [answer.choices[0].message.content for answer in answers]


def _with(texts: Sequence[str]) -> list[dict[str, str]]:
    return [*QUESTION, {"role": "user", "content": "\n\n".join(texts)}]


async def over_aiohttp(session: aiohttp.ClientSession, upstream: Upstream, proposers: int) -> Any:
    """Without LiteLLM: no prices, no callbacks, one provider."""
    upstream.claim(proposers + 1)
    texts = await asyncio.gather(*(_post(session, upstream, MEMBER, QUESTION) for _ in range(proposers)))
    return await _post(session, upstream, FINAL, _with(texts))


async def _post(session: aiohttp.ClientSession, upstream: Upstream, model: str, messages: list[dict[str, str]]) -> str:
    body = {"model": model, "messages": messages}
    headers = {"Authorization": f"Bearer {KEY}"}
    async with session.post(f"{upstream.url}/v1/chat/completions", json=body, headers=headers) as response:
        text: str = (await response.json())["choices"][0]["message"]["content"]
        return text


class Naive(litellm.CustomLLM):
    """A mixture of agents as one writes it in an afternoon: no failures, no sums, no trace."""

    async def acompletion(self, **kwargs: Any) -> Any:  # type: ignore[override]
        """The calls, and the last one's response as it is."""
        options = dict(kwargs["optional_params"])
        models, connection = options.pop("naive_proposers"), {k: kwargs[k] for k in ("api_base", "api_key")}
        answers: list[Any] = await asyncio.gather(
            *(litellm.acompletion(model=model, messages=kwargs["messages"], **connection) for model in models)
        )
        texts = [answer.choices[0].message.content for answer in answers]
        return await litellm.acompletion(model=kwargs["model"], messages=_with(texts), **connection)


def offer_naive() -> None:
    """Register it beside this library's provider."""
    litellm.custom_provider_map.append({"provider": "naive", "custom_handler": Naive()})
    custom_llm_setup()  # type: ignore[no-untyped-call]


async def naive(upstream: Upstream, proposers: int) -> Any:
    """A mixture of agents of the naive provider."""
    upstream.claim(proposers + 1)
    return await litellm.acompletion(
        model=f"naive/openai/{FINAL}", messages=QUESTION, naive_proposers=members(proposers), **upstream.options
    )
