"""Fields' docstrings as descriptions in a model's JSON Schema, read from the source when a schema is made.

pydantic's own `use_attribute_docstrings` reads the source when the class is made. To find it, `inspect` looks at every
module that is loaded, and LiteLLM loads thousands: half of all that registering this library would take.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from typing import Any

from pydantic import BaseModel


def describe_fields(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Put the texts that stand right below a model's fields into its schema: a model's `json_schema_extra`."""
    properties = schema.get("properties", {})
    for kind in model.__mro__:
        if issubclass(kind, BaseModel) and kind is not BaseModel:
            for name, text in _attribute_docstrings(kind).items():
                if name in properties:
                    properties[name].setdefault("description", text)


def _attribute_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The texts below the fields of one class; none where its source is not there."""
    try:
        source = textwrap.dedent(inspect.getsource(model))
    except OSError:
        return {}
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.ClassDef)
    docstrings = {}
    for field, below in itertools.pairwise(body.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                docstrings[name] = inspect.cleandoc(text)
            case _:
                pass
    return docstrings
