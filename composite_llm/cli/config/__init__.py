"""`composite config`: one file per command."""

from __future__ import annotations

from composite_llm.cli.lazy_group import Entry, new_app

_HERE = "composite_llm.cli.config"

COMMANDS = {
    "check": Entry(
        f"{_HERE}.check:check",
        "Say what is wrong with a configuration file, each mistake with its line and column.",
        "composite config check composite.yaml",
    ),
    "show": Entry(
        f"{_HERE}.show:show",
        "Show a profile with every default filled in and secrets masked.",
        "composite config show careful --config examples/composite.yaml",
    ),
    "schema": Entry(
        f"{_HERE}.schema:schema",
        "Print the JSON Schema of the configuration file, for editors.",
        "composite config schema > composite.schema.json",
    ),
    "model-info": Entry(
        f"{_HERE}.model_info:model_info",
        "Print the model_info of a proxy's deployment: windows, worst-case prices, what the nodes support.",
        "composite config model-info careful --config examples/composite.yaml",
    ),
}
"""Every command, in the order of `composite config --help`."""

app = new_app(COMMANDS)


@app.callback()
def config() -> None:
    """Check, show and describe configuration files."""
