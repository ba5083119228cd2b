"""A conversation: what was said, who is asked, and what it has cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from composite_llm.cli.asking import answered, expect
from composite_llm.cli.offline import Models
from composite_llm.cli.output import drawing
from composite_llm.cli.progress import Progress
from composite_llm.cli.target import Target
from composite_llm.cli.views import LiveView, PlainView, View
from composite_llm.model.trace import Trace

if TYPE_CHECKING:
    from composite_llm.work import Session


@dataclass(frozen=True, slots=True)
class Setting:
    """Who is asked: the words of the command line, as the conversation changes them."""

    strategy: str | None = None
    model: str | None = None
    proposers: tuple[str, ...] = ()
    profile: str | None = None
    options: tuple[str, ...] = ()
    system: str | None = None


@dataclass(slots=True)
class Conversation:
    """One conversation.

    Attributes:
        at: Where the models are.
        setting: Who is asked next.
        progress: The observer of its runs.
        full: Whether each member's own text is shown.
        said: The messages until now, without a system prompt.
        traces: Of its runs, failed and broken off ones included.
        session: Keeps what is said, to go on with another time.
    """

    at: Models
    setting: Setting
    progress: Progress
    full: bool = False
    said: list[dict[str, Any]] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    session: Session | None = None

    def target(self, setting: Setting | None = None) -> Target:
        """What the next question is put to.

        Raises:
            Misused: The words of the setting contradict each other.
        """
        words = setting or self.setting
        target = self.at.target(words.strategy, words.model, words.proposers, words.profile, words.options)
        return target.with_options({"reasoning": "full"}) if self.full else target

    def check(self, setting: Setting | None = None) -> None:
        """Refuse a setting that cannot be asked.

        Raises:
            CompositeError: It cannot.
        """
        expect(self.progress, self.target(setting))

    async def turn(self, text: str, *, quiet: bool = False) -> None:
        """Ask, and show the answer; a question without a whole answer is forgotten.

        Raises:
            CompositeError: The run gave no answer.
        """
        target = self.target()
        expect(self.progress, target)
        question = {"role": "user", "content": text}
        system = [{"role": "system", "content": self.setting.system}] if self.setting.system else []
        view = self._view(quiet=quiet)
        try:
            answer = await answered(target, [*system, *self.said, question], view)
        finally:
            if self.progress.trace is not None:
                self.traces.append(self.progress.trace)
        for message in (question, {"role": "assistant", "content": answer.text}):
            self.said.append(message)
            if self.session is not None:
                self.session.append(message)

    def forget(self) -> None:
        """Begin anew."""
        self.said.clear()
        if self.session is not None:
            self.session.reset()

    def _view(self, *, quiet: bool) -> View:
        if drawing():
            return LiveView(self.progress, full=self.full)
        return PlainView(self.progress, full=self.full, quiet=quiet)
