from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.backend.interface import Choice, Reply
from composite_llm.engine.output_checks import OutputCheck, schema_problem
from composite_llm.engine.schemas import MAX_PATTERN_TEXT, Unfinished, first_error, in_bounds
from composite_llm.model.errors import InvalidOption
from composite_llm.model.schema_bounds import MAX_VALUES, check_bounds, check_schemas
from composite_llm.model.sendable import check_sendable

T = TypeVar("T")

EVIL = "^(a+)+$"
TEXT = "a" * 60 + "!"


def doubling(depth: int, keyword: str = "allOf", **last: Any) -> dict[str, Any]:
    """A schema whose reference leads to two, each of which leads to two, and so on."""
    parts: dict[str, Any] = {"d0": last or {"type": "object"}}
    for number in range(1, depth + 1):
        parts[f"d{number}"] = {keyword: [{"$ref": f"#/$defs/d{number - 1}"}] * 2}
    return {"$defs": parts, "$ref": f"#/$defs/d{depth}"}


def within(depth: int, schema: Any) -> dict[str, Any]:
    return {"$defs": {f"d{n}": schema(n) for n in range(1, depth)} | {"d0": {}}, "$ref": f"#/$defs/d{depth - 1}"}


def bounded(check: Callable[[], T], **more: int) -> T:
    """`in_bounds` on a loop in real time: a thread computes."""
    return asyncio.run(in_bounds(check, **more))


def nested(depth: int, inside: Any = 1) -> Any:
    for _ in range(depth):
        inside = {"a": inside}
    return inside


# --- before anything is asked --------------------------------------------------------------------------------------

REFUSED: dict[str, dict[str, Any]] = {
    "references that double 17 deep": doubling(17),
    "references that double 40 deep": doubling(40),
    "the same with anyOf": doubling(40, "anyOf"),
    "the same with oneOf": doubling(40, "oneOf"),
    "references that triple": within(12, lambda n: {"allOf": [{"$ref": f"#/$defs/d{n - 1}"}] * 3}),
    "by names": within(
        30, lambda n: {"$anchor": f"a{n}", "allOf": [{"$ref": f"#a{n - 1}" if n > 1 else "#/$defs/d0"}] * 2}
    )
    | {"$ref": "#a29"},
    "by dynamic names": within(
        30, lambda n: {"$dynamicAnchor": f"a{n}", "allOf": [{"$dynamicRef": f"#a{n - 1}"} if n > 1 else {}] * 2}
    )
    | {"$ref": "#/$defs/d29"},
    "by ids": within(30, lambda n: {"$id": f"a{n}", "allOf": [{"$ref": f"a{n - 1}"} if n > 1 else {}] * 2})
    | {"$ref": "a29"},
    "in conditions": within(30, lambda n: {"if": {"$ref": f"#/$defs/d{n - 1}"}, "then": {"$ref": f"#/$defs/d{n - 1}"}}),
    "in dependencies": within(
        30, lambda n: {"dependentSchemas": {"a": {"$ref": f"#/$defs/d{n - 1}"}, "b": {"$ref": f"#/$defs/d{n - 1}"}}}
    ),
    "in properties": within(
        20, lambda n: {"properties": {"a": {"$ref": f"#/$defs/d{n - 1}"}, "b": {"$ref": f"#/$defs/d{n - 1}"}}}
    ),
    "a reference to itself": {"$ref": "#"},
    "two that refer to one another": {
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}},
        "properties": {"x": {"$ref": "#/$defs/a"}},
    },
    "a chain of thousands": within(5000, lambda n: {"$ref": f"#/$defs/d{n - 1}"}),
    "more values than anybody writes": {"enum": list(range(MAX_VALUES))},
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_schema_that_would_never_be_done_with_is_refused_by_its_place(name: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        check_bounds("tools.0.function.parameters", REFUSED[name])
    assert str(caught.value).startswith("tools.0.function.parameters: ")
    assert caught.value.status_code == 400


TAKEN: dict[str, dict[str, Any]] = {
    "none": {},
    "a tree": {"$defs": {"n": {"properties": {"inner": {"items": {"$ref": "#/$defs/n"}}}}}, "$ref": "#/$defs/n"},
    "a root that holds itself": {"properties": {"inner": {"$ref": "#"}}},
    "a dynamic tree": {"$dynamicAnchor": "n", "properties": {"inner": {"items": {"$dynamicRef": "#n"}}}},
    "one definition used a thousand times": {
        "$defs": {"a": {"type": "string"}},
        "properties": {f"p{number}": {"$ref": "#/$defs/a"} for number in range(1000)},
    },
    "a union of two hundred": {
        "$defs": {f"v{number}": {"properties": {"kind": {"const": number}}} for number in range(200)},
        "anyOf": [{"$ref": f"#/$defs/v{number}"} for number in range(200)],
    },
    "another document's": {"$ref": "https://a.example/b.json"},
    "another document's part": {"$ref": "https://a.example/b.json#/x"},
    "one that leads nowhere": {"$ref": "#/$defs/missing"},
    "names that look like references": {"properties": {"$ref": {"type": "string"}}, "enum": [{"$ref": "#"}]},
    "odd values": {"$ref": 5, "allOf": "x", "not": 3, "properties": [], "items": True},
}


@pytest.mark.parametrize("name", TAKEN)
def test_schemas_that_people_write_are_taken(name: str) -> None:
    check_bounds("schema", TAKEN[name])


@pytest.mark.parametrize(
    ("params", "key"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": doubling(40)}}]}, "tools.0.function"),
        ({"tools": [{"name": "f", "input_schema": doubling(40)}]}, "tools.0.input_schema"),
        ({"functions": [{"name": "f", "parameters": doubling(40)}]}, "functions.0.parameters"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": doubling(40)}}},
            "response_format.json_schema.schema",
        ),
        (
            {"response_format": {"type": "json_object", "response_schema": doubling(40)}},
            "response_format.response_schema",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_is_looked_for_wherever_a_schema_may_stand(params: dict[str, Any], key: str) -> None:
    with pytest.raises(InvalidOption, match=key):
        check_sendable([{"role": "user", "content": "a"}], params)


def test_a_large_one_is_left_for_a_thread_and_refused_there() -> None:
    many = {"properties": {f"p{number}": {"type": "string"} for number in range(5000)}, **doubling(40)}
    params = {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": many}}}
    check_sendable([{"role": "user", "content": "a"}], params)
    with pytest.raises(InvalidOption, match="multiply"):
        check_schemas(params)


# --- after the answer ----------------------------------------------------------------------------------------------

FALSE_MANY = {"anyOf": [False] * 4000}
HEAVY: dict[str, tuple[Mapping[str, Any], Any]] = {
    "references that double": (doubling(17), {"a": 1}),
    "references that double and fail": (doubling(40, "anyOf", type="string"), {"a": 1}),
    "a reference that doubles with each level": ({"properties": {"a": {"allOf": [{"$ref": "#"}] * 2}}}, nested(40)),
    "the same by name": (
        {"$dynamicAnchor": "n", "properties": {"a": {"allOf": [{"$dynamicRef": "#n"}] * 2}}},
        nested(40),
    ),
    "names in a large schema": (
        {
            "$defs": {"t": {"$anchor": "t"}, **{f"x{n}": {"type": "string"} for n in range(4000)}},
            "items": {"$ref": "#t"},
        },
        [1] * 3000,
    ),
    "patterns for names": (
        {"patternProperties": {f"^a{number}(b+)+$": {} for number in range(300)}},
        {f"{TEXT}{number}": 1 for number in range(3000)},
    ),
    "patterns for the rest": (
        {"patternProperties": {f"^a{number}(b+)+$": {} for number in range(300)}, "additionalProperties": False},
        {f"{TEXT}{number}": 1 for number in range(3000)},
    ),
    "a long enum for many": ({"items": {"enum": [{"a": n} for n in range(5000)]}}, [{"a": -1}] * 3000),
    "a long constant for many": ({"items": {"const": list(range(20_000))}}, [[*range(19_999), -1]] * 2000),
    "many kinds of a long text": ({"anyOf": [{"type": "integer"}] * 4000}, "x" * 1_000_000),
    "nothing for a long text": (FALSE_MANY, "x" * 1_000_000),
    "items in items in items": ({"contains": {"contains": {"contains": {"const": 1}}}}, [[[0] * 60] * 60] * 60),
    "names that all are missing": ({"items": {"required": [f"x{n}" for n in range(3000)]}}, [{}] * 2000),
}


@pytest.mark.parametrize("name", HEAVY)
def test_what_would_take_for_ever_is_given_up(name: str) -> None:
    schema, value = HEAVY[name]
    with pytest.raises(Unfinished):
        bounded(lambda: first_error(value, schema))
    assert schema_problem(value, schema) is None


QUICK: dict[str, tuple[Mapping[str, Any], Any, str | None]] = {
    "a pattern": ({"properties": {"a": {"pattern": EVIL}}}, {"a": TEXT}, "$.a breaks 'pattern'"),
    "one that fits": ({"properties": {"a": {"pattern": EVIL}}}, {"a": "aaaa"}, None),
    "in an old draft": (
        {"$schema": "http://json-schema.org/draft-04/schema#", "properties": {"a": {"pattern": EVIL}}},
        {"a": TEXT},
        "$.a breaks 'pattern'",
    ),
    "in a part of another draft": (
        {"properties": {"a": {"$schema": "http://json-schema.org/draft-07/schema#", "pattern": EVIL}}},
        {"a": TEXT},
        "$.a breaks 'pattern'",
    ),
    "for names": ({"propertyNames": {"pattern": EVIL}}, {TEXT: 1}, "$ breaks 'pattern'"),
    "for values by name": ({"patternProperties": {EVIL: {"type": "string"}}}, {TEXT: 1}, None),
    "for values by name that fits": (
        {"patternProperties": {EVIL: {"type": "string"}}},
        {"aaa": 1},
        "$.* must be of type string",
    ),
    "for the rest": (
        {"patternProperties": {EVIL: {}}, "additionalProperties": False},
        {TEXT: 1},
        "$ there is a property that is not allowed",
    ),
    "for a rest with rules": (
        {"patternProperties": {"^b": {}}, "additionalProperties": {"type": "string"}},
        {"b": 1, "c": 1},
        "$.* must be of type string",
    ),
    "beside what is not evaluated": (
        {"patternProperties": {EVIL: {}}, "unevaluatedProperties": False},
        {TEXT: 1},
        None,
    ),
    "that looks ahead": ({"pattern": r"^(?=(a+)+$)b"}, TEXT, "$ breaks 'pattern'"),
    "that looks back": ({"pattern": r"^((a+)+)\1$"}, TEXT, "$ breaks 'pattern'"),
    "of a password": ({"pattern": r"^(?=.*\d)(?=.*[a-z]).{8,}$"}, "abcdefg1", None),
    "of letters of any script": ({"pattern": r"^\p{L}+$"}, "Ålesund", None),
    "that is none": ({"pattern": "("}, TEXT, None),
    "that is too large": ({"pattern": "((a{1000}){1000}){1000}"}, TEXT, None),
    "for a text that is too long": ({"pattern": "^b$"}, "a" * (MAX_PATTERN_TEXT + 1), None),
    "twenty thousand different objects": ({"uniqueItems": True}, [{"i": n} for n in range(20_000)], None),
    "twenty thousand numbers that meet in a table": (
        {"uniqueItems": True},
        [n * (2**61 - 1) for n in range(20_000)],
        None,
    ),
    "two alike": ({"uniqueItems": True}, [{"a": 1, "b": [2]}, {"b": [2.0], "a": 1}], "$ breaks 'uniqueItems'"),
    "true is not 1": ({"uniqueItems": True}, [1, True, "1", [1], {"1": 1}, 0, False, None], None),
    "unique names of the same value": ({"uniqueItems": False}, [1, 1], None),
    "a deep answer": ({"properties": {"a": {"$ref": "#"}}}, nested(5000), None),
    "a deep answer whose members are all judged": ({"unevaluatedProperties": {"$ref": "#"}}, nested(900), None),
    "a reference to itself": ({"$ref": "#"}, 1, None),
    "a denial of itself": ({"not": {"$ref": "#"}}, 1, None),
    "a reference to elsewhere": ({"$ref": "https://a.example/b.json"}, 1, None),
}


@pytest.mark.parametrize("name", QUICK)
def test_what_looks_heavy_is_decided_at_once(name: str) -> None:
    schema, value, problem = QUICK[name]
    assert bounded(lambda: schema_problem(value, schema)) == problem


_KEYS = st.sampled_from(["a", "b", "ab", "c"])
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.sampled_from([0.5, 1.0])
    | st.sampled_from(["", "a", "ab", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=6,
)
_TYPES = st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null"])
_PATTERNS = st.sampled_from(["a", "^a", "b$", "^(a|b)+$", "[bc]"])


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {},
        optional={
            "type": _TYPES,
            "properties": st.dictionaries(_KEYS, inner, max_size=2),
            "patternProperties": st.dictionaries(_PATTERNS, inner, max_size=2),
            "additionalProperties": st.booleans() | inner,
            "required": st.lists(_KEYS, max_size=2, unique=True),
            "items": inner,
            "uniqueItems": st.booleans(),
            "contains": inner,
            "enum": st.lists(_VALUES, min_size=1, max_size=3),
            "const": _VALUES,
            "pattern": _PATTERNS,
            "minLength": st.integers(0, 2),
            "maxItems": st.integers(0, 2),
            "minimum": st.integers(-1, 2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
            "if": inner,
            "then": inner,
            "propertyNames": inner,
        },
    )


@given(schema=_schemas(st.booleans() | _schemas(st.booleans() | _schemas(st.booleans()))), value=_VALUES)
def test_the_verdict_is_the_librarys_own(schema: Any, value: Any) -> None:
    found = first_error(value, schema)
    theirs = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(value))
    assert (found is None) == (theirs is None)
    if found is not None and theirs is not None and theirs.validator is not None:
        assert (found.validator, list(found.absolute_path)) == (theirs.validator, list(theirs.absolute_path))


# --- where it is done ----------------------------------------------------------------------------------------------


def test_what_is_long_is_done_on_a_thread_and_what_is_short_at_once() -> None:
    threads: list[int] = []

    def check(value: Any) -> None:
        threads.append(threading.get_ident())
        assert first_error(value, {"items": {"type": "integer"}}) is None

    bounded(lambda: check([1] * 10))
    bounded(lambda: check([1] * 10_000))
    bounded(lambda: check([1]), characters=1_000_000)
    here = threading.get_ident()
    assert [thread == here for thread in threads] == [True, True, False, False]


def test_the_loop_goes_on_meanwhile() -> None:
    schema, value = HEAVY["a reference that doubles with each level"]

    async def turns_meanwhile() -> int:
        turns = 0
        checking = asyncio.ensure_future(in_bounds(lambda: first_error(value, schema)))
        while not checking.done():
            turns += 1
            await asyncio.sleep(0.001)
        assert isinstance(checking.exception(), Unfinished)
        return turns

    assert asyncio.run(turns_meanwhile()) > 3


def _reply(value: Any) -> Reply:
    return Reply((Choice(0, {"role": "assistant", "content": json.dumps(value)}, "stop"),))


def test_all_choices_of_a_reply_share_what_is_allowed() -> None:
    schema = {"items": {"type": "integer"}}
    check = OutputCheck({"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}})
    one = _reply([1] * 20_000)
    assert bounded(lambda: check.problem(one)) is None
    many = Reply(one.choices * 10)
    with pytest.raises(Unfinished):
        bounded(lambda: check.problem(many))
