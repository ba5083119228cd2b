"""The keys of a test's proxy, read from `keys.json` beside the configuration: what LiteLLM keeps in Postgres.

The proxy executes this file by its path. All that follows on a key, allowlists and budgets, is LiteLLM's own; the check
of a key's budget, which LiteLLM makes for keys of its database alone, is called here.
"""

from __future__ import annotations

import json
from pathlib import Path

from fastapi import Request
from litellm.proxy._types import LiteLLM_UserTable, ProxyException, UserAPIKeyAuth, hash_token
from litellm.proxy.auth.auth_checks import _virtual_key_max_budget_check


async def user_api_key_auth(request: Request, api_key: str) -> UserAPIKeyAuth:
    """The key with its settings.

    Raises:
        ProxyException: There is no such key.
    """
    from litellm.proxy.proxy_server import proxy_logging_obj, user_api_key_cache

    known = json.loads((Path(__file__).parent / "keys.json").read_text(encoding="utf-8"))
    if api_key not in known:
        raise ProxyException(message="no such key", type="auth_error", param="key", code=401)
    settings = dict(known[api_key])
    user_models = settings.pop("user_models", None)
    if user_models is not None:
        user = LiteLLM_UserTable(user_id=settings["user_id"], models=user_models, max_budget=None, user_email=None)
        await user_api_key_cache.async_set_cache(key=settings["user_id"], value=user.model_dump())
    if settings.pop("keyless", False):
        # As an authentication does that knows users and no keys.
        return UserAPIKeyAuth(**settings)
    key = UserAPIKeyAuth(api_key=api_key, token=hash_token(api_key), **settings)
    await _virtual_key_max_budget_check(valid_token=key, proxy_logging_obj=proxy_logging_obj)
    return key
