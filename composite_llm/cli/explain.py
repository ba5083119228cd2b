"""`composite explain`: a run on paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from composite_llm.cli.output import Json, console, print_json
from composite_llm.cli.target import (
    ConfigOption,
    ModelOption,
    OptionsOption,
    ProfileOption,
    ProposersOption,
    StrategyOption,
    target_of,
)

if TYPE_CHECKING:
    from rich.tree import Tree

    from composite_llm.run.explanation import ExplainedNode, Explanation


def explain(
    question: Annotated[str, typer.Argument(help="The question it would answer; its length counts.")] = "",
    strategy: StrategyOption = None,
    model: ModelOption = None,
    proposers: ProposersOption = None,
    profile: ProfileOption = None,
    options: OptionsOption = None,
    config: ConfigOption = None,
    as_json: Json = False,
) -> None:
    """Show what a run would do and cost, without a call."""
    target = target_of(strategy, model, proposers, profile, options)
    import composite_llm
    from composite_llm.cli.loading import load

    load(config)
    plan = composite_llm.explain(target.model, [{"role": "user", "content": question}], **target.options)
    if as_json:
        print_json(plan)
        return
    out = console()
    out.print(tree_of(plan))
    out.print()
    for line in lines_of(plan):
        out.print(line, markup=False)


def tree_of(plan: Explanation) -> Tree:
    """Stages with their nodes; a composite among them unfolds."""
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text(plan.model, style="bold"), guide_style="dim")
    for stage in plan.stages:
        count = len(stage.nodes)
        head = Text(stage.stage, style="cyan").append(f"  {count} {stage.role}{'s' if count > 1 else ''}", style="dim")
        branch = tree.add(head)
        for node in stage.nodes:
            _add(branch, node)
    return tree


def _add(branch: Tree, node: ExplainedNode) -> None:
    from rich.text import Text

    text = Text(node.name)
    if node.name != node.model:
        text.append(f"  {node.model}", style="dim")
    if node.fallbacks:
        text.append(f"  else {', '.join(node.fallbacks)}", style="dim")
    if node.nested is None:
        branch.add(text)
    else:
        inside = tree_of(node.nested)
        inside.label = text
        branch.add(inside)


def lines_of(plan: Explanation) -> list[str]:
    """The numbers, one to a line."""
    lines = [
        f"Calls    {plan.calls}",
        f"Rounds   {plan.rounds} ({plan.latency_class})",
        f"Cost     {_money(plan.best_cost_usd)} at best, {_money(plan.worst_cost_usd)} at worst",
    ]
    if plan.unpriced:
        lines.append(f"No price {', '.join(plan.unpriced)}")
    return [*lines, *(f"Note     {note}" for note in plan.notes)]


def _money(cost_usd: float | None) -> str:
    return "unknown" if cost_usd is None else f"${cost_usd:.6f}"
