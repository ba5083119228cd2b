"""On the proxy a client is not the operator: what a client may set, and how far."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from composite_llm.config.checking import shown
from composite_llm.config.parameters import CONNECTION
from composite_llm.config.registry import ALL_OPTIONS, STRATEGIES
from composite_llm.model.errors import OptionNotAllowed

FREE: frozenset[str] = frozenset({"seed"})
"""A client sets them as it likes."""

UP_TO: Mapping[str, tuple[str, ...]] = {
    "reasoning": ("off", "summary", "full"),
    "deliberate": ("never", "auto", "always"),
}
"""A client sets them up to the operator's own value, where there is one; least first."""

LOWER_ONLY: frozenset[str] = frozenset({"max_cost_usd", "max_calls", "timeout", "max_tool_rounds", "samples", "layers"})
"""A client may go below the operator's value, never above it."""

NEVER: frozenset[str] = CONNECTION | {
    "base_url",
    "custom_llm_provider",
    "deployment_id",
    "model_list",
    "tool_executor",
    "max_cost_usd_per_day",
    "max_cost_usd_per_month",
}
"""No `client_may_set` opens these: they would lead a request, or the operator's key, somewhere else, or lift a budget
that all clients share.
"""

MAX_CLIENT_NODES = 32
MAX_CLIENT_CHARACTERS = 10_000
"""How long a text may be that a client gives for an option."""

_ENDS_AWAY = re.compile(
    r"(^|_)(api_?base|base_?url|url|uri|host|hostname|endpoint|endpoint_url|deployment_url"
    r"|token|secret|credentials?|credential_name|password|api_?key"
    r"|access_key|access_key_id|proxy|proxies|region_name|arn|role_name|profile_name|project_id|account_id|tenant_id"
    r"|space_id|model_id|bucket_name)$",
    re.IGNORECASE,
)
_BEGINS_AWAY = re.compile(
    r"(aws|azure|vertex|vertex_ai|watsonx|wx|oci|s3|gcs|sagemaker|snowflake|databricks)_", re.IGNORECASE
)
"""Parameters of providers that name an endpoint, an account or a credential, as `aws_bedrock_runtime_endpoint`."""

_UNACCOUNTED: frozenset[str] = frozenset({"no-log", "no_log"})
"""LiteLLM would neither report nor charge the run."""

_SHOWN_OF_A_KEY = 40


def check_closed(sent: Iterable[tuple[str, Any]]) -> None:
    """Refuse what no operator can open.

    Args:
        sent: What the client sent, from wherever it stood.

    Raises:
        OptionNotAllowed: names the first.
    """
    for key, value in sent:
        if value is not None and is_closed(key):
            raise OptionNotAllowed(f"{key_shown(key)}: a client of the proxy may not set it")


def check_client(sent: Iterable[tuple[str, Any]], operator: Mapping[str, Any], may_set: Iterable[str]) -> None:
    """Refuse what a client may not set.

    Args:
        sent: What the client sent, options and parameters, from wherever it stood; a key may be there more than once.
        operator: The operator's own values of the options that have a limit; None or absent for no limit.
        may_set: Options that the operator allows by name.

    Raises:
        OptionNotAllowed: names the first option that is not the client's to set.
    """
    allowed = (FREE | frozenset(may_set)) - NEVER
    for key, value in sent:
        if value is None:
            continue
        check_closed([(key, value)])
        if key in allowed:
            _check_value(key, value)
        elif key in UP_TO:
            _check_up_to(key, value, operator.get(key))
        elif key in LOWER_ONLY:
            _check_lower(key, value, operator.get(key))
        elif key in ALL_OPTIONS:
            raise OptionNotAllowed(f"{key}: a client of the proxy may not set it; the operator can allow it by name")


def is_closed(key: str) -> bool:
    """Whether no operator can open it: it would lead elsewhere, lift a budget of all, or leave the books."""
    if key in NEVER or key in _UNACCOUNTED:
        return True
    return _BEGINS_AWAY.match(key) is not None or _ENDS_AWAY.search(key[-_SHOWN_OF_A_KEY:]) is not None


def key_shown(key: str) -> str:
    """A client's key in an error: short, and without line breaks."""
    return repr(key[-_SHOWN_OF_A_KEY:])[1:-1]


def _check_lower(key: str, value: Any, limit: Any) -> None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise OptionNotAllowed(f"{key}: got {shown(key, value)}; a client may only lower it, to a number") from None
    if not math.isfinite(number):
        raise OptionNotAllowed(f"{key}: got {number:g}; a client may only lower it, to a number")
    if limit is not None and number > float(limit):
        raise OptionNotAllowed(f"{key}: got {number:g}; a client may only lower it, below the operator's {limit:g}")


def _check_up_to(key: str, value: Any, limit: Any) -> None:
    steps = UP_TO[key]
    if limit not in steps:
        return _check_value(key, value)
    allowed = steps[: steps.index(limit) + 1]
    if value not in allowed:
        raise OptionNotAllowed(f"{key}: got {shown(key, value)}; here a client may set {' or '.join(allowed)}")
    return None


def _check_value(key: str, value: Any) -> None:
    form = STRATEGIES.node_options().get(key)
    if form == "list" and (
        not isinstance(value, list) or len(value) > MAX_CLIENT_NODES or not all(isinstance(node, str) for node in value)
    ):
        raise OptionNotAllowed(f"{key}: a client may give at most {MAX_CLIENT_NODES} plain names of the proxy's models")
    # A strategy may take a node or a switch: a switch names no model.
    if form == "one" and not isinstance(value, str | bool):
        raise OptionNotAllowed(f"{key}: a client may give a plain name of one of the proxy's models")
    if key in ("samples", "layers"):
        _check_lower(key, value, MAX_CLIENT_NODES)
    if isinstance(value, str) and len(value) > MAX_CLIENT_CHARACTERS:
        raise OptionNotAllowed(f"{key}: longer than the {MAX_CLIENT_CHARACTERS} characters that a client may give")
