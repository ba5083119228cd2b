"""LiteLLM's model table, with a row for every composite model string that anybody asks for.

`get_model_info`, `supports_vision`, `get_max_tokens`, `trim_messages` and what frameworks build on them look a name up in
`litellm.model_cost`. A composite's name holds its model (`composite/moa/openai/gpt-4o`), so its row can be told, and there are
too many of them to write them all down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import litellm
from typing_extensions import override

from composite_llm.model.model_strings import is_composite_model

Row = dict[str, Any]
RowOf = Callable[[str], Row | None]


class OpenNames(dict[str, Any]):
    """The table's rows as they are; those of composites that it does not have are made when asked for.

    Rows that are made are not kept: what they follow may be registered anew at any time. Iterating shows kept rows only.
    """

    def __init__(self, rows: dict[str, Any], made: RowOf) -> None:
        super().__init__(rows)
        self.made = made

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or self._made(key) is not None

    def __missing__(self, key: str) -> Row:
        row = self._made(key)
        if row is None:
            raise KeyError(key)
        return row

    @override
    def get(self, key: str, default: Any = None) -> Any:
        row = super().get(key)
        if row is None:
            row = self._made(key)
        return default if row is None else row

    @override
    def setdefault(self, key: str, default: Any = None) -> Any:
        # `register_model` goes on from here: what a deployment names stands beside what its model can.
        made = None if super().__contains__(key) else self._made(key)
        return super().setdefault(key, default if made is None else made)

    def _made(self, key: object) -> Row | None:
        return self.made(key) if isinstance(key, str) and is_composite_model(key) else None


def install_open_names(made: RowOf) -> None:
    """Make `litellm.model_cost` know composites; again where LiteLLM has loaded another table since."""
    table = litellm.model_cost
    if isinstance(table, OpenNames):
        table.made = made
    else:
        litellm.model_cost = OpenNames(table, made)
