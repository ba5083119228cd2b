"""Prompts in the roles and the order that strict providers and templates take."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.model.message_roles import with_one_system_message, with_turns, without_system_role
from composite_llm.model.messages import text_of

MARK = {"type": "ephemeral"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def part(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": text, **more}


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param([said("user", "u")], [said("user", "u")], id="none"),
        pytest.param([said("system", "s"), said("user", "u")], [said("system", "s"), said("user", "u")], id="one"),
        pytest.param(
            [said("system", "s"), said("system", "p"), said("user", "u")],
            [said("system", "s\n\np"), said("user", "u")],
            id="two",
        ),
        pytest.param(
            [said("user", "u"), said("system", "s"), said("user", "v")],
            [said("system", "s"), said("user", "u"), said("user", "v")],
            id="not first",
        ),
        pytest.param(
            [said("developer", "d"), said("user", "u"), said("system", "s")],
            [said("system", "d\n\ns"), said("user", "u")],
            id="developer",
        ),
        pytest.param(
            [said("developer", "d"), said("user", "u")], [said("system", "d"), said("user", "u")], id="d alone"
        ),
        pytest.param([said("system", ""), said("system", "s")], [said("system", "s")], id="blank"),
        pytest.param([said("system", ""), said("user", "u")], [said("user", "u")], id="blank alone"),
        pytest.param([said("system", "")], [said("system", "")], id="nothing but a blank one"),
        pytest.param(
            [said("system", [part("s", cache_control=MARK)]), said("system", "p"), said("user", "u")],
            [said("system", [part("s", cache_control=MARK), part("p")]), said("user", "u")],
            id="a part's cache mark",
        ),
        pytest.param(
            [said("system", "s", cache_control=MARK), said("system", "p")],
            [said("system", [part("s", cache_control=MARK), part("p")])],
            id="a message's cache mark",
        ),
        pytest.param(
            [said("system", "s", cache_control=MARK), said("user", "u")],
            [said("system", "s", cache_control=MARK), said("user", "u")],
            id="the mark of the only one",
        ),
    ],
)
def test_one_system_message_is_left_and_it_is_the_first(messages: Any, expected: Any) -> None:
    before = copy.deepcopy(messages)
    assert with_one_system_message(messages) == expected
    assert messages == before


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param([said("system", "s"), said("user", "u")], [said("user", "s\n\nu")], id="text"),
        pytest.param([said("user", "u"), said("system", "s")], [said("user", "s\n\nu")], id="late"),
        pytest.param([said("user", "u")], [said("user", "u")], id="none"),
        pytest.param([said("system", "s")], [said("user", "s")], id="alone"),
        pytest.param(
            [said("system", "s"), said("assistant", "a")],
            [said("user", "s"), said("assistant", "a")],
            id="no user first",
        ),
        pytest.param([said("system", "s"), said("user", [IMAGE])], [said("user", [part("s"), IMAGE])], id="an image"),
        pytest.param(
            [said("system", [part("s", cache_control=MARK)]), said("user", "u", name="ann")],
            [said("user", [part("s", cache_control=MARK), part("u")], name="ann")],
            id="a cache mark",
        ),
    ],
)
def test_without_the_systems_role_its_words_head_the_first_user_message(messages: Any, expected: Any) -> None:
    before = copy.deepcopy(messages)
    assert without_system_role(messages) == expected
    assert messages == before


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param(
            [said("system", "s"), said("user", "u"), said("user", "v"), said("assistant", "a"), said("assistant", "b")],
            [said("system", "s"), said("user", "u\n\nv"), said("assistant", "a\n\nb")],
            id="neighbours",
        ),
        pytest.param(
            [said("user", "u"), said("system", "s"), said("user", "v")],
            [said("system", "s"), said("user", "u\n\nv")],
            id="a system message between them",
        ),
        pytest.param(
            [said("user", [IMAGE]), said("user", "v")], [said("user", [IMAGE, part("v")])], id="parts and a text"
        ),
        pytest.param(
            [said("user", "u", cache_control=MARK), said("user", "v")],
            [said("user", [part("u", cache_control=MARK), part("v")])],
            id="a cache mark stays where it was",
        ),
        pytest.param(
            [said("user", "u"), said("assistant", "a"), said("assistant", None, tool_calls=[CALL])],
            [said("user", "u"), said("assistant", "a", tool_calls=[CALL])],
            id="words before a tool call",
        ),
        pytest.param(
            [said("user", "u"), said("assistant", ""), said("assistant", None, tool_calls=[CALL])],
            [said("user", "u"), said("assistant", None, tool_calls=[CALL])],
            id="no words before a tool call",
        ),
        pytest.param(
            [said("assistant", None, tool_calls=[CALL]), said("assistant", "a")],
            [
                said("user", "[The assistant begins this conversation.]"),
                said("assistant", None, tool_calls=[CALL]),
                said("assistant", "a"),
            ],
            id="what follows a call is not joined to it",
        ),
    ],
)
def test_turns_are_strict(messages: Any, expected: Any) -> None:
    before = copy.deepcopy(messages)
    assert with_turns(messages) == expected
    assert messages == before


CONTENT = st.text(min_size=1, max_size=8) | st.lists(
    st.builds(part, st.text(min_size=1, max_size=8)) | st.just(IMAGE), min_size=1, max_size=3
)
MESSAGES = st.lists(
    st.builds(said, st.sampled_from(["system", "developer", "user", "assistant"]), CONTENT), min_size=1, max_size=8
)


def everything(messages: list[dict[str, Any]]) -> list[str]:
    """All texts and parts, of the system first."""
    ordered = sorted(messages, key=lambda message: message["role"] not in ("system", "developer"))
    return [piece for message in ordered for piece in text_of(message["content"]).split("\n") if piece]


@given(MESSAGES)
def test_nothing_is_lost_and_the_order_stays(messages: list[dict[str, Any]]) -> None:
    one = with_one_system_message(messages)
    assert [message["role"] for message in one[1:]].count("system") == 0
    assert everything(one) == everything(messages)
    others = [message for message in messages if message["role"] in ("user", "assistant")]
    assert [message for message in one if message["role"] != "system"] == others
    assert everything(without_system_role(messages)) == everything(messages)
    assert all(message["role"] != "system" for message in without_system_role(messages))


@given(MESSAGES)
def test_turns_alternate_and_hold_everything(messages: list[dict[str, Any]]) -> None:
    for form in (with_turns(messages), with_turns(without_system_role(messages))):
        turns = [message["role"] for message in form if message["role"] != "system"]
        assert all(left != right for left, right in pairwise(turns))
        assert not turns or turns[0] == "user"
        said_here = [piece for piece in everything(form) if "begins this conversation" not in piece]
        assert said_here == everything(messages)


@given(MESSAGES, st.lists(st.builds(said, st.sampled_from(["user", "assistant"]), CONTENT), max_size=4))
def test_what_follows_does_not_change_the_prefix(messages: list[dict[str, Any]], further: Any) -> None:
    assert with_one_system_message([*messages, *further])[: len(with_one_system_message(messages))] == (
        with_one_system_message(messages)
    )
