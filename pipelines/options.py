"""Beam's command-line options, told apart from ours."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """(what Beam understands, the rest in order): Beam's own parser decides, values go with their options."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for kind in _option_classes(PipelineOptions):
        kind._add_argparse_args(parser)
    rest = parser.parse_known_args(list(arguments))[1]
    beam, position = [], 0
    for argument in arguments:
        if position < len(rest) and argument == rest[position]:
            position += 1
        else:
            beam.append(argument)
    return beam, rest


def _option_classes(base: Any) -> list[Any]:
    """Direct and indirect subclasses that define options of their own, each once."""
    found: list[Any] = []
    for kind in base.__subclasses__():
        if kind not in found and "_add_argparse_args" in vars(kind):
            found.append(kind)
        found += [inner for inner in _option_classes(kind) if inner not in found]
    return found


def beam_options(arguments: Sequence[str]) -> PipelineOptions:
    """Options as Beam reads them, with this project's default runner."""
    options = PipelineOptions(list(arguments))
    standard = options.view_as(StandardOptions)
    if standard.runner in (None, "DirectRunner"):
        # Beam's DirectRunner may first try to download another runner; this is the one it falls back to.
        standard.runner = "FnApiRunner"
    return options
