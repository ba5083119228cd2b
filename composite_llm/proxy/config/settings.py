"""What a proxy's own settings do to composites."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from composite_llm.config.problems import Problem
from composite_llm.proxy.config.file import Listed, ProxyFile, Setting

HANDLER = "composite_llm.handler"
_PROVIDER = "composite"
_RETRIED = "each would repeat a whole deliberation, which retries its nodes itself; allowed: 0"


def settings_problems(file: ProxyFile) -> Iterator[Problem]:
    """Mistakes that concern all composites of a proxy."""
    yield from _handler_problems(file)
    for section in ("router_settings", "litellm_settings"):
        yield from _retries(file.section(section), f"{section}.")
    for entry in file.composites:
        yield from _retries(entry.params, "")
    if file.section("general_settings").value.get("background_health_checks") is True:
        yield from _probes(file.composites)


def settings_notes(file: ProxyFile) -> Iterator[Problem]:
    """What is no mistake, and may be meant otherwise."""
    places = [file.section("router_settings"), file.section("litellm_settings")]
    if file.composites and all("num_retries" not in place.value for place in places):
        yield places[0].problem(f"router_settings.num_retries: is not set, so LiteLLM retries twice; {_RETRIED}")


def _handler_problems(file: ProxyFile) -> Iterator[Problem]:
    section = file.section("litellm_settings")
    entries = section.value.get("custom_provider_map")
    place = section.inside("custom_provider_map")
    wanted = f"{{provider: {_PROVIDER}, custom_handler: {HANDLER}}}"
    if not isinstance(entries, list):
        yield place.problem(
            f"litellm_settings.custom_provider_map: is missing, so no composite can be asked; allowed: [{wanted}]"
        )
        return
    ours = [
        (index, entry)
        for index, entry in enumerate(entries)
        if isinstance(entry, Mapping) and entry.get("provider") == _PROVIDER
    ]
    if not ours:
        yield place.problem(
            f"litellm_settings.custom_provider_map: has no provider {_PROVIDER!r}, so no composite can be asked; "
            f"allowed: {wanted}"
        )
    for index, entry in ours:
        handler = entry.get("custom_handler")
        # A module of the operator's own may pass ours on.
        if not isinstance(handler, str) or (handler.startswith("composite") and handler != HANDLER):
            key = f"litellm_settings.custom_provider_map.{index}.custom_handler"
            here = place.inside(str(index), "custom_handler")
            yield here.problem(f"{key}: got {handler!r}; allowed: {HANDLER}")


def _retries(place: Setting, prefix: str) -> Iterator[Problem]:
    """Retries of LiteLLM itself."""
    value = place.value.get("num_retries")
    if _above_0(value):
        yield place.inside("num_retries").problem(f"{prefix}num_retries: got {value}; {_RETRIED}")
    policy = place.value.get("retry_policy")
    for key, number in policy.items() if isinstance(policy, Mapping) else ():
        if _above_0(number):
            here = place.inside("retry_policy", str(key))
            yield here.problem(f"{prefix}retry_policy.{key}: got {number}; {_RETRIED}")


def _above_0(value: Any) -> bool:
    try:
        return value is not None and float(value) > 0
    except (TypeError, ValueError):
        return False


def _probes(composites: tuple[Listed, ...]) -> Iterator[Problem]:
    for entry in composites:
        if entry.info.value.get("disable_background_health_check") is not True:
            yield entry.info.problem(
                "model_info.disable_background_health_check: is not set, so each background health check is a whole "
                "deliberation, with its bill; allowed: true"
            )
