"""A run's work grows in proportion to its size: counted in function calls, which no busy machine changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.benches import Bench, bench
from tests.support.scripted_backend import Say, Script
from tests.support.work import counted

SCRIPT: Script = {"a": Say("alpha"), "chief": Say("The answer")}
Form = Callable[[Bench], Awaitable[Any]]


async def plain(made: Bench) -> Any:
    return await made.run.reply()


async def streamed(made: Bench) -> Any:
    return await made.items()


async def function_calls(form: Form, messages: Any, **options: Any) -> int:
    """Functions that one run calls."""
    with counted() as work:
        made = bench("composite/moa/chief", SCRIPT, messages, **options)
        await form(made)
        made.trace.model_dump_json()
    return work.calls


def conversation(turns: int) -> list[dict[str, Any]]:
    return [{"role": role, "content": f"turn {n}"} for n in range(turns) for role in ("user", "assistant")][:-1]


SIZES: dict[str, tuple[int, Callable[[int], dict[str, Any]]]] = {
    "proposers": (32, lambda n: {"messages": conversation(1), "proposers": ["a"] * n}),
    "proposers with a name each": (
        32,
        lambda n: {
            "messages": conversation(1),
            "proposers": [{"model": "a", "name": f"member {i}"} for i in range(n)],
        },
    ),
    # Each attempt adds up what those under way have set aside: few words for each of the others.
    "proposers under caps": (
        8,
        lambda n: {
            "messages": conversation(1),
            "proposers": ["a"] * n,
            "max_cost_usd": 10_000,
            "max_calls": 10_000,
            "allow_unpriced": True,
        },
    ),
    "turns": (32, lambda n: {"messages": conversation(n), "proposers": ["a"] * 2}),
    # The end of each stage tells what all before it have consumed.
    "layers": (2, lambda n: {"messages": conversation(1), "proposers": ["a"] * 2, "layers": n}),
}
"""The smaller size of each kind, and what a run of a size is asked."""


@pytest.mark.parametrize("form", [plain, streamed])
@pytest.mark.parametrize("what", SIZES)
async def test_four_times_the_size_is_at_most_four_times_the_work(what: str, form: Form) -> None:
    size, asked = SIZES[what]
    await function_calls(form, **asked(size))  # what is remembered after the first run
    small, large = [await function_calls(form, **asked(n)) for n in (size, 4 * size)]
    assert large < 4.1 * small
