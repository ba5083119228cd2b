"""Many requests from a file, answered into another: so many at once, none lost, none that was answered asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from composite_llm.config.parameters import CONNECTION
from composite_llm.evaluate.asking import RETRYABLE, ask
from composite_llm.evaluate.contestants import worst_of_plain
from composite_llm.evaluate.journal import Journal
from composite_llm.evaluate.pace import Pace
from composite_llm.evaluate.purse import Purse
from composite_llm.evaluate.questions import fingerprint
from composite_llm.evaluate.requests import Request, answered_line, load_requests
from composite_llm.evaluate.workers import do_all
from composite_llm.model.errors import CompositeError, InvalidConfig, InvalidOption
from composite_llm.model.model_strings import is_composite_model
from composite_llm.runtime import explain


@dataclass(slots=True)
class Bill:
    """What the requests of a batch took, those of earlier processes included.

    Attributes:
        requests: All of the file.
        answered: With an answer.
        failed: Without one, and not to be asked again.
        calls: Model calls behind them.
        prompt_tokens: Of all calls.
        completion_tokens: Of all calls.
        cost_usd: Of those whose price is known.
        unpriced: Requests whose price is unknown.
    """

    requests: int = 0
    answered: int = 0
    failed: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0

    @property
    def open(self) -> int:
        """Requests that are not answered yet."""
        return self.requests - self.answered - self.failed

    def add(self, line: Mapping[str, Any]) -> None:
        """One line of the output."""
        used = line.get("composite") or {}
        self.answered += line.get("error") is None
        self.failed += line.get("error") is not None
        self.calls += int(used.get("calls") or 0)
        self.prompt_tokens += int(used.get("prompt_tokens") or 0)
        self.completion_tokens += int(used.get("completion_tokens") or 0)
        self.unpriced += used.get("cost_usd") is None
        self.cost_usd += float(used.get("cost_usd") or 0.0)


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """How a batch is done.

    Attributes:
        max_parallel: Requests at once.
        max_cost_usd: US dollars at most, what earlier processes spent on the same output included.
        rpm: Model calls that may begin in a minute.
        tpm: Tokens of a minute.
        allow_unpriced: Let a cap pass models without a known price.
    """

    max_parallel: int = 8
    max_cost_usd: float | None = None
    rpm: float | None = None
    tpm: float | None = None
    allow_unpriced: bool = False


@dataclass
class Batch:
    """The requests of one file.

    Args:
        source: JSON lines; see `load_requests`.
        output: Gets a line for each request, in the order in which they come to their end; what has one is not asked again.
        model: Asked for every line; without it each line's own model is.
        options: Options and call parameters of every request; those of a line come before them.
        settings: How it is done.

    Raises:
        InvalidConfig, InvalidOption: Something of it cannot be used.
    """

    source: Path
    output: Path
    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: BatchSettings = field(default_factory=BatchSettings)

    def __post_init__(self) -> None:
        for name in ("max_parallel", "max_cost_usd", "rpm", "tpm"):
            value = getattr(self.settings, name)
            if value is not None and not value > 0:
                raise InvalidOption(name, f"got {value!r}", allowed="a number above 0", value=value)
        if self.source.absolute() == self.output.absolute():
            raise InvalidConfig(f"{self.output}: is the file of the requests itself")
        self.requests = load_requests(self.source)
        for request in self.requests:
            if self._model(request) is None:
                raise InvalidConfig(f"{self.source}: request {request.custom_id!r} names no model")
        self._journal = Journal(self.output)
        self._by_id = {request.custom_id: request for request in self.requests}
        self.bill = Bill(len(self.requests))
        self._done: set[str] = set()
        self._earlier: dict[str, Mapping[str, Any]] = {}
        for line in self._journal.entries():
            self._recall(line)
        self._pace = Pace(self.settings.rpm, self.settings.tpm)
        self._purse = Purse(self.settings.max_cost_usd, self.bill.cost_usd)
        self._worsts: dict[str, float | None] = {}

    def _model(self, request: Request) -> str | None:
        return self.model or request.model

    def _fingerprint(self, request: Request) -> str:
        """The same for the same request to the same model."""
        options = {key: value for key, value in self.options.items() if key not in CONNECTION}
        return fingerprint(request.fingerprint, self._model(request), options)

    def _recall(self, line: Mapping[str, Any]) -> None:
        """A line that is there already.

        Raises:
            InvalidConfig: It answers something else.
        """
        custom_id = line.get("custom_id")
        if not isinstance(custom_id, str) or "response" not in line:
            raise InvalidConfig(f"{self.output}: is no output of a batch")
        if custom_id not in self._by_id:
            return
        used = line.get("composite") or {}
        if used.get("fingerprint") != self._fingerprint(self._by_id[custom_id]):
            message = f"request {custom_id!r} has an answer there to another content, model or option"
            raise InvalidConfig(f"{self.output}: {message}; name another output, or remove the line")
        if self._stays(line):
            self._done.add(custom_id)
            self.bill.add(line)
        else:
            self._earlier[custom_id] = used

    def _stays(self, line: Mapping[str, Any]) -> bool:
        """Whether a line of the output stays: not a failure that may have passed."""
        status = (line.get("response") or {}).get("status_code")
        return line.get("custom_id") not in self._by_id or line.get("error") is None or status not in RETRYABLE

    def worst_usd(self) -> float | None:
        """What the open requests cost if every answer is as long as its model allows; None when a price is unknown."""
        worsts = [self._worst(request) for request in self.requests if request.custom_id not in self._done]
        return None if None in worsts else sum(worst or 0.0 for worst in worsts)

    def _worst(self, request: Request) -> float | None:
        """Of one that would be refused nothing."""
        if request.custom_id not in self._worsts:
            model, options = str(self._model(request)), {**self.options, **request.options}
            try:
                worst = (
                    explain(model, request.messages, **options).worst_cost_usd
                    if is_composite_model(model)
                    else worst_of_plain(model, request.messages, options)
                )
            except CompositeError:
                worst = 0.0
            self._worsts[request.custom_id] = worst
        return self._worsts[request.custom_id]

    def _calls(self, request: Request) -> int:
        """Model calls, as far as somebody limits them."""
        model = str(self._model(request))
        if self.settings.rpm is None or not is_composite_model(model):
            return 1
        try:
            return explain(model, request.messages, **{**self.options, **request.options}).calls
        except CompositeError:
            return 1

    async def run(self, on_change: Callable[[], object] = lambda: None, *, stop: asyncio.Event | None = None) -> bool:
        """Ask what is open.

        Args:
            on_change: Called after each request.
            stop: Once it is set nothing new is asked, and what is under way comes to its end.

        Returns:
            Whether every request has its line; if not, the cap was reached or it was stopped.

        Raises:
            InvalidOption: There is a cap, and a price is unknown.
        """
        waiting = [request for request in self.requests if request.custom_id not in self._done]
        if self.settings.max_cost_usd is not None and not self.settings.allow_unpriced:
            self._check_priced(waiting)
        self._journal.open(self._stays)

        async def one(request: Request) -> bool:
            done = await self._one(request)
            on_change()
            return done

        try:
            return await do_all(waiting, one, max_parallel=self.settings.max_parallel, stop=stop)
        finally:
            self._journal.close()

    def _check_priced(self, waiting: list[Request]) -> None:
        for request in waiting:
            if self._worst(request) is None:
                message = f"the price of {self._model(request)!r} is unknown (request {request.custom_id!r})"
                raise InvalidOption("max_cost_usd", message, allowed="known prices, or allow_unpriced")

    async def _one(self, request: Request) -> bool:
        worst = (self._worst(request) or 0.0) if self.settings.max_cost_usd is not None else 0.0
        if not await self._purse.set_aside(worst):
            return False
        model, options = str(self._model(request)), {**self.options, **request.options}
        cost: float | None = worst
        try:
            reply = await self._pace.ask(lambda: ask(model, request.messages, options), self._calls(request))
            cost = reply.cost_usd
        finally:
            await self._purse.pay(worst, cost)
        line = answered_line(request.custom_id, self._fingerprint(request), reply)
        _add_earlier(line["composite"], self._earlier.get(request.custom_id, {}))
        self._journal.add(line)
        self._done.add(request.custom_id)
        self.bill.add(line)
        return True


def _add_earlier(used: dict[str, Any], earlier: Mapping[str, Any]) -> None:
    """What a try of an earlier process took belongs to the same bill."""
    for key in ("calls", "prompt_tokens", "completion_tokens"):
        used[key] += int(earlier.get(key) or 0)
    if used["cost_usd"] is not None:
        used["cost_usd"] += float(earlier.get("cost_usd") or 0.0)
