"""A file of requests with the real LiteLLM against the fake server."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal
from openai.types.chat import ChatCompletion

from composite_llm.evaluate import Batch, BatchSettings
from composite_llm.model.errors import InvalidConfig, InvalidOption
from fake_server import ThreadedServer

FINAL, MEMBER = "openai/gpt-4.1", "openai/gpt-4.1-mini"


def line(number: int, **body: Any) -> str:
    content = {"messages": [{"role": "user", "content": f"question {number}"}], "max_tokens": 20, **body}
    return json.dumps({"custom_id": f"r{number}", "method": "POST", "url": "/v1/chat/completions", "body": content})


def made(folder: Path, server: ThreadedServer, lines: list[str], model: str | None = None, **settings: Any) -> Batch:
    (folder / "in.jsonl").write_text("\n".join(lines), encoding="utf-8")
    connection = {"api_base": server.base_url, "api_key": "key-of-a-test"}
    return Batch(folder / "in.jsonl", folder / "out.jsonl", model, connection, BatchSettings(**settings))


def written(folder: Path) -> dict[str, Any]:
    lines = (folder / "out.jsonl").read_text(encoding="utf-8").splitlines()
    found = {entry["custom_id"]: entry for entry in map(json.loads, lines)}
    assert len(found) == len(lines)
    return found


def contents(server: ThreadedServer) -> list[str]:
    return [record.body["messages"][-1]["content"] for record in server.ledger.records]


def test_every_request_gets_a_line_in_openais_form_and_one_bill(
    server: ThreadedServer, portal: BlockingPortal, tmp_path: Path
) -> None:
    members = {"proposers": [MEMBER]}
    lines = [line(number, model=f"composite/moa/{FINAL}", **members) for number in range(4)] + [line(9, model=MEMBER)]
    batch = made(tmp_path, server, lines)
    worst = batch.worst_usd()
    assert portal.call(batch.run)
    found = written(tmp_path)
    assert sorted(found) == ["r0", "r1", "r2", "r3", "r9"]
    for entry in found.values():
        assert (entry["error"], entry["response"]["status_code"]) == (None, 200)
        assert ChatCompletion.model_validate(entry["response"]["body"]).choices[0].message.content
    bill = batch.bill
    assert (bill.requests, bill.answered, bill.failed, bill.open, bill.calls) == (5, 5, 0, 0, 9)
    assert len(server.ledger.records) == 9
    usages = [record.usage or {} for record in server.ledger.records]
    assert bill.prompt_tokens == sum(usage["prompt_tokens"] for usage in usages)
    assert bill.completion_tokens == sum(usage["completion_tokens"] for usage in usages)
    assert worst is not None
    assert 0 < bill.cost_usd < worst


def test_a_model_of_the_command_line_answers_every_line(
    server: ThreadedServer, portal: BlockingPortal, tmp_path: Path
) -> None:
    batch = made(tmp_path, server, [line(1, model="gpt-4o", stream=True), '{"prompt": "just this"}'], MEMBER)
    assert portal.call(batch.run)
    assert {record.model for record in server.ledger.records} == {"gpt-4.1-mini"}
    assert sorted(written(tmp_path)) == ["r1", "request-2"]
    assert sorted(contents(server)) == ["just this", "question 1"]


def test_what_was_stopped_goes_on_with_nothing_asked_twice_and_nothing_lost(
    server: ThreadedServer, portal: BlockingPortal, tmp_path: Path
) -> None:
    lines = [line(number) for number in range(12)]
    batch = made(tmp_path, server, lines, MEMBER, max_parallel=3)
    stop = asyncio.Event()
    assert not portal.call(lambda: batch.run(lambda: stop.set() if batch.bill.answered >= 5 else None, stop=stop))
    assert 5 <= batch.bill.answered < 12
    before = written(tmp_path)
    # A kill in the middle of a line.
    with (tmp_path / "out.jsonl").open("a") as file:
        file.write('{"id": "batch_req_1", "custom_id": "r1')
    again = made(tmp_path, server, lines, MEMBER)
    assert (again.bill.answered, again.bill.open) == (len(before), 12 - len(before))
    assert portal.call(again.run)
    after = written(tmp_path)
    assert {name: after[name] for name in before} == before
    assert sorted(contents(server)) == sorted(f"question {number}" for number in range(12))
    assert (again.bill.answered, again.bill.calls) == (12, 12)


def test_a_failure_is_a_line_too_and_only_what_may_pass_is_asked_again(
    server: ThreadedServer, portal: BlockingPortal, tmp_path: Path
) -> None:
    refuse: Mapping[str, Any] = {"error": {"status": 400, "message": "secret-of-the-provider"}}
    down = {"error": {"status": 503}}
    by_content = [{"contains": "question 1", "then": refuse}, {"contains": "question 2", "then": down}]
    server.set_scenario("gpt-4.1-mini", {"text": "fine", "by_content": by_content})
    lines = [line(number) for number in range(3)]
    batch = made(tmp_path, server, lines, MEMBER)
    batch._pace.max_tries = 1
    assert portal.call(batch.run)
    found = written(tmp_path)
    assert [found[name]["response"]["status_code"] for name in ("r0", "r1", "r2")] == [200, 400, 503]
    assert found["r1"]["error"]["code"] == "BadRequestError"
    assert "secret-of-the-provider" not in (tmp_path / "out.jsonl").read_text(encoding="utf-8")
    server.set_scenario("gpt-4.1-mini", {"text": "fine"})
    server.ledger.clear()
    again = made(tmp_path, server, lines, MEMBER)
    assert (again.bill.answered, again.bill.failed, again.bill.open) == (1, 1, 1)
    assert portal.call(again.run)
    assert contents(server) == ["question 2"]
    assert written(tmp_path)["r2"]["error"] is None


def test_a_refusal_for_being_too_fast_is_waited_for(
    server: ThreadedServer, portal: BlockingPortal, tmp_path: Path
) -> None:
    slow_down = {"error": {"status": 429, "retry_after": 1}}
    server.set_scenario("gpt-4.1-mini", {"sequence": [slow_down, {"text": "fine"}]})
    batch = made(tmp_path, server, [line(1)], MEMBER)
    assert portal.call(batch.run)
    assert written(tmp_path)["r1"]["error"] is None
    first, second = (record.started_at for record in server.ledger.records)
    assert second - first >= 0.99


def test_a_cap_ends_it_before_it_is_exceeded(server: ThreadedServer, portal: BlockingPortal, tmp_path: Path) -> None:
    lines = [line(number) for number in range(40)]
    batch = made(tmp_path, server, lines, MEMBER, max_cost_usd=0.0002)
    assert not portal.call(batch.run)
    assert 0 < batch.bill.cost_usd <= 0.0002
    assert batch.bill.open == 40 - len(server.ledger.records)
    # What was spent before counts.
    again = made(tmp_path, server, lines, MEMBER, max_cost_usd=0.0002)
    before = len(server.ledger.records)
    assert not portal.call(again.run)
    assert again.bill.cost_usd <= 0.0002
    assert len(server.ledger.records) - before <= 1
    elsewhere = tmp_path / "unpriced"
    elsewhere.mkdir()
    unpriced = made(elsewhere, server, lines, "openai/nobody-knows", max_cost_usd=1.0)
    with pytest.raises(InvalidOption, match="the price of 'openai/nobody-knows' is unknown"):
        portal.call(unpriced.run)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no request"),
        ("{", "line 1: is no JSON"),
        ("[]", "line 1: is no object"),
        ('{"messages": []}', "line 1: messages is not a list of messages"),
        (f"{line(1)}\n{line(1)}", "line 2: custom_id 'r1' stands there twice"),
        ('{"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {}}', "only POST /v1/chat/completions"),
        (line(1, model=3), "model is not text"),
        (line(1, api_base="http://elsewhere"), "api_base may not be set in a request"),
        (line(1, members=[{"model": "x/y", "api_key": "k"}]), "members.0.api_key may not be set"),
        (line(1, extra_body={"api_base": "http://elsewhere"}), "extra_body.api_base may not be set"),
        (line(1, user="os.environ/SECRET"), "user names a variable of the environment"),
    ],
)
def test_a_line_that_cannot_be_asked_is_named_before_anything_is(
    server: ThreadedServer, tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(InvalidConfig, match=re.escape(said)):
        made(tmp_path, server, [text], MEMBER)


def test_an_output_of_something_else_is_not_touched(
    server: ThreadedServer, portal: BlockingPortal, tmp_path: Path
) -> None:
    batch = made(tmp_path, server, [line(1)], MEMBER)
    assert portal.call(batch.run)
    whole = (tmp_path / "out.jsonl").read_text(encoding="utf-8")
    with pytest.raises(InvalidConfig, match="another content, model or option"):
        made(tmp_path, server, [line(1)], FINAL)
    with pytest.raises(InvalidConfig, match="is the file of the requests itself"):
        Batch(tmp_path / "in.jsonl", tmp_path / "in.jsonl", MEMBER)
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8") == whole
    # Lines of other requests stay.
    assert portal.call(made(tmp_path, server, [line(2)], MEMBER).run)
    assert sorted(written(tmp_path)) == ["r1", "r2"]
    (tmp_path / "out.jsonl").write_text('{"question": "of another kind"}\n', encoding="utf-8")
    with pytest.raises(InvalidConfig, match="is no output of a batch"):
        made(tmp_path, server, [line(2)], MEMBER)
