"""What is asked of a `litellm.Router`, whichever of its two interfaces it has.

LiteLLM 1.109 answers through `registry()` and warns of the attributes that older versions have instead.
"""

from __future__ import annotations

from typing import Any


def public_names(router: Any) -> frozenset[str]:
    """The model names that the router answers for, aliases included."""
    registry = getattr(router, "registry", None)
    if registry is not None:
        return frozenset({*registry().names(kind="group_set"), *(registry().aliases() or ())})
    return frozenset({*router.model_names, *(router.model_group_alias or ())})


def knows(router: Any, model: str) -> bool:
    """Whether the router answers for this name."""
    registry = getattr(router, "registry", None)
    if registry is not None:
        return model in registry().names(kind="group_set") or model in (registry().aliases() or ())
    return model in router.model_names or model in (router.model_group_alias or {})


def deployment(router: Any, model_id: str) -> Any:
    """The deployment of that id; None if there is none."""
    registry = getattr(router, "registry", None)
    return registry().deployment(model_id) if registry is not None else router.get_deployment(model_id)
