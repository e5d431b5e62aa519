"""`translate-mix model`: converting models, and making them faster."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipelines.commands.options import Commands, complain, local, tell, threads
from translation.console import DONE, WRONG, CommandParser, TerminalConsole


def add(commands: Commands) -> None:
    """Adds the group to the command line."""
    model = commands.add_parser("model", help="add, shortlist: convert an NLLB model, make it faster")
    model_commands = model.add_subparsers(
        dest="model_command", required=True, metavar="COMMAND", parser_class=CommandParser
    )
    add = model_commands.add_parser("add", help="Hugging Face directory or hub name -> CTranslate2 directory")
    add.add_argument(
        "model", metavar="MODEL", help="facebook/nllb-200-distilled-600M, -1.3B, a directory, ..."
    )
    add.add_argument(
        "--quantization", default="int8", metavar="TYPE", help="int8, int8_float16, float16, float32, ..."
    )
    add.add_argument("--output", type=local, metavar="DIR", help="default: models/NAME-QUANTIZATION")
    add.set_defaults(call=_model_add)
    lists = model_commands.add_parser(
        "shortlist", help="which part of the vocabulary each language needs: twice as fast on a CPU"
    )
    lists.add_argument("directory", type=local, metavar="DIR", help="of the converted model")
    lists.add_argument(
        "--texts",
        type=local,
        nargs="+",
        default=[],
        metavar="PATH",
        help="deu_Latn.txt, TSV or Parquet with languages and texts, folders of them, a mix or its memory",
    )
    lists.add_argument(
        "--sample",
        type=local,
        metavar="FILE",
        help="English texts to compare with; default: those of --texts",
    )
    lists.add_argument(
        "--anew", action="store_true", help="drop lists that --texts cannot make (default: those there stay)"
    )
    lists.add_argument("--threads", type=threads, metavar="N", help="as `run` has it")
    lists.set_defaults(call=_model_shortlist)


def _model_add(parsed: argparse.Namespace) -> int:
    from translation.convert import QUANTIZATIONS, add_model
    from translation.model import ModelError

    if parsed.quantization not in QUANTIZATIONS:
        complain(f"--quantization {parsed.quantization}: one of {', '.join(QUANTIZATIONS)}")
        return WRONG
    if not parsed.model.strip():
        raise ValueError("model add: name a Hugging Face directory or a hub name")
    name = parsed.model.rstrip("/").split("/")[-1]
    output = parsed.output or Path("models", f"{name}-{parsed.quantization}")
    try:
        description = add_model(parsed.model, output, parsed.quantization)
    except ModelError as error:
        return tell(error)
    print(
        f"{output}: {description.name}, {description.quantization}, "
        f"{len(description.languages)} languages, digest {description.digest}"
    )
    print(f"licence: {description.licence}")
    print(f"use it: `model: {output}` in a recipe, or --set model={output}")
    return DONE


ENGLISH_SAMPLE = 400
"""English texts of `--texts` that the lists are tried on."""


def _model_shortlist(parsed: argparse.Namespace) -> int:
    from pipelines.shortlist_table import render_shortlists
    from translation.languages import ENGLISH
    from translation.model import ModelError
    from translation.shortlist_building import build_shortlists
    from translation.shortlist_texts import read_texts
    from translation.tuning import asked_threads

    texts = read_texts(parsed.texts)
    if parsed.sample:
        try:
            sample = parsed.sample.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"--sample {parsed.sample}: cannot be read: {error}") from error
    else:
        sample = list(dict.fromkeys(texts.get(ENGLISH, [])))[:ENGLISH_SAMPLE]
    try:
        report = build_shortlists(
            parsed.directory,
            texts,
            sample,
            threads=asked_threads(parsed.threads, "auto"),
            anew=parsed.anew,
            progress=lambda line: print(line, file=sys.stderr),
        )
    except ModelError as error:
        return tell(error)
    render_shortlists(report, TerminalConsole())
    return DONE
