"""What a stored deliberation would have become: counted by another rule, without a member, or with another final model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from composite_llm.config.plan import make_plan
from composite_llm.evaluate.scoring import plain
from composite_llm.model.errors import InvalidOption
from composite_llm.model.messages import checked_messages
from composite_llm.model.trace import Call, Ranking, Trace
from composite_llm.provider.portal import PORTAL
from composite_llm.run.context import Caller
from composite_llm.run.run import Run
from composite_llm.run.stored_answers import StoredAnswers
from composite_llm.runtime import services

Aggregation = Literal["synthesize", "pick", "vote"]
_MEMBERS = {"moa": "proposers", "council": "members"}
_FINAL = {"moa": "aggregator", "council": "chairman"}


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of it.

    Attributes:
        before: The trace it was made of.
        content: The answer: of the new final model, of whom the vote picked, or as it was; None where there is none.
        ranking: The vote, counted anew; None where there was none.
        trace: Of what was done now; the stored answers cost nothing in it.
        calls: How many models were asked: 0, or 1 with what it took.
    """

    before: Trace
    content: str | None
    ranking: Ranking | None
    trace: Trace
    calls: int

    @property
    def cost_usd(self) -> float | None:
        """US dollars of what was done now; None when the price is unknown."""
        return self.trace.cost_usd

    @property
    def content_before(self) -> str | None:
        """The answer as it was."""
        return _final_call(self.before).content if self.before.calls else None


def replay(
    trace: Trace,
    *,
    messages: Sequence[Mapping[str, Any]] | None = None,
    chairman: str | Mapping[str, Any] | None = None,
    ranking: str | None = None,
    aggregation: Aggregation | None = None,
    without: str | Sequence[str] = (),
    **options: Any,
) -> Replay:
    """Do a stored deliberation again from where its answers are. Nobody but a final model is ever asked.

    Args:
        trace: Of a run, with the answers' texts.
        messages: The conversation, for a new final call; a trace does not hold it.
        chairman: The final model of either strategy, as a node; one call.
        ranking: `borda`, `mean_position` or `copeland`; counted anew, without a call.
        aggregation: `synthesize` asks the final model again; `pick` takes the answer that the vote puts first, `vote` the one
            that most members gave, both without a call. Default: `synthesize` with a `chairman`, else no new answer.
        without: Names of members who are left out, with their reviews and what is said about them.
        options: Further options and call parameters of the strategy, such as `criteria`, `exclude_self` or `api_base`.

    Raises:
        InvalidOption: The trace does not have what it takes, or an option cannot be used.
        CompositeError: The final call failed.
    """
    return PORTAL.call(
        lambda: areplay(
            trace,
            messages=messages,
            chairman=chairman,
            ranking=ranking,
            aggregation=aggregation,
            without=without,
            **options,
        )
    )


async def areplay(
    trace: Trace,
    *,
    messages: Sequence[Mapping[str, Any]] | None = None,
    chairman: str | Mapping[str, Any] | None = None,
    ranking: str | None = None,
    aggregation: Aggregation | None = None,
    without: str | Sequence[str] = (),
    **options: Any,
) -> Replay:
    """As `replay`, for a running event loop."""
    if aggregation not in (None, "synthesize", "pick", "vote"):
        allowed = "synthesize, pick or vote"
        raise InvalidOption("aggregation", f"got {aggregation!r}", allowed=allowed, value=aggregation)
    if options.get("analysis"):
        raise InvalidOption("analysis", "is not made in a replay: nobody is asked but a final model", allowed="false")
    asks = aggregation == "synthesize" or (aggregation is None and chairman is not None)
    if asks and messages is None:
        raise InvalidOption("messages", "a new final call needs the conversation, which a trace does not hold")
    left_out = {without} if isinstance(without, str) else set(without)
    model, given = _options(trace, left_out, chairman, ranking)
    conversation = checked_messages([dict(message) for message in messages or [{"role": "user", "content": " "}]])
    known = services()
    plan = make_plan(model, {**given, **options}, known.profiles)
    run = Run(plan, conversation, known, Caller(owner=None, stored_answers=StoredAnswers(trace)))
    if asks:
        reply = await run.reply()
        content: str | None = str(reply.message.get("content") or "")
    else:
        await run.deliberate()
        content = None
    done = run.trace
    assert done is not None
    if aggregation in ("pick", "vote"):
        content = _picked(done) if aggregation == "pick" else _voted(done)
    elif not asks and not left_out:
        content = _final_call(trace).content
    return Replay(trace, content, done.ranking, done, int(asks))


def _options(
    trace: Trace, left_out: set[str], chairman: str | Mapping[str, Any] | None, ranking: str | None
) -> tuple[str, dict[str, Any]]:
    """The model string and the options of a run that has the stored answers in the places of its members.

    Raises:
        InvalidOption: The trace does not have what it takes.
    """
    if trace.strategy not in _MEMBERS:
        allowed = ", ".join(_MEMBERS)
        raise InvalidOption("trace", f"is of strategy {trace.strategy!r}", allowed=allowed, value=trace.strategy)
    own = list(trace.children(None))
    if len(own) < 2:
        raise InvalidOption("trace", "has no deliberation: the final model answered alone, or nobody did")
    first, final = own[0].stage, _final_call(trace)
    members = [call for call in own if call.stage == first]
    unknown = left_out - {call.name for call in members}
    if unknown:
        allowed = ", ".join(call.name for call in members)
        raise InvalidOption("without", f"{min(unknown)!r} is no member", allowed=allowed, value=min(unknown))
    usable = [call for call in members if call.name not in left_out and call.status == "ok" and call.content]
    if not usable:
        raise InvalidOption("trace", "holds no text of a member; telemetry keeps them with privacy: full")
    node = {"model": chairman} if isinstance(chairman, str) else dict(chairman or {})
    model = str(node.get("model") or final.model)
    options: dict[str, Any] = {
        _MEMBERS[trace.strategy]: [_node(call) for call in usable],
        _FINAL[trace.strategy]: {**node, "model": model},
        "fanout": "every_call",
        "deliberate": "always",
    }
    if trace.strategy == "council":
        reviewers = [call for call in own if call.stage == "review" and call.status == "ok" and call.content]
        reviewers = [call for call in reviewers if call.name not in left_out]
        if reviewers and [call.name for call in reviewers] != [call.name for call in usable]:
            options["reviewers"] = [_node(call) for call in reviewers]
        method = ranking or (trace.ranking.method if trace.ranking is not None else None)
        if method is not None:
            options["ranking"] = method
    else:
        if ranking is not None:
            raise InvalidOption("ranking", "a mixture has no vote", allowed="a trace of a council", value=ranking)
        options["layers"] = len({call.stage for call in own if call.role == "proposer"})
    return f"composite/{trace.strategy}/{model}", options


def _node(call: Call) -> dict[str, Any]:
    """A member under the name that it has in the trace. Whatever it was, it is not asked again."""
    nested = call.model.startswith("composite/")
    return {"model": "stored/answer" if nested else call.model, "name": call.name}


def _final_call(trace: Trace) -> Call:
    return list(trace.children(None))[-1]


def _members_of(trace: Trace) -> list[Call]:
    own = list(trace.children(None))
    return [call for call in own if call.stage == own[0].stage and call.content]


def _picked(trace: Trace) -> str | None:
    members = _members_of(trace)
    first = trace.ranking.order[0] if trace.ranking is not None else members[0].name
    return next((call.content for call in members if call.name == first), None)


def _voted(trace: Trace) -> str | None:
    """The first of the texts that most members gave, but for case, marks and spaces."""
    members = _members_of(trace)
    votes = Counter(plain(call.content or "") for call in members)
    most = max(votes.values())
    return next(call.content for call in members if votes[plain(call.content or "")] == most)
