"""What a LiteLLM proxy's configuration file says of one of its composites, read without starting the proxy."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import litellm
import yaml

from composite_llm.config.nearest import nearest
from composite_llm.config.node import COMPOSITE_PREFIX
from composite_llm.config.options import ALL_OPTIONS
from composite_llm.errors import InvalidConfig
from composite_llm.provider.capabilities import model_info
from composite_llm.provider.registration import services, use_router

_UNSET = "not-set"


def deployment_info(path: Path, name: str) -> dict[str, Any]:
    """The `model_info` of the deployment `name`, whose nodes may be names of the same file's `model_list`.

    Makes a Router over that list the one whose names nodes may use; makes no call. The provider must be registered.

    Raises:
        InvalidConfig: The file cannot be read, or has no composite of that name.
        CompositeError: The deployment's options cannot be used.
    """
    deployments = _model_list(path)
    composites = {
        str(entry.get("model_name")): dict(entry.get("litellm_params") or {})
        for entry in deployments
        if str((entry.get("litellm_params") or {}).get("model")).startswith(COMPOSITE_PREFIX)
    }
    if name not in composites:
        known = ", ".join(nearest(name, composites, most=3)) or "none"
        raise InvalidConfig(f"{path}: model_list has no composite named {name!r}; it has {known}")
    params = composites[name]
    options = {key: value for key, value in params.items() if key in ALL_OPTIONS or key == "optional_params"}
    with _variables_set(deployments):
        use_router(litellm.Router(model_list=deployments))
    known_services = services()
    return model_info(params["model"], known_services.facts, known_services.profiles, options)


def _model_list(path: Path) -> list[dict[str, Any]]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidConfig(f"{path}: cannot be read ({type(error).__name__})") from None
    entries = found.get("model_list") if isinstance(found, Mapping) else None
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise InvalidConfig(f"{path}: model_list is no list of models; files that it includes are not read")
    return [dict(entry) for entry in entries]


@contextlib.contextmanager
def _variables_set(deployments: list[dict[str, Any]]) -> Iterator[None]:
    """Give the variables that the list names a value: a Router asks for keys that nobody will use here."""
    values = [value for entry in deployments for value in (entry.get("litellm_params") or {}).values()]
    names = {value.removeprefix("os.environ/") for value in values if str(value).startswith("os.environ/")}
    unset = [name for name in names if name not in os.environ]
    os.environ.update(dict.fromkeys(unset, _UNSET))
    try:
        yield
    finally:
        for name in unset:
            del os.environ[name]
