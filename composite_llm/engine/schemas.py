"""Values held against a JSON schema that a caller wrote: in so many steps, and with patterns that cannot go on for ever."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from composite_llm.engine.threads import in_daemon_thread
from composite_llm.model.schema_bounds import MAX_VALUES, count_values

if TYPE_CHECKING:
    import jsonschema_rs
    from jsonschema.exceptions import ValidationError
    from referencing import Registry

T = TypeVar("T")

FEW_STEPS = 2_000
FEW_CHARACTERS = 200_000
"""What an event loop may be held up for: some ten milliseconds."""

MANY_STEPS = 150_000
"""What a thread may take. An answer that needs more is not checked to its end."""

MAX_DEPTH = 150
"""Keywords within keywords, through references too. Each takes up to five frames; where Python's own limit ends it instead,
the references' library, which is compiled, does not raise but panics.
"""

MAX_PATTERN_TEXT = 20_000
"""Characters of a text that is held against a pattern; longer ones are not."""


class Unfinished(Exception):  # a signal within the engine
    """A check had more to do than it was allowed to."""


class _TooDeep(Exception):  # a signal within this file
    """Keywords stand within keywords beyond what can be followed."""


class _Allowance:
    def __init__(self, steps: int) -> None:
        self.left = steps
        self.depth = 0
        self.patterns: set[str] = set()
        self.schema_values = 0

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise Unfinished


_ALLOWANCE: ContextVar[_Allowance | None] = ContextVar("composite_llm_allowance", default=None)


@contextlib.contextmanager
def _allowed(steps: int) -> Iterator[None]:
    token = _ALLOWANCE.set(_Allowance(steps))
    try:
        yield
    finally:
        _ALLOWANCE.reset(token)


@contextlib.contextmanager
def _one_deeper() -> Iterator[None]:
    allowance = _ALLOWANCE.get()
    if allowance is None:
        yield
        return
    allowance.depth += 1
    try:
        if allowance.depth > MAX_DEPTH:
            raise _TooDeep
        yield
    finally:
        allowance.depth -= 1


def _spend(steps: int) -> None:
    allowance = _ALLOWANCE.get()
    if allowance is not None:
        allowance.spend(steps)


_ONE_AT_A_TIME = threading.Lock()
"""Two threads that compute would leave the event loop a third of the interpreter's time."""


async def in_bounds(check: Callable[[], T], *, characters: int = 0) -> T:
    """What `check` returns: at once where that takes few steps, else on a thread.

    Args:
        check: Holds values against schemas.
        characters: How much text it has to read first.

    Raises:
        Unfinished: It would take too many even there.
    """
    if characters <= FEW_CHARACTERS:
        with contextlib.suppress(Unfinished), _allowed(FEW_STEPS):
            return check()

    def at_length() -> T:
        with _ONE_AT_A_TIME, _allowed(MANY_STEPS):
            return check()

    found: T = await in_daemon_thread(at_length)
    return found


def first_error(value: Any, schema: Mapping[str, Any]) -> ValidationError | None:
    """The error that says most about why a value breaks a schema; None if it does not, or nobody can tell.

    Raises:
        Unfinished: Within `in_bounds`, where it takes too many steps.
    """
    # Loaded when there is first something to check: a quarter of what registering this library takes.
    import jsonschema

    if _ALLOWANCE.get() is None:
        with contextlib.suppress(Unfinished), _allowed(MANY_STEPS):
            return first_error(value, schema)
        return None
    error: ValidationError | None
    try:
        kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        # A registry of our own: the default one fetches a `$ref` to elsewhere, and the schema may be a client's.
        _note_size(schema)
        validator = _bounded(kind)(_prepared(schema), registry=_nothing_fetched())
        error = jsonschema.exceptions.best_match(validator.iter_errors(value))
    except Unfinished:
        raise
    except Exception:  # noqa: BLE001  # the provider takes or refuses the schema; ours is only a check
        return None
    return error


def _note_size(schema: Mapping[str, Any]) -> None:
    allowance = _ALLOWANCE.get()
    if allowance is not None:
        allowance.schema_values = count_values(schema, MAX_VALUES)


def _prepared(schema: Mapping[str, Any]) -> Any:
    """A copy in which every part is checked by the same, counted rules."""
    dropped = _UNEVALUATED if "patternProperties" in json.dumps(schema, default=str) else frozenset[str]()
    return _copied(schema, dropped)


_UNEVALUATED = frozenset({"unevaluatedProperties", "unevaluatedItems"})
"""For these the library holds names against patterns by itself."""

_NOTHING: Mapping[str, Any] = {"not": {}}


def _copied(schema: Any, dropped: frozenset[str]) -> Any:
    if isinstance(schema, list):
        return [_copied(inner, dropped) for inner in schema]
    if not isinstance(schema, Mapping):
        return schema
    copied = {
        key: _copied(inner, dropped)
        for key, inner in schema.items()
        # A part with a `$schema` of its own would be checked by the library's own rules.
        if key not in dropped and not (key == "$schema" and isinstance(inner, str))
    }
    for key in ("anyOf", "oneOf"):
        if isinstance(copied.get(key), list):
            # Of `false` the library makes errors without asking a rule.
            copied[key] = [_NOTHING if inner is False else inner for inner in copied[key]]
    return copied


@cache
def _nothing_fetched() -> Registry[Any]:
    from referencing import Registry

    return Registry()


Keyword = Callable[[Any, Any, Any, Any], Iterable[Any] | None]


@cache
def _bounded(kind: Any) -> Any:
    """A class of validators whose every keyword counts as a step."""
    from jsonschema.validators import extend

    own: dict[str, Keyword] = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
    }
    keywords = {**kind.VALIDATORS, **{name: rule for name, rule in own.items() if name in kind.VALIDATORS}}
    counted = {name: _counted(name, rule) for name, rule in keywords.items()}
    return extend(kind, counted)  # type: ignore[no-untyped-call]


def _counted(name: str, rule: Keyword) -> Keyword:
    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        with _one_deeper():
            _spend(_steps(name, value))
            for error in rule(validator, value, instance, schema) or ():
                # Its message holds the whole value.
                _spend(1 + len(error.message) // 100)
                yield error

    return counted


def _steps(name: str, value: Any) -> int:
    allowance = _ALLOWANCE.get()
    if name in ("$ref", "$dynamicRef", "$recursiveRef") and isinstance(value, str) and allowance is not None:
        # A name is looked for in the whole schema, each time.
        by_place = value.startswith("#/") or value == "#"
        return 5 if by_place else 5 + allowance.schema_values // 2
    return 1 + len(value) // 8 if isinstance(value, list | dict) else 1


def _is(validator: Any, kind: str, instance: Any) -> bool:
    return bool(validator.is_type(instance, kind))


def _error(message: str) -> ValidationError:
    from jsonschema.exceptions import ValidationError

    return ValidationError(message)


def _pattern(validator: Any, pattern: str, instance: Any, _: Any) -> Iterator[Any]:
    if _is(validator, "string", instance) and not _matches(pattern, instance):
        yield _error("does not match")


def _pattern_properties(validator: Any, patterns: Mapping[str, Any], instance: Any, _: Any) -> Iterator[Any]:
    if not _is(validator, "object", instance):
        return
    for pattern, inner in patterns.items():
        for name, value in instance.items():
            if _matches(pattern, name):
                yield from validator.descend(value, inner, path=name, schema_path=pattern)


def _additional_properties(validator: Any, inner: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if not _is(validator, "object", instance):
        return
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    extras = [
        name for name in instance if name not in named and not any(_matches(pattern, name) for pattern in patterns)
    ]
    if _is(validator, "object", inner):
        for name in extras:
            yield from validator.descend(instance[name], inner, path=name)
    elif not inner and extras:
        yield _error("there are more")


def _unique_items(validator: Any, wanted: Any, instance: Any, _: Any) -> Iterator[Any]:
    if not wanted or not _is(validator, "array", instance):
        return
    seen: set[str] = set()
    for item in instance:
        # As text, whose hashes Python salts; of numbers anybody can write some that meet.
        text = json.dumps(_comparable(item), sort_keys=True)
        if text in seen:
            yield _error("there are two of one")
            return
        seen.add(text)


def _comparable(value: Any) -> Any:
    """The value with one form for each number, as JSON compares them."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list | dict):
        _spend(1 + len(value) // 4)
        if isinstance(value, list):
            return [_comparable(item) for item in value]
        return {name: _comparable(item) for name, item in value.items()}
    return value


# --- patterns ------------------------------------------------------------------------------------------------------


def _matches(pattern: str, text: str) -> bool:
    """Whether a pattern is found in a text; true where nobody can tell within bounds."""
    import jsonschema_rs

    allowance = _ALLOWANCE.get()
    if allowance is not None and pattern not in allowance.patterns:
        allowance.patterns.add(pattern)
        allowance.spend(20 + len(pattern) // 20)
    compiled = _compiled(pattern)
    if compiled is None or len(text) > MAX_PATTERN_TEXT:
        return True
    _spend((_STEPS_OF_LOOKING_BACK if _LOOKS_BACK.search(pattern) else 1) + len(text) // 500)
    error = next(iter(compiled.iter_errors(text)), None)
    return error is None or not isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Pattern)


_LOOKS_BACK = re.compile(r"\(\?(?:[=!>]|<[=!])|\\[1-9k]")
_STEPS_OF_LOOKING_BACK = 500
"""Look-arounds and references to groups need backtracking, which is cut off."""


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> jsonschema_rs.Validator | None:
    """The pattern in the form of ECMA 262, as JSON Schema means it; None for one that is wrong, or too large."""
    import jsonschema_rs

    limits = jsonschema_rs.FancyRegexOptions(backtrack_limit=20_000, size_limit=200_000, dfa_size_limit=2_000_000)
    try:
        return jsonschema_rs.validator_for({"pattern": pattern}, pattern_options=limits)
    except Exception:  # noqa: BLE001  # the provider takes or refuses it
        return None
