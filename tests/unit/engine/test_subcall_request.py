from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from composite_llm.backend.interface import AttemptRequest
from composite_llm.config.node import Node
from composite_llm.engine.subcall_request import SubcallRequest, attempt_request, chain, numbered
from composite_llm.model.errors import InvalidOption
from composite_llm.model.personas import PERSONAS
from tests.support.benches import QUESTION, desk, subcall
from tests.support.scripted_backend import ScriptedFacts

CONNECTION = {"api_key": "request-key", "api_base": "http://request"}


def request_for(wanted: SubcallRequest, node: Node | None = None, **more: Any) -> AttemptRequest:
    return attempt_request(desk({}, **more).scope, wanted, node or wanted.node)


async def test_a_nodes_own_value_wins_over_the_requests_which_is_marked_as_inherited() -> None:
    request = request_for(
        subcall({"model": "a", "temperature": 0.25}, params={"temperature": 1, "top_p": 0.5, "user": "u"})
    )
    assert request.params == {"temperature": 0.25, "top_p": 0.5, "user": "u"}
    assert request.inherited == {"top_p"}


@pytest.mark.parametrize(
    ("node", "seed", "expected", "inherited"),
    [
        pytest.param("a", 8, 8, True, id="the-samples-own"),
        pytest.param({"model": "a", "seed": 3}, 4, 4, False, id="the-samples-own-before-the-nodes"),
        pytest.param({"model": "a", "seed": 3}, None, 3, False, id="the-nodes-own"),
        pytest.param("a", None, 7, True, id="the-requests"),
    ],
)
async def test_a_sample_has_a_seed(node: Any, seed: int | None, expected: int, inherited: bool) -> None:
    request = request_for(subcall(node, params={"seed": 7}, seed=seed))
    assert request.params["seed"] == expected
    assert ("seed" in request.inherited) is inherited


@pytest.mark.parametrize(
    ("node", "final", "given"),
    [
        pytest.param("openai/b", False, True, id="same-provider"),
        pytest.param("anthropic/b", False, False, id="other-provider"),
        pytest.param("router-name", False, False, id="unknown-provider"),
        pytest.param({"model": "openai/b", "api_key": "own"}, False, False, id="own-key"),
        pytest.param({"model": "openai/b", "api_base": "http://own"}, False, False, id="own-endpoint-never-their-key"),
        pytest.param({"model": "openai/b", "headers": {"x": "y"}}, False, False, id="own-headers"),
        pytest.param("composite/moa/openai/b", False, False, id="nested-composite"),
        pytest.param("openai/b", True, True, id="final-node"),
        pytest.param("router-name", True, True, id="final-node-of-the-router"),
        pytest.param({"model": "openai/b", "api_key": "own"}, True, False, id="final-node-with-its-own"),
    ],
)
async def test_the_requests_endpoint_and_key_go_only_where_they_belong(node: Any, final: bool, given: bool) -> None:
    request = request_for(subcall(node, connection=CONNECTION, connection_provider="openai", final=final))
    assert (request.params.get("api_key") == "request-key") is given
    assert (request.params.get("api_base") == "http://request") is given


@pytest.mark.parametrize(("fallback", "given"), [("openai/c", True), ("anthropic/c", False)])
async def test_a_fallback_of_the_final_node_gets_them_only_with_the_same_provider(fallback: str, given: bool) -> None:
    wanted = subcall(
        {"model": "openai/b", "fallbacks": [fallback]}, connection=CONNECTION, connection_provider="openai", final=True
    )
    request = request_for(wanted, wanted.node.fallbacks[0])
    assert ("api_key" in request.params) is given


async def test_a_request_carries_the_markers_of_its_run_and_its_ids() -> None:
    request = request_for(subcall("a", name="a #2"), metadata={"mine": 1}, trace_id="t", session_id="s")
    assert request.metadata == {
        "mine": 1,
        "composite_run": "run-1",
        "composite_stage": "propose",
        "composite_node": "a #2",
    }
    assert (request.trace_id, request.session_id) == ("t", "s")


@pytest.mark.parametrize(("node", "timeout_s"), [("a", 60), ({"model": "a", "timeout": 5}, 5)])
async def test_the_client_library_is_told_the_nodes_time_or_the_runs(node: Any, timeout_s: float) -> None:
    assert request_for(subcall(node), client_timeout_s=60).timeout_s == timeout_s


async def test_environment_values_are_read_and_a_missing_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    node = {"model": "a", "api_key": "os.environ/NODE_KEY"}
    monkeypatch.setenv("NODE_KEY", "k")
    assert request_for(subcall(node)).params["api_key"] == "k"
    monkeypatch.delenv("NODE_KEY")
    with pytest.raises(InvalidOption, match="no variable 'NODE_KEY'"):
        request_for(subcall(node))


async def test_a_persona_is_put_into_the_prompt_by_its_name_or_as_it_is() -> None:
    assert request_for(subcall({"model": "a", "system": "Be brief."})).messages == [
        {"role": "system", "content": "Be brief."},
        *QUESTION,
    ]
    named = request_for(subcall({"model": "a", "system": "persona:skeptic"}))
    assert named.messages[0]["content"] == PERSONAS["skeptic"]


IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]


@pytest.mark.parametrize(
    ("model", "final", "kept"),
    [
        pytest.param("blind", False, False, id="does-not-take-it"),
        pytest.param("unknown", False, True, id="unknown"),
        pytest.param("blind", True, False, id="the-final-call-too"),
    ],
)
async def test_a_model_that_cannot_see_gets_a_note_instead(model: str, final: bool, kept: bool) -> None:
    facts = ScriptedFacts(refused={"blind": frozenset({"image"})})
    request = request_for(subcall(model, messages=IMAGE, final=final), facts=facts)
    assert (request.messages == IMAGE) is kept
    assert kept or request.messages[0]["content"] == [{"type": "text", "text": "[image not shown to you]"}]


def test_fallbacks_follow_their_node_and_play_its_persona() -> None:
    node = Node.model_validate(
        {
            "model": "a",
            "system": "P",
            "fallbacks": [{"model": "b", "fallbacks": ["c"]}, {"model": "d", "system": "own"}],
        }
    )
    assert [(link.model, link.system) for link in chain(node)] == [("a", "P"), ("b", "P"), ("c", "P"), ("d", "own")]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([], []),
        (["a", "b"], ["a", "b"]),
        (["a", "a", "b"], ["a #1", "a #2", "b"]),
        (["a", "b", "a", "a"], ["a #1", "b", "a #2", "a #3"]),
    ],
    ids=str,
)
def test_repeated_labels_are_numbered_in_order(labels: list[str], names: list[str]) -> None:
    assert numbered(labels) == names


@given(st.lists(st.sampled_from(["a", "a #1", "a #2", "b"]), max_size=6))
@example(["a", "a", "a #1"])
def test_numbered_labels_are_unique(labels: list[str]) -> None:
    assert len(set(numbered(labels))) == len(labels)
