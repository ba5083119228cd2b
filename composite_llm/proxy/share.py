"""The client's share of a call: whatever is not the deployment's own, whichever way it came."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from composite_llm.config.parameters import CONNECTION
from composite_llm.config.registry import ALL_OPTIONS
from composite_llm.model.errors import InvalidOption, OptionNotAllowed
from composite_llm.proxy.deployment import CONTAINERS, OwnDeployment
from composite_llm.proxy.litellm_names import CALL_PARAMETERS, is_litellms_own
from composite_llm.proxy.policy import key_shown


def _set_by_a_client(key: str) -> bool:
    return key in ALL_OPTIONS or key in CALL_PARAMETERS


_ONLY_OF_THE_CALL = frozenset({"model", "messages", "prompt", "input", "stream", "stream_options", "metadata", "user"})
"""Inside `extra_body` they would take the place of what was checked and counted."""


@dataclass(frozen=True, slots=True)
class Given:
    """One parameter of a call that is not as the operator wrote it.

    Attributes:
        key: Its name.
        value: Never None: a null is no value.
        container: `optional_params` or `extra_body` when it stood in there.
    """

    key: str
    value: Any
    container: str | None = None


def clients_share(call: Mapping[str, Any], own: OwnDeployment, sent: Collection[str]) -> Iterator[Given]:
    """Every parameter of a call that is not the deployment's own.

    Args:
        call: Options and parameters.
        own: The deployment that the call goes to.
        sent: Names that stood in the client's body; they are the client's also where they say what the operator says.

    Raises:
        InvalidOption: `optional_params` or `extra_body` is no mapping.
        OptionNotAllowed: They hold one another, or what does not belong there.
    """
    for key, value in call.items():
        if value is None or (own.is_own(key, value) and key not in sent):
            continue
        if key in CONTAINERS:
            yield from _inside(key, value, own, sent)
        else:
            yield Given(key, value)


def _inside(container: str, value: Any, own: OwnDeployment, sent: Collection[str]) -> Iterator[Given]:
    if not isinstance(value, Mapping):
        raise InvalidOption(container, "is not a mapping", allowed="a mapping of options")
    written = own.inside(container)
    for key, inner in value.items():
        if not isinstance(key, str):
            raise InvalidOption(container, "has a key that is not a string", allowed="names of options")
        if inner is None or (key in written and inner == written[key] and key not in sent):
            continue
        if key in CONTAINERS or (container == "extra_body" and key in _ONLY_OF_THE_CALL):
            raise OptionNotAllowed(f"{container}.{key}: a client of the proxy may not set it")
        if container == "optional_params" and key not in ALL_OPTIONS and key != "timeout":
            # LiteLLM, which looks through the body for endpoints and credentials, does not look in here.
            raise OptionNotAllowed(f"optional_params.{key_shown(key)}: from a client of the proxy, options alone")
        yield Given(key, inner, container)


def merged(call: Mapping[str, Any], own: OwnDeployment, share: tuple[Given, ...]) -> dict[str, Any]:
    """The options and parameters of a run: the operator's own, and above them what its client may set of its share.

    What the client's null, or a list of parameters to drop, took out of the call is there again.
    """
    body = {key: value for key, value in own.inside("extra_body").items() if key not in ALL_OPTIONS}
    flat = {key: value for key, value in own.inside("extra_body").items() if key in ALL_OPTIONS and value is not None}
    flat = {**own.inside("optional_params"), **flat, **_own_parameters(call, own)}
    for given in share:
        if _set_by_a_client(given.key):
            # Also out of `extra_body`, where it would win over the same parameter beside it, and count in no estimate.
            flat[given.key] = given.value
        elif given.key in CONNECTION or is_litellms_own(given.key) or given.key in own.params:
            continue
        elif given.container == "extra_body":
            body.setdefault(given.key, given.value)
        else:
            flat[given.key] = given.value
    return {**flat, **({"extra_body": body} if body else {}), **own.connection()}


def _own_parameters(call: Mapping[str, Any], own: OwnDeployment) -> dict[str, Any]:
    """The operator's, without what LiteLLM used up on the way and without what holds parameters."""
    return {
        key: value
        for key, value in own.params.items()
        if key not in CONNECTION and key not in CONTAINERS and (key in call or not is_litellms_own(key))
    }


def restored(call: Mapping[str, Any], own: OwnDeployment, envelope: frozenset[str]) -> dict[str, Any]:
    """A call's keywords with the operator's own in the place of what is not a client's to set.

    Args:
        call: LiteLLM's keywords, nested containers as they are.
        own: The deployment that it goes to.
        envelope: Names that are left as they are.
    """
    kept = {key: value for key, value in call.items() if key in envelope or _stays(key, value, own)}
    put_back = {
        key: value
        for key, value in own.params.items()
        if kept.get(key) is None and (key in call or not is_litellms_own(key))
    }
    return {**kept, **put_back}


def _stays(key: str, value: Any, own: OwnDeployment) -> bool:
    if key.startswith("_") or key in CONTAINERS or own.is_own(key, value):
        return True
    if value is None or key in CONNECTION:
        return False
    return _set_by_a_client(key) or not (is_litellms_own(key) or key in own.params)
