"""The answers of a trace, given in the place of asking: a run on them does only what comes after."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping

from composite_llm.backend.interface import Choice, Reply
from composite_llm.engine.retry_cache import CachedAnswers
from composite_llm.engine.subcall_request import SubcallRequest
from composite_llm.model.errors import InvalidOption
from composite_llm.model.trace import Call, Trace
from composite_llm.model.usage import NO_USAGE
from composite_llm.strategies.ballots import candidates_of, parse_ballot


class StoredAnswers(CachedAnswers):
    """What each stage of a trace was answered, by stage and name.

    Args:
        trace: Of a run whose answers were kept.
    """

    def __init__(self, trace: Trace) -> None:
        super().__init__(secrets.token_hex(16))
        object.__setattr__(self, "_calls", {(call.stage, call.name): call for call in trace.children(None)})

    _calls: Mapping[tuple[str, str], Call]

    def answer_to(self, subcall: SubcallRequest) -> Reply | None:
        """The stored answer.

        Raises:
            InvalidOption: There is none; nobody is asked in a replay but the final model.
        """
        if subcall.final:
            return None
        call = self._calls.get((subcall.stage, subcall.name))
        if call is None or call.content is None:
            raise InvalidOption("trace", f"has no answer of {subcall.name!r} in stage {subcall.stage!r}")
        text = call.content
        if subcall.review is not None:
            labels = subcall.review(_reply("")).labels
            text = text if labels == call.labels else _relabelled(call, labels)
        return _reply(text, cut_off=call.cut_off)


def _reply(text: str, *, cut_off: bool = False) -> Reply:
    choice = Choice(0, {"role": "assistant", "content": text}, "length" if cut_off else "stop")
    return Reply((choice,), usage=NO_USAGE, cost_usd=0.0)


def _relabelled(call: Call, labels: Mapping[str, str]) -> str:
    """A review as a ballot with other labels: answers are left out, or stand in another order.

    Args:
        call: The reviewer's.
        labels: Under which label it sees whose answer now.
    """
    label_of = {name: label for label, name in labels.items()}
    ballot = parse_ballot(call.content or "", tuple(call.labels), cut_off=call.cut_off)
    ranking = [_letter(label_of[name]) for name in candidates_of(ballot, call.labels) if name in label_of]
    reviews = {_letter(label_of[name]): text for name, text in call.critiques.items() if name in label_of}
    for name in sorted(call.labels.values(), key=len, reverse=True):
        shown = label_of.get(name, "another answer")
        reviews = {letter: text.replace(name, shown) for letter, text in reviews.items()}
    return json.dumps({"reviews": reviews, "ranking": ranking}, ensure_ascii=False)


def _letter(label: str) -> str:
    return label.split()[-1]
