"""What a Dataflow Flex Template launches: its parameters (flex-template.json) as a `translate-mix run`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pipelines.cli import main


def command(parameters: Sequence[str]) -> list[str]:
    """The command line of `translate-mix` for a template's parameters, which are all `--name=value`.

    `recipe` goes to its place, `set` holds several settings with `;` between them, `overwrite` is true or
    false; the others are options of `translate-mix run` or of Beam as they are.
    """
    recipe: list[str] = []
    options: list[str] = []
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "--recipe":
            recipe = [value] if value else []
        elif name == "--set":
            options += [f"--set={setting.strip()}" for setting in value.split(";") if setting.strip()]
        elif name == "--overwrite":
            options += ["--overwrite"] if value.lower() == "true" else []
        else:
            options.append(parameter)
    # The launcher only writes the job down; Dataflow starts it from there, and the job lasts for hours.
    return ["run", *recipe, "--quiet", "--no_wait_until_finish", *options]


if __name__ == "__main__":
    main(command(sys.argv[1:]))
