"""Whom a client's kept deliberations and answers belong to: everything that LiteLLM knows of who asks."""

from __future__ import annotations

import json

from composite_llm.backend import compat
from composite_llm.proxy.request import ProxyRequest

_PERSON = ("token", "api_key", "user_id", "agent_id", "jwt_claims")
"""One of these tells callers apart. A team and an organisation have many, and an end user is what a request claims."""

_BESIDES = ("user_email", "team_id", "org_id", "project_id", "end_user_id")


def owner_of(request: ProxyRequest) -> str:
    """A text that two requests share only if the same caller made both.

    A proxy without any authentication has one caller. Where a proxy that has one does not know who asks, a request
    shares with itself alone, so that LiteLLM's own repetitions find what was paid for.
    """
    known = {name: value for name in (*_PERSON, *_BESIDES) if (value := getattr(request.key, name, None))}
    if not known.keys() & set(_PERSON):
        return request.id if authenticates() else "anybody"
    return json.dumps(known, sort_keys=True, default=str)


def authenticates() -> bool:
    """Whether this proxy knows who asks: then every request has a record of its key."""
    if any(name.is_missing() for name in (compat.GENERAL_SETTINGS, compat.MASTER_KEY, compat.CUSTOM_AUTH)):
        return True
    settings = compat.GENERAL_SETTINGS.get() or {}
    ways = [name.get() for name in (compat.MASTER_KEY, compat.CUSTOM_AUTH)]
    ways += [settings.get(name) for name in ("enable_jwt_auth", "enable_oauth2_auth", "enable_oauth2_proxy_auth")]
    return any(way not in (None, False) for way in ways)
