from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, field_validator

from composite_llm.backend.interface import Choice, Reply
from composite_llm.engine.output_checks import OutputCheck, format_problem, repair_note, schema_problem

CITY = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "size": {"enum": ["small", "large"]},
        "people": {"type": "array", "items": {"$ref": "#/$defs/person"}},
    },
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"person": {"type": "object", "properties": {"age": {"type": "integer"}}}},
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY}}


class City(BaseModel):
    name: str
    age: int = 0

    @field_validator("name")
    @classmethod
    def _capital(cls, name: str) -> str:
        if not name.istitle():
            raise ValueError(f"{name} is not written like a name")
        return name


def reply(content: Any = None, finish_reason: str = "stop", **message: Any) -> Reply:
    return Reply((Choice(0, {"role": "assistant", "content": content, **message}, finish_reason),))


def calling(name: str, arguments: Any) -> Reply:
    call = {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}
    return reply(tool_calls=[call], finish_reason="tool_calls")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"name": "Oslo"}', None),
        (' {"name": "Oslo", "size": "small", "people": [{"age": 3}]}\n', None),
        ("Oslo", "the answer is not valid JSON"),
        ("", "the answer is not valid JSON"),
        ('```json\n{"name": "Oslo"}\n```', "the answer is not valid JSON"),
        ('{"name": "Oslo"', "the answer is not valid JSON"),
        ("[" * 100_000, "the answer is not valid JSON"),
        ("{}", "$ a required property is missing: name"),
        ('{"name": 5}', "$.name must be of type string"),
        ('{"name": "Oslo", "size": "SECRET"}', "$.size is not one of the allowed values"),
        ('{"name": "Oslo", "SECRET": 1}', "$ there is a property that is not allowed"),
        ('{"name": "Oslo", "people": [{}, {"age": "SECRET"}]}', "$.people[1].age must be of type integer"),
        ('["SECRET"]', "$ must be of type object"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_answer_is_held_against_its_schema_and_the_reason_does_not_quote_it(text: str, problem: str | None) -> None:
    assert OutputCheck({"response_format": FORMAT}).problem(reply(text)) == problem


def test_a_property_that_the_answer_made_up_is_not_named_in_the_reason() -> None:
    problem = schema_problem({"my SECRET": {"x": 1}}, {"additionalProperties": {"type": "integer"}})
    assert problem == "$.* must be of type integer"


@pytest.mark.parametrize(
    ("text", "problem"),
    [("{}", None), ("[]", "the answer is not a JSON object"), ("5", "the answer is not a JSON object"), ("x", "the answer is not valid JSON")],
)  # fmt: skip
def test_json_object_asks_for_any_object(text: str, problem: str | None) -> None:
    assert format_problem(text, {"type": "json_object"}) == problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"name": "Oslo"}', None),
        ('{"name": "SECRET"}', "name breaks 'value_error' of City"),
        ('{"name": "Oslo", "age": "SECRET"}', "age breaks 'int_parsing' of City"),
        ("{}", "name breaks 'missing' of City"),
        ("SECRET", "$ breaks 'json_invalid' of City"),
    ],
)
def test_a_pydantic_class_checks_by_its_own_rules(text: str, problem: str | None) -> None:
    assert OutputCheck({"response_format": City}).problem(reply(text)) == problem


@pytest.mark.parametrize(
    "response_format",
    [None, {"type": "text"}, {"type": "grammar"}, {}, "json", {"type": "json_schema"}, {"type": "json_schema", "json_schema": {"schema": 5}}],
    ids=str,
)  # fmt: skip
def test_a_format_that_cannot_be_checked_is_not(response_format: Any) -> None:
    assert OutputCheck({"response_format": response_format}).problem(reply('"anything"')) is None


@pytest.mark.parametrize(
    "unfinished",
    [reply("{", "length"), reply(None, refusal="I will not."), reply("{", "content_filter")],
    ids=["cut off", "refused", "withheld"],
)
def test_an_answer_that_says_itself_that_it_is_none_is_not_checked(unfinished: Reply) -> None:
    assert OutputCheck({"response_format": FORMAT}).problem(unfinished) is None


def test_every_choice_is_checked() -> None:
    choices = tuple(Choice(at, {"role": "assistant", "content": text}, "stop") for at, text in enumerate(["{}", "x"]))
    assert (
        OutputCheck({"response_format": {"type": "json_object"}}).problem(Reply(choices))
        == "the answer is not valid JSON"
    )


# Schemas as they are met in the wild; a check that fails must not fail the run.
@pytest.mark.parametrize(
    "schema",
    [
        {"type": "any"},
        {"type": 5},
        {"type": "string", "pattern": "\\p{L}("},
        {"multipleOf": 0},
        {"$ref": "#/nowhere"},
        {"$ref": "https://example.org/schema.json"},
        {"properties": 5},
        {"required": 5},
        {"anyOf": 5},
        {"$schema": "https://example.org/no-such-draft"},
    ],
    ids=str,
)
@pytest.mark.parametrize("value", ["x", 3, {}, [1]], ids=str)
def test_a_broken_schema_is_the_providers_to_refuse(schema: dict[str, Any], value: Any) -> None:
    if schema.get("type") == "string" and value != "x":
        assert schema_problem(value, schema) == "$ must be of type string"
    else:
        assert schema_problem(value, schema) is None


def test_a_reference_to_elsewhere_is_never_fetched() -> None:
    """The schema may be a client's, and the address one that only the server can reach."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/schema.json"
        assert schema_problem({}, {"$ref": url}) is None
        with pytest.raises(TimeoutError):
            listening.accept()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_schema_and_any_value_give_a_verdict(thing: Any) -> None:
    schema = thing if isinstance(thing, dict) else {"enum": [thing], "properties": {"a": thing}}
    for value in (thing, json.dumps(thing), 1):
        found = schema_problem(value, schema)
        assert found is None or found.startswith("$")


TOOLS = [{"type": "function", "function": {"name": "look", "parameters": CITY}}]


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        (calling("look", '{"name": "Oslo"}'), None),
        (calling("look", ""), "tool call look: $ a required property is missing: name"),
        (calling("look", "{}"), "tool call look: $ a required property is missing: name"),
        (calling("look", "{"), "tool call look: the arguments are not valid JSON"),
        (calling("look", "[]"), "tool call look: the arguments are not a JSON object"),
        (calling("unknown", "{}"), None),
        (calling("unknown", "{"), "tool call unknown: the arguments are not valid JSON"),
        (reply(function_call={"name": "look", "arguments": "{}"}), "tool call look: $ a required property is missing: name"),
    ],
    ids=["fine", "none", "empty", "malformed", "list", "unknown tool", "unknown and malformed", "older form"],
)  # fmt: skip
@pytest.mark.parametrize("older", [False, True], ids=["tools", "functions"])
def test_a_tools_arguments_are_held_against_its_schema(asked: Reply, problem: str | None, older: bool) -> None:
    params: dict[str, Any] = {"functions": [TOOLS[0]["function"]]} if older else {"tools": TOOLS}
    assert OutputCheck(params).problem(asked) == problem


def test_beside_a_tool_call_the_text_is_not_held_against_the_format() -> None:
    assert OutputCheck({"response_format": FORMAT, "tools": TOOLS}).problem(calling("look", '{"name": "x"}')) is None


@pytest.mark.parametrize(
    "tools", [[5], [{}], [{"type": "web_search"}], [{"function": {"parameters": {}}}], None], ids=str
)
def test_odd_tools_are_left_alone(tools: Any) -> None:
    assert OutputCheck({"tools": tools}).problem(calling("look", "{}")) is None


def test_the_repair_shows_the_model_its_own_words_and_what_was_wrong() -> None:
    said, note = repair_note("it is no JSON", reply("Oslo"))
    assert said == {"role": "assistant", "content": "Oslo"}
    assert "it is no JSON" in note["content"]
    said, note = repair_note("it breaks", calling("look", "{}"))
    assert said["content"] == "[called look with {}]"
    assert "tool call again" in note["content"]
    assert repair_note("x", reply(None))[0]["content"] == "(nothing)"
