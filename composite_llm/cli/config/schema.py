"""`composite config schema`."""

from __future__ import annotations

from composite_llm.cli.output import print_json


def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors.

    With `# yaml-language-server: $schema=composite.schema.json` as the first line of a file, editors complete it.
    """
    from composite_llm.config.schema import config_schema

    print_json(config_schema())
