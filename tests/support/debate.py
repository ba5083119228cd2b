"""A strategy as a user of the package writes one, with nothing but what CONTRIBUTING.md says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import PositiveInt

from composite_llm.strategies import (
    Deliberation,
    Nodes,
    NodeSettings,
    Options,
    Prompt,
    StageAnswer,
    StageRunner,
    StageSpec,
    Strategy,
    fence_code,
    fenced,
    material_note,
)


class DebateOptions(Options):
    """Debate."""

    strategy: ClassVar[str] = "debate"
    final_role: ClassVar[str] = "judge"

    debaters: Nodes
    rounds: PositiveInt = 2
    """How often each debater speaks."""
    judge: NodeSettings | None = None


class Debate(Strategy[DebateOptions]):
    """Debaters answer, read one another and answer again; the judge decides. `rounds * debaters + 1` calls."""

    options_type = DebateOptions
    title = "Debate"

    def declared_stages(self) -> Sequence[StageSpec]:
        """A stage for each round, then the judge."""
        stages: list[StageSpec] = []
        for number in range(1, self.options.rounds + 1):
            stages.append(
                StageSpec(
                    name=f"round-{number}",
                    role="debater",
                    nodes=self.options.debaters,
                    option="debaters",
                    reads=(stages[-1].name,) if stages else (),
                    title=f"Round {number}",
                )
            )
        return [*stages, self.final_spec("decide", reads=(stages[-1].name,), title="Decision")]

    async def deliberate(self, runner: StageRunner) -> Deliberation:
        """Round by round."""
        view = self.advisor_messages()
        texts: list[str] = []
        for stage in self.stages[:-1]:
            answers = await runner.ask(stage.name, self._prompt(view, texts, runner.secret, stage.name))
            texts = [answer.text for answer in answers]
        return runner.deliberation()

    def final_messages(self, deliberation: Deliberation) -> list[Any]:
        """The conversation, and what the debaters said last."""
        answers: tuple[StageAnswer, ...] = deliberation.answers
        if not answers:
            return list(self.messages)
        texts = [answer.text for answer in answers]
        code = fence_code(deliberation.secret, "decide", texts)
        return self.with_note(self.messages, _note("Decide the debate below, and answer the user.", texts, code))

    def _prompt(self, view: Sequence[Any], texts: Sequence[str], secret: str, reader: str) -> Prompt:
        if not texts:
            return Prompt.of(view)

        def compose(shown: Sequence[str]) -> list[Any]:
            return self.with_note(view, _note("Answer again.", shown, fence_code(secret, reader, shown)))

        return Prompt(compose, tuple(texts))


def _note(request: str, texts: Sequence[str], code: str) -> str:
    quoted = [fenced(f"debater {number}", text, code) for number, text in enumerate(texts, start=1)]
    return "\n\n".join([request, material_note(code), *quoted])
