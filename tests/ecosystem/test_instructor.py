from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import instructor
import litellm
import pytest
from instructor import Mode
from pydantic import BaseModel, field_validator

from tests.ecosystem.task import CITY, KEY, MODEL, PROPOSERS, Upstream, as_json, call_of

ASK = [{"role": "user", "content": "Tell me about Oslo."}]
SCHEMA_MODES = [Mode.JSON, Mode.MD_JSON, Mode.JSON_SCHEMA]
TOOL_MODES = [Mode.TOOLS, Mode.TOOLS_STRICT]


class City(BaseModel):
    name: str
    population: int

    @field_validator("name")
    @classmethod
    def is_in_norway(cls, name: str) -> str:
        if name == "Stockholm":
            raise ValueError("Stockholm is in Sweden")
        return name


class Population(BaseModel):
    """How many people live in a city."""

    city: str


class Area(BaseModel):
    """How large a city is."""

    city: str


def given(upstream: Upstream) -> dict[str, Any]:
    return {"model": MODEL, "proposers": PROPOSERS, "api_base": upstream.base_url, "api_key": KEY, "messages": ASK}


@pytest.mark.parametrize("mode", [*TOOL_MODES, *SCHEMA_MODES])
def test_a_model_class_in_every_mode(upstream, mode):
    upstream.play(call_of("City", **CITY) if mode in TOOL_MODES else as_json(CITY))
    client = instructor.from_litellm(litellm.completion, mode=mode)
    city, completion = client.create_with_completion(response_model=City, **given(upstream))
    assert city.model_dump() == CITY
    assert upstream.asked == (1, 1)
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == upstream.tokens
    upstream.check_only_the_final_model_got(*(["tools", "tool_choice"] if mode in TOOL_MODES else []))


async def test_an_async_client(upstream):
    upstream.play(call_of("City", **CITY))
    client = instructor.from_litellm(litellm.acompletion)
    city = await client.create(response_model=City, **given(upstream))
    assert city.model_dump() == CITY
    assert upstream.asked == (1, 1)


async def test_a_partial_stream_grows_to_the_whole(upstream):
    upstream.play(call_of("City", **CITY))
    client = instructor.from_litellm(litellm.acompletion)
    partials = [city async for city in client.create_partial(response_model=City, **given(upstream))]
    assert (partials[-1].name, partials[-1].population) == ("Oslo", 709037)
    assert len(partials) > 1
    assert upstream.asked == (1, 1)


def test_several_tools_at_once(upstream):
    calls = [call_of("Population", city="Oslo"), call_of("Area", city="Bergen")]
    upstream.play({"tool_calls": [call["tool_calls"][0] for call in calls]})
    client = instructor.from_litellm(litellm.completion, mode=Mode.PARALLEL_TOOLS)
    found = client.create(response_model=Iterable[Population | Area], **given(upstream))
    assert list(found) == [Population(city="Oslo"), Area(city="Bergen")]
    assert upstream.asked == (1, 1)


# A complaint about a tool's arguments is the tool's result; about a text it is a user message, so a turn of its own.
@pytest.mark.parametrize(("mode", "deliberations"), [(Mode.TOOLS, 1), (Mode.JSON_SCHEMA, 2)])
def test_what_the_schema_cannot_say_is_asked_again(upstream, mode, deliberations):
    wrong = {**CITY, "name": "Stockholm"}
    turns = [call_of("City", **city) if mode in TOOL_MODES else as_json(city) for city in (wrong, CITY)]
    upstream.play(turns[0], ("Stockholm is in Sweden", turns[1]))
    client = instructor.from_litellm(litellm.completion, mode=mode)
    city, completion = client.create_with_completion(response_model=City, max_retries=2, **given(upstream))
    assert city.model_dump() == CITY
    assert upstream.asked == (deliberations, 2)
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == upstream.tokens


def test_what_the_schema_can_say_is_mended_without_a_new_deliberation(upstream):
    wrong = {**CITY, "population": "many"}
    upstream.server.set_scenario("gpt-4.1", {"sequence": [call_of("City", **wrong), call_of("City", **CITY)]})
    client = instructor.from_litellm(litellm.completion)
    city, completion = client.create_with_completion(response_model=City, max_retries=0, **given(upstream))
    assert city.model_dump() == CITY
    assert upstream.asked == (1, 2)
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == upstream.tokens


def test_the_example_runs_as_it_is(upstream):
    upstream.play(call_of("City", **CITY))
    assert "Oslo: 709037" in upstream.run_example("instructor_structured")
    assert upstream.asked == (1, 1)
