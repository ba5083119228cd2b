"""On the proxy a client is not the operator: what a client may set, and how far."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from composite_llm.config.checking import shown
from composite_llm.config.options import ALL_OPTIONS
from composite_llm.config.parameters import CONNECTION
from composite_llm.errors import OptionNotAllowed

FREE: frozenset[str] = frozenset({"reasoning", "seed"})
"""A client sets them as it likes."""

LOWER_ONLY: frozenset[str] = frozenset({"max_cost_usd", "max_calls", "timeout", "max_tool_rounds", "samples", "layers"})
"""A client may go below the operator's value, never above it."""

NEVER: frozenset[str] = CONNECTION | {
    "base_url",
    "custom_llm_provider",
    "tool_executor",
    "max_cost_usd_per_day",
    "max_cost_usd_per_month",
}
"""No `client_may_set` opens these: they would lead a request, or the operator's key, somewhere else, or lift a budget
that all clients share.
"""

NODES: frozenset[str] = frozenset({"proposers", "members", "reviewers"})
"""Options whose nodes, where a client may set them, are plain names of the proxy's own models."""

FINAL: frozenset[str] = frozenset({"aggregator", "chairman"})
"""Options that name the final model; from a client a plain name as well."""

MAX_CLIENT_NODES = 32
MAX_CLIENT_CHARACTERS = 10_000
"""How long a text may be that a client gives for an option."""

_LEADS_AWAY = re.compile(
    r"(^|_)(api_?base|base_?url|endpoint|endpoint_url|token|secret|credentials?|credential_name|password|api_?key"
    r"|access_key|access_key_id|proxy|proxies)$",
    re.IGNORECASE,
)
"""Parameters of providers that name an endpoint or a credential, as `aws_bedrock_runtime_endpoint`."""

_UNACCOUNTED: frozenset[str] = frozenset({"no-log", "no_log"})
"""LiteLLM would neither report nor charge the run."""


def check_client(sent: Iterable[tuple[str, Any]], operator: Mapping[str, Any], may_set: Iterable[str]) -> None:
    """Refuse what a client may not set.

    Args:
        sent: What the client sent, options and parameters, from wherever it stood; a key may be there more than once.
        operator: The operator's own values of the options that may only be lowered; None or absent for no limit.
        may_set: Options that the operator allows by name.

    Raises:
        OptionNotAllowed: names the first option that is not the client's to set.
    """
    allowed = (FREE | frozenset(may_set)) - NEVER
    for key, value in sent:
        if value is None:
            continue
        if key in NEVER or key in _UNACCOUNTED or _LEADS_AWAY.search(key[-40:]):
            raise OptionNotAllowed(f"{key_shown(key)}: a client of the proxy may not set it")
        if key in allowed:
            _check_value(key, value)
        elif key in LOWER_ONLY:
            _check_lower(key, value, operator.get(key))
        elif key in ALL_OPTIONS:
            raise OptionNotAllowed(f"{key}: a client of the proxy may not set it; the operator can allow it by name")


def key_shown(key: str) -> str:
    """A client's key in an error: short, and without line breaks."""
    return repr(key[-40:])[1:-1]


def _check_lower(key: str, value: Any, limit: Any) -> None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise OptionNotAllowed(f"{key}: got {shown(key, value)}; a client may only lower it, to a number") from None
    # `not <=` so that a NaN is refused too.
    if limit is not None and not number <= float(limit):
        raise OptionNotAllowed(f"{key}: got {number:g}; a client may only lower it, below the operator's {limit:g}")


def _check_value(key: str, value: Any) -> None:
    if key in NODES and (
        not isinstance(value, list) or len(value) > MAX_CLIENT_NODES or not all(isinstance(node, str) for node in value)
    ):
        raise OptionNotAllowed(f"{key}: a client may give at most {MAX_CLIENT_NODES} plain names of the proxy's models")
    if key in FINAL and not isinstance(value, str):
        raise OptionNotAllowed(f"{key}: a client may give a plain name of one of the proxy's models")
    if key in ("samples", "layers"):
        _check_lower(key, value, MAX_CLIENT_NODES)
    if isinstance(value, str) and len(value) > MAX_CLIENT_CHARACTERS:
        raise OptionNotAllowed(f"{key}: longer than the {MAX_CLIENT_CHARACTERS} characters that a client may give")
