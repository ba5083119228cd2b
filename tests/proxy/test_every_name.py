"""Every name that LiteLLM knows, sent through every door of a real proxy: what runs is what the deployment says."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from litellm.proxy.auth.auth_utils import is_request_body_safe

import fake_server
from composite_llm.config.parameters import CONNECTION
from composite_llm.config.registry import ALL_OPTIONS
from composite_llm.proxy.litellm_names import CALL_PARAMETERS, ENVELOPE, is_litellms_own, litellms_own
from composite_llm.proxy.policy import LOWER_ONLY, is_closed
from tests.support.proxies import Proxy, deployment, started, with_tests_operator

if TYPE_CHECKING:
    from fake_server import ThreadedServer

QUESTION = [{"role": "user", "content": "Which bridge is the oldest?"}]
BATCH = 12


def _banned(name: str) -> bool:
    """Whether LiteLLM's authentication refuses it in every body."""
    try:
        is_request_body_safe(request_body={name: "x"}, general_settings={}, llm_router=None, model="moa")
    except ValueError:
        return True
    return False


# Two that make LiteLLM itself fail while it authenticates or logs, whatever the model.
_UNASKED = {"litellm_params", "litellm_logging_obj"}
DROPPED = sorted(
    name
    for name in (litellms_own() | {"safety"}) - ENVELOPE - _UNASKED
    if not is_closed(name) and name not in ALL_OPTIONS and not _banned(name)
)
"""Names that mean nothing from a client: the run is as if they had not been sent."""
REFUSED = sorted(name for name in litellms_own() | ALL_OPTIONS | CONNECTION if is_closed(name) or name in ALL_OPTIONS)
"""Names that a client may not set, or only up to a point."""
ASKING: Mapping[str, Mapping[str, Any]] = {
    "/v1/chat/completions": {"messages": QUESTION},
    "/v1/messages": {"messages": QUESTION, "max_tokens": 60},
    "/v1/responses": {"input": "Which bridge is the oldest?"},
    "/v1/completions": {"prompt": "Which bridge is the oldest?"},
}
DOORS = {
    "body": lambda words: words,
    "extra_body": lambda words: {"extra_body": words},
    "optional_params": lambda words: {"optional_params": words},
    "fallbacks": lambda words: {"timeout": 0.001, "fallbacks": [{"timeout": 30, **words, "model": "moa"}]},
    "override": lambda words: {
        "timeout": 0.001,
        "router_settings_override": {"fallbacks": [{"moa": [{"timeout": 30, **words, "model": "moa"}]}]},
    },
}
FURTHER_DOORS = {
    name: lambda words, name=name: {name: words}
    for name in ("metadata", "litellm_metadata", "model_info", "router_settings_override", "kwargs", "composite")
}
PLACES = [
    *(("/v1/chat/completions", door) for door in DOORS),
    *((path, door) for path in ASKING if path != "/v1/chat/completions" for door in ("body", "fallbacks")),
]

# A proxy of its own, beside the one that the other tests share.
pytestmark = pytest.mark.xdist_group("every-name")


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[ThreadedServer, ThreadedServer]]:
    with fake_server.running_in_thread() as upstream, fake_server.running_in_thread() as foreign:
        yield upstream, foreign


@pytest.fixture(scope="module")
def spied(servers: tuple[ThreadedServer, ThreadedServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    upstream, _ = servers
    direct = {"api_base": upstream.base_url, "api_key": "sk-upstream-secret"}
    models = {"small": "gpt-4o-mini", "large": "gpt-4o"}
    config = with_tests_operator(
        {
            "model_list": [deployment(name, f"openai/{model}", **direct) for name, model in models.items()],
            "router_settings": {"num_retries": 0, "disable_cooldowns": True},
            "litellm_settings": {
                "custom_provider_map": [{"provider": "composite", "custom_handler": "composite_llm.handler"}]
            },
            "general_settings": {"master_key": "os.environ/PROXY_MASTER_KEY"},
        },
        [
            deployment(
                "moa",
                "composite/moa/large",
                proposers=["small"],
                max_calls=9,
                max_cost_usd=5.0,
                timeout=30,
                reasoning="summary",
                safety="strict",
                extra_body={"guard": True},
            )
        ],
    )
    config["litellm_settings"]["callbacks"].append("plans.recorder")
    with started(config, tmp_path_factory.mktemp("spied"), upstream) as proxy:
        yield proxy


def _plans(proxy: Proxy) -> list[dict[str, Any]]:
    found = proxy.written("plans")
    (proxy.directory / "plans.jsonl").write_text("", encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def operators(spied: Proxy) -> dict[str, Any]:
    """What the deployment makes of a request that says nothing."""
    response = spied.post({"model": "moa", "messages": QUESTION})
    assert response.status_code == 200, response.text
    (plan,) = _plans(spied)
    return plan


def _values(name: str, foreign: str) -> tuple[Any, ...]:
    node = {"model": "openai/gpt-4o", "api_base": foreign, "api_key": "os.environ/PROXY_MASTER_KEY"}
    if name in ("proposers", "members", "reviewers"):
        return [node], None, ["small", "small"]
    return foreign, 7, node


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize(("path", "door"), PLACES)
def test_names_that_are_litellms_own_change_nothing_at_any_door(
    spied: Proxy,
    servers: tuple[ThreadedServer, ThreadedServer],
    operators: dict[str, Any],
    path: str,
    door: str,
    number: int,
) -> None:
    upstream, foreign = servers
    words = {name: _values(name, foreign.base_url)[number] for name in DROPPED}
    ran = 0
    for start in range(0, len(words), BATCH):
        part = dict(list(words.items())[start : start + BATCH])
        ran += len(_runs(spied, path, door, part, operators))
    assert foreign.ledger.records == []
    assert _called(upstream) <= {"gpt-4o-mini", "gpt-4o"}
    # LiteLLM fails over some values, and each takes its batch along; what is in `optional_params` is refused whole.
    assert ran >= (0 if door == "optional_params" else len(words) // BATCH // 3), ran


@pytest.mark.parametrize("start", range(0, len(REFUSED), 4 * BATCH))
@pytest.mark.parametrize("door", ["body", "fallbacks"])
def test_names_that_are_not_a_clients_change_nothing(
    spied: Proxy, servers: tuple[ThreadedServer, ThreadedServer], operators: dict[str, Any], door: str, start: int
) -> None:
    upstream, foreign = servers
    for name in REFUSED[start : start + 4 * BATCH]:
        for value in _values(name, foreign.base_url)[:2]:
            _runs(spied, "/v1/chat/completions", door, {name: value}, operators)
    assert foreign.ledger.records == []
    assert _called(upstream) <= {"gpt-4o-mini", "gpt-4o"}


def _called(upstream: ThreadedServer) -> set[str]:
    # LiteLLM asks an OpenAI-compatible endpoint for its models when the proxy starts.
    return {str(record.model) for record in upstream.ledger.records if record.method == "POST"}


def _runs(
    proxy: Proxy, path: str, door: str, words: Mapping[str, Any], operators: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """What ran for the words at the door, each as the operator would have it."""
    body = DOORS[door](dict(words))
    plans = _plans_of(proxy, path, body, operators)
    # Before a fallback's there is the run that its client lets time out.
    return plans[1:] if "fallbacks" in str(body) else plans


def _plans_of(proxy: Proxy, path: str, body: Mapping[str, Any], operators: Mapping[str, Any]) -> list[dict[str, Any]]:
    # LiteLLM itself fails over some values while it authenticates, and closes the connection.
    with contextlib.suppress(httpx.ReadError, httpx.RemoteProtocolError):
        proxy.post({"model": "moa", **ASKING[path], **body}, path=path)
    plans = _plans(proxy)
    for plan in plans:
        _is_the_operators(plan, operators)
    return plans


def _is_the_operators(plan: Mapping[str, Any], operators: Mapping[str, Any]) -> None:
    for option, value in plan["options"].items():
        own = operators["options"][option]
        lowered = option in LOWER_ONLY and value is not None and (own is None or value <= own)
        assert value == own or lowered or option in ("seed", "reasoning"), option
    assert plan["options"]["reasoning"] in ("off", "summary")
    assert (plan["model"], plan["final"]) == (operators["model"], operators["final"])
    assert plan["timeout_s"] <= operators["timeout_s"]
    for name, value in plan["params"].items():
        if name in operators["params"]:
            assert value == operators["params"][name] or name in CALL_PARAMETERS, name
        else:
            assert name not in CONNECTION, name
            assert not is_closed(name), name
            assert name in CALL_PARAMETERS or not is_litellms_own(name), name
    assert set(operators["params"]) <= set(plan["params"])
    assert json.dumps(plan["params"].get("extra_body")).count("guard") == 1


NODE = {"model": "openai/gpt-4o", "api_base": "FOREIGN", "api_key": "os.environ/PROXY_MASTER_KEY"}
_ASKED = {"model", "messages", "input", "prompt"}
NAMES = st.sampled_from(sorted((litellms_own() | ALL_OPTIONS | CONNECTION | CALL_PARAMETERS) - _UNASKED - _ASKED))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 200)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "off", "full", "secret", "small", "FOREIGN", "os.environ/PROXY_MASTER_KEY"])
    | st.sampled_from([NODE, [NODE], ["small", "small"]]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=4,
)
WORDS = st.dictionaries(NAMES, VALUES, max_size=4)
BODIES = st.dictionaries(st.sampled_from(sorted({**DOORS, **FURTHER_DOORS})), WORDS, min_size=1, max_size=3).map(
    lambda placed: _merged([{**DOORS, **FURTHER_DOORS}[door](words) for door, words in placed.items()])
)


def _merged(bodies: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: value for body in bodies for name, value in body.items()}


@settings(max_examples=120)
@given(path=st.sampled_from(sorted(ASKING)), body=BODIES, stream=st.booleans())
def test_in_random_requests_no_option_outside_the_policy_ever_differs_from_the_deployments(
    spied: Proxy,
    servers: tuple[ThreadedServer, ThreadedServer],
    operators: dict[str, Any],
    path: str,
    body: dict[str, Any],
    stream: bool,
) -> None:
    upstream, foreign = servers
    sent = json.loads(json.dumps(body).replace("FOREIGN", foreign.base_url))
    plans = _plans_of(spied, path, {"stream": stream, **sent}, operators)
    event("runs" if plans else "refused")
    assert foreign.ledger.records == []
    assert _called(upstream) <= {"gpt-4o-mini", "gpt-4o"}
