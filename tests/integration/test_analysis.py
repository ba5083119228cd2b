"""Between the last stage and the final call a model compares the answers for the final one."""

from __future__ import annotations

import json
from typing import Any

import litellm
import pytest

import composite_llm
from composite_llm.cli.progress import Progress
from composite_llm.cli.views import LiveView
from composite_llm.model.errors import OptionNotAllowed
from composite_llm.proxy.policy import check_client
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FIRST, MESSAGES, MOA, SECOND, THIRD, Ask, at

NODES = [FIRST, SECOND, THIRD]
NAMES = ("gpt-4o-mini", "gpt-4.1-mini", "gpt-4.1-nano")
ANALYST = "openai/gpt-5-nano"
BOTH = pytest.mark.parametrize(("model", "option"), [(MOA, "proposers"), (COUNCIL, "members")], ids=["moa", "council"])
FOUND: dict[str, Any] = {
    "consensus": ["It is a bridge."],
    "contradictions": [
        {"topic": "The year", "stances": [{"label": "A", "stance": "1850"}, {"label": "Response C", "stance": "1870"}]}
    ],
    "partial_coverage": [{"labels": ["A", "B"], "point": "The builder"}],
    "unique_insights": [{"label": "B", "insight": "Unlike Response A it names the river."}],
    "blind_spots": ["Bridges that were lost."],
}
NAMED: dict[str, Any] = {
    **FOUND,
    "contradictions": [
        {"topic": "The year", "stances": [{"label": FIRST, "stance": "1850"}, {"label": THIRD, "stance": "1870"}]}
    ],
    "partial_coverage": [{"labels": [FIRST, SECOND], "point": "The builder"}],
    "unique_insights": [{"label": SECOND, "insight": f"Unlike {FIRST} it names the river."}],
}


def play(server: ThreadedServer, analysis: Any = FOUND, analyst: str = "gpt-5-nano") -> None:
    """Answers, ballots, an analysis and the final answer."""
    for number, name in enumerate(NAMES, start=1):
        server.set_scenario(name, {"text": f"Answer {number}.", "by_content": [
            {"contains": "You are reviewing", "then": {"text": '{"reviews": {}, "ranking": ["A", "B", "C"]}'}},
        ]})  # fmt: skip
    said = analysis if isinstance(analysis, dict) and "error" in analysis else {"text": _text(analysis)}
    server.set_scenario(analyst, said)
    if analyst != "gpt-4o":
        server.set_scenario("gpt-4o", {"text": "The answer."})


def _text(analysis: Any) -> str:
    return analysis if isinstance(analysis, str) else json.dumps(analysis)


def prompt(server: ThreadedServer, model: str) -> str:
    """The last message at a model."""
    text: str = wire.body(server, model)["messages"][-1]["content"]
    return text


def analysis_of(trace: composite_llm.Trace) -> Any:
    return trace.analysis.model_dump() if trace.analysis is not None else None


@BOTH
def test_a_node_compares_the_answers_and_the_final_model_reads_it(
    ask_both: Ask, server: ThreadedServer, model: str, option: str
) -> None:
    play(server)
    reply = ask_both(model, analysis=ANALYST, **{option: NODES})
    trace = composite_llm.get_trace(reply)
    assert (trace.degraded, analysis_of(trace)) == ([], NAMED)
    (call,) = [call for call in trace.calls if call.stage == "analyze"]
    assert (call.role, call.name, call.title, call.final) == ("analyst", ANALYST, "Analysis", False)
    assert [call.stage for call in trace.calls][-2:] == ["analyze", "aggregate" if model == MOA else "synthesize"]
    assert trace.usage.total_tokens == wire.tokens(server)["total_tokens"] == reply.usage.total_tokens
    message = reply.choices[0].message
    assert message.content == "The answer."
    assert message.provider_specific_fields["composite"] == {"analysis": NAMED}
    assert f"The year: {FIRST}: 1850; {THIRD}: 1870" in message.reasoning_content
    assert f"{SECOND}: Unlike {FIRST} it names the river." in trace.to_html()


@BOTH
def test_the_analyst_sees_labels_and_fences_and_the_final_model_its_own_labels(
    ask: Ask, server: ThreadedServer, model: str, option: str
) -> None:
    play(server)
    ask(model, analysis=ANALYST, **{option: NODES})
    asked = prompt(server, "gpt-5-nano")
    assert all(f"<<<Response {letter} " in asked for letter in "ABC")
    assert all(f"\nAnswer {number}.\n<<<end of" in asked for number in (1, 2, 3))
    assert not any(name in asked for name in NAMES)
    first, third = ("Response 1", "Response 3") if model == MOA else ("Response A", "Response C")
    messages = wire.body(server, "gpt-4o")["messages"]
    assert f"<<<{first} " in messages[-2]["content"]
    note = messages[-1]["content"]
    assert "<<<analysis " in note
    assert f"- The year: {first}: 1850; {third}: 1870\n" in note
    assert f"Unlike {first} it names the river." in note
    assert not any(name in note for name in NAMES)


@pytest.mark.parametrize(("analyst", "takes"), [("gpt-5-nano", True), ("gpt-3.5-turbo", False)])
def test_the_schema_goes_to_a_model_that_takes_one(ask: Ask, server: ThreadedServer, analyst: str, takes: bool) -> None:
    play(server, analyst=analyst)
    trace = composite_llm.get_trace(ask(proposers=NODES, analysis=f"openai/{analyst}"))
    body = wire.body(server, analyst)
    assert ("response_format" in body) is takes
    if takes:
        schema = body["response_format"]["json_schema"]["schema"]
        label = schema["properties"]["unique_insights"]["items"]["properties"]["label"]
        assert (sorted(schema["required"]), label["enum"]) == (sorted(FOUND), ["A", "B", "C"])
    assert analysis_of(trace) == NAMED


@BOTH
def test_true_asks_the_final_model(ask: Ask, server: ThreadedServer, model: str, option: str) -> None:
    play(server, analyst="gpt-4o")
    final = "aggregator" if model == MOA else "chairman"
    settings = {"system": "You are a pirate."}
    trace = composite_llm.get_trace(ask(model, analysis=True, **{option: NODES, final: settings}))
    first, last = wire.records(server, "gpt-4o")
    assert "You compare 3 answers" in first.body["messages"][-1]["content"]
    assert "pirate" not in json.dumps(first.body["messages"])
    assert "pirate" in json.dumps(last.body["messages"])
    assert analysis_of(trace) == NAMED


WRAPPED = {
    "fenced": f"```json\n{json.dumps(FOUND)}\n```",
    "with a sentence before": f"Here is the comparison:\n{json.dumps(FOUND)}",
    "with further fields": json.dumps({**FOUND, "summary": "x"}),
    "with numbers": json.dumps(FOUND).replace('"A"', '"1"').replace('"B"', '"Response 2"').replace("Response C", "3"),
}


@pytest.mark.parametrize("text", WRAPPED.values(), ids=WRAPPED)
def test_what_a_model_puts_around_the_json_does_not_matter(ask: Ask, server: ThreadedServer, text: str) -> None:
    play(server, text)
    trace = composite_llm.get_trace(ask(proposers=NODES, analysis=ANALYST))
    assert (trace.degraded, analysis_of(trace)) == ([], NAMED)


def test_what_is_about_no_known_answer_is_left_out(ask: Ask, server: ThreadedServer) -> None:
    found = {
        "consensus": [" ", "One \ud800 half"],
        "contradictions": [{"topic": "t", "stances": [{"label": "Z", "stance": "s"}]}],
        "partial_coverage": [{"labels": ["Z"], "point": "p"}, {"labels": ["a", "A"], "point": "q"}],
        "unique_insights": [{"label": "", "insight": "i"}],
        "blind_spots": [],
    }
    play(server, found)
    trace = composite_llm.get_trace(ask(proposers=NODES, analysis=ANALYST))
    assert analysis_of(trace) == {
        "consensus": ["One \ufffd half"],
        "contradictions": [],
        "partial_coverage": [{"labels": [FIRST], "point": "q"}],
        "unique_insights": [],
        "blind_spots": [],
    }
    assert composite_llm.Trace.model_validate_json(trace.model_dump_json()).analysis == trace.analysis


UNUSABLE: dict[str, tuple[Any, str]] = {
    "no JSON": ("They all agree.", "the answer is not valid JSON"),
    "another form": ({**FOUND, "consensus": "all"}, "must be of type array"),
    "a missing field": ({"consensus": []}, "a required property is missing"),
    "an error": ({"error": {"status": 400, "message": "no"}}, "no analysis came"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("case", UNUSABLE)
def test_an_analysis_that_cannot_be_used_is_left_out_and_said(
    ask: Ask, server: ThreadedServer, case: str, stream: bool
) -> None:
    said, why = UNUSABLE[case]
    play(server, said)
    reply = ask(proposers=NODES, analysis=ANALYST, stream=stream)
    if stream:
        content = "".join(chunk.choices[0].delta.content or "" for chunk in reply if chunk.choices)
    else:
        content = reply.choices[0].message.content
    trace = composite_llm.get_trace(reply)
    assert (content, trace.analysis) == ("The answer.", None)
    (reason,) = [reason for reason in trace.degraded if reason.code == "analysis_missing"]
    assert (reason.stage, why in reason) == ("analyze", True)
    assert "<<<analysis" not in json.dumps(wire.body(server, "gpt-4o")["messages"])


@BOTH
def test_a_stream_equals_plain(ask: Ask, server: ThreadedServer, model: str, option: str) -> None:
    play(server)
    plain = ask(model, analysis=ANALYST, **{option: NODES})
    sent = wire.models(server)
    server.ledger.clear()
    streamed = ask(model, analysis=ANALYST, stream=True, **{option: NODES})
    stream = list(streamed)
    assert sorted(map(str, wire.models(server))) == sorted(map(str, sent))
    deltas = [chunk.choices[0].delta for chunk in stream if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == plain.choices[0].message.content
    told = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    assert f"- The year: {FIRST}: 1850; {THIRD}: 1870\n" in told
    fields = [fields for delta in deltas if (fields := getattr(delta, "provider_specific_fields", None))]
    assert fields[-1]["composite"] == {"analysis": NAMED}
    traces = [composite_llm.get_trace(reply) for reply in (plain, streamed)]
    assert analysis_of(traces[0]) == analysis_of(traces[1]) == NAMED


TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]


def test_a_tool_step_keeps_the_analysis_and_asks_for_none(ask: Ask, server: ThreadedServer) -> None:
    play(server)
    server.set_scenario("gpt-4o", {"tool_calls": [{"name": "look", "arguments": {}}]})
    options: dict[str, Any] = {"proposers": NODES, "analysis": ANALYST, "tools": TOOLS}
    first = ask(**options)
    before = wire.body(server, "gpt-4o")["messages"]
    server.ledger.clear()
    server.set_scenario("gpt-4o", {"text": "The answer."})
    message = first.choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "A river."}
    second = ask(messages=[*MESSAGES, message.model_dump(), result], **options)
    assert wire.models(server) == ["gpt-4o"]
    assert wire.body(server, "gpt-4o")["messages"][: len(before)] == before
    trace = composite_llm.get_trace(second)
    assert (trace.reused, analysis_of(trace)) == (True, NAMED)
    assert second.choices[0].message.provider_specific_fields["composite"] == {"analysis": NAMED}


@BOTH
def test_a_cap_that_cannot_hold_it_leaves_it_out_before_any_member(
    ask: Ask, server: ThreadedServer, model: str, option: str
) -> None:
    play(server)
    calls = 4 if model == MOA else 7
    trace = composite_llm.get_trace(ask(model, analysis=ANALYST, max_calls=calls, **{option: NODES}))
    assert (len(trace.calls), trace.analysis) == (calls, None)
    assert trace.degraded == ["budget_reduced: no analysis, to stay under the run's caps"]
    trace = composite_llm.get_trace(ask(model, analysis=ANALYST, max_calls=calls + 1, **{option: NODES}))
    assert (len(trace.calls), trace.degraded, analysis_of(trace)) == (calls + 1, [], NAMED)


def test_tries_of_the_analysis_leave_the_final_call_its_own(ask: Ask, server: ThreadedServer) -> None:
    play(server, {"error": {"status": 500, "message": "no"}})
    reply = ask(proposers=NODES, analysis=at(server, ANALYST, num_retries=5), max_calls=5)
    assert reply.choices[0].message.content == "The answer."
    assert wire.models(server).count("gpt-5-nano") == 1
    assert "analysis_missing" in composite_llm.get_trace(reply).degraded_codes


def test_money_that_blank_analyses_cost_is_not_the_final_calls(ask: Ask, server: ThreadedServer) -> None:
    play(server, "")
    nodes = [{"model": node, "max_tokens": 50} for node in (*NODES, ANALYST)]
    options: dict[str, Any] = {
        "proposers": nodes[:3], "analysis": {**nodes[3], "num_retries": 9}, "aggregator": {"max_tokens": 50},
    }  # fmt: skip
    cap = composite_llm.explain(MOA, MESSAGES, **options).worst_cost_usd
    reply = ask(**options, max_cost_usd=cap)
    assert reply.choices[0].message.content == "The answer."
    trace = composite_llm.get_trace(reply)
    assert "analysis_missing" in trace.degraded_codes
    assert trace.cost_usd is not None
    assert cap is not None
    assert trace.cost_usd <= cap
    assert wire.models(server).count("gpt-5-nano") > 1


def test_a_replay_makes_none(ask: Ask, server: ThreadedServer) -> None:
    play(server)
    trace = composite_llm.get_trace(ask(COUNCIL, members=NODES, analysis=ANALYST))
    server.ledger.clear()
    done = composite_llm.replay(trace, ranking="copeland", aggregation="pick")
    assert (done.content, wire.models(server)) == ("Answer 1.", [])
    with pytest.raises(composite_llm.InvalidOption, match="analysis"):
        composite_llm.replay(trace, analysis=True)


def test_one_answer_is_not_compared(ask: Ask, server: ThreadedServer) -> None:
    play(server)
    for name in NAMES[1:]:
        server.set_scenario(name, {"error": {"status": 400, "message": "no"}})
    trace = composite_llm.get_trace(ask(proposers=NODES, analysis=ANALYST))
    assert "gpt-5-nano" not in wire.models(server)
    assert "analysis_missing: there are no two answers to compare" in trace.degraded


def test_with_residual_the_answers_of_all_layers_are_compared(ask: Ask, server: ThreadedServer) -> None:
    play(server)
    for number, name in enumerate(NAMES):
        server.set_scenario(name, {"sequence": [{"text": f"a{number}"}, {"text": f"b{number}"}]})
    trace = composite_llm.get_trace(ask(proposers=NODES, layers=2, residual=True, analysis=ANALYST))
    assert "You compare 6 answers" in prompt(server, "gpt-5-nano")
    assert analysis_of(trace) == NAMED


def test_in_the_system_placement_it_stands_behind_the_answers(ask: Ask, server: ThreadedServer) -> None:
    play(server)
    ask(proposers=NODES, analysis=ANALYST, reference_placement="system")
    block, question = wire.body(server, "gpt-4o")["messages"]
    assert block["content"].index("Responses from models:") < block["content"].index("<<<analysis ")
    assert question == MESSAGES[0]


def test_a_final_model_that_is_asked_alone_is_given_none(ask: Ask, server: ThreadedServer) -> None:
    play(server)
    ask(proposers=NODES, analysis=ANALYST, deliberate="never")
    assert wire.models(server) == ["gpt-4o"]


@BOTH
@pytest.mark.parametrize("analysis", [True, {"model": ANALYST, "max_tokens": 100}], ids=["final", "node"])
def test_explain_counts_one_call_and_one_round_more(model: str, option: str, analysis: Any) -> None:
    options: dict[str, Any] = {option: [{"model": node, "max_tokens": 100} for node in NODES]}
    plain = composite_llm.explain(model, MESSAGES, **options)
    plan = composite_llm.explain(model, MESSAGES, analysis=analysis, **options)
    assert (plan.calls, plan.rounds) == (plain.calls + 1, plain.rounds + 1)
    stage = plan.stages[-2]
    assert (stage.stage, stage.role, stage.title) == ("analyze", "analyst", "Analysis")
    before, now = plain.stages[-1].nodes[0], plan.stages[-1].nodes[0]
    assert now.worst_prompt_tokens > before.worst_prompt_tokens
    assert plan.worst_cost_usd is not None
    assert plain.worst_cost_usd is not None
    assert plan.worst_cost_usd > plain.worst_cost_usd


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"analysis": True, "aggregation": "vote"}, "no final model reads it"),
        ({"analysis": True, "proposers": [FIRST]}, "analysis: compares answers"),
        ({"analysis": 2}, "analysis: got 2"),
        ({"analysis": {"num_retries": 1}}, "analysis.model: is missing"),
        ({"analysis": {"model": ANALYST, "temprature": 1, "timeuot": 3}}, "did you mean"),
    ],
    ids=["vote", "one answer", "number", "no model", "misspelt"],
)
def test_what_makes_no_sense_is_refused(ask: Ask, server: ThreadedServer, options: Any, said: str) -> None:
    with pytest.raises(litellm.BadRequestError, match=said):
        ask(**{"proposers": NODES, **options})
    assert wire.models(server) == []


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_behind_a_gate_it_follows_only_where_others_are_asked(ask: Ask, server: ThreadedServer, stream: bool) -> None:
    play(server)
    options: dict[str, Any] = {"proposers": NODES, "analysis": ANALYST, "deliberate": "auto", "stream": stream}
    list(ask(**options))
    assert wire.models(server) == ["gpt-4o"]
    server.ledger.clear()
    private = {"name": "deliberate", "arguments": {"reason": "r"}}
    server.set_scenario("gpt-4o", {"sequence": [{"tool_calls": [private]}, {"text": "The answer."}]})
    reply = ask(**options)
    list(reply)
    assert wire.models(server)[-2:] == ["gpt-5-nano", "gpt-4o"]
    assert analysis_of(composite_llm.get_trace(reply)) == NAMED


def test_it_stays_on_a_terminal(ask: Ask, server: ThreadedServer, capsys: pytest.CaptureFixture[str]) -> None:
    play(server, {**FOUND, "consensus": ["\x1b[31mRed [bold]brackets[/bold]."]})
    progress = Progress(trace=composite_llm.get_trace(ask(proposers=NODES, analysis=ANALYST)))
    LiveView(progress).end()
    shown = capsys.readouterr().out
    assert "The answers agree\n- [31mRed [bold]brackets[/bold].\n" in shown
    assert "\x1b[31m" not in shown


def test_an_operator_may_open_it_to_clients() -> None:
    with pytest.raises(OptionNotAllowed, match="analysis"):
        check_client([("analysis", True)], {}, ())
    check_client([("analysis", True), ("analysis", "small")], {}, ("analysis",))
    with pytest.raises(OptionNotAllowed, match="plain name"):
        check_client([("analysis", {"model": "small", "api_base": "http://x"})], {}, ("analysis",))
