"""`translate-mix memory`: the translation memory of a mix."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace

from pipelines.commands.options import Commands, complain, filled
from translation.console import DONE, FAILED, CommandParser, TerminalConsole


def add(commands: Commands) -> None:
    """Adds the group to the command line."""
    memory = commands.add_parser(
        "memory", help="stats, compact, export, import: the translation memory of a mix"
    )
    memory_commands = memory.add_subparsers(
        dest="memory_command", required=True, metavar="COMMAND", parser_class=CommandParser
    )
    stats = memory_commands.add_parser("stats", help="what it holds, by model and language pair")
    stats.add_argument("directory", type=filled, metavar="DIR", help="of the mix")
    stats.add_argument("--json", action="store_true", help="one object")
    stats.set_defaults(call=_memory_stats)
    compacted = memory_commands.add_parser("compact", help="few large files, none damaged, no entry twice")
    compacted.add_argument("directory", type=filled, metavar="DIR", help="of the mix")
    compacted.set_defaults(call=_memory_compact)
    exported = memory_commands.add_parser("export", help="translations out of English as TMX or TSV")
    exported.add_argument("directory", type=filled, metavar="DIR", help="of the mix")
    exported.add_argument("file", type=filled, metavar="FILE", help="name.tmx or name.tsv")
    exported.set_defaults(call=_memory_export)
    imported = memory_commands.add_parser(
        "import", help="translations out of English that runs on the mix prefer to the model's"
    )
    imported.add_argument("directory", type=filled, metavar="DIR", help="of the mix, or a new one")
    imported.add_argument("file", type=filled, metavar="FILE", help="name.tmx or name.tsv")
    imported.set_defaults(call=_memory_import)


def _memory_stats(parsed: argparse.Namespace) -> int:
    from pipelines.remembered import memory_stats, render_memory
    from translation.memory_segments import MemoryFolderError

    try:
        stats = memory_stats(parsed.directory)
    except MemoryFolderError as error:
        complain(error)
        return FAILED
    if parsed.json:
        groups = [asdict(group) | {"entries": entries} for group, entries in stats.groups.items()]
        print(json.dumps(asdict(replace(stats, groups={})) | {"groups": groups}, ensure_ascii=False))
    else:
        render_memory(stats, TerminalConsole())
    if stats.damaged:
        complain(
            f"{stats.damaged} damaged files were set aside; a run translates what they held again, and "
            "`translate-mix memory compact` deletes them"
        )
        return FAILED
    return DONE


def _memory_compact(parsed: argparse.Namespace) -> int:
    from pipelines.filesystem import OutputError
    from pipelines.remembered import compact_memory
    from translation.memory_segments import MemoryFolderError

    try:
        done = compact_memory(parsed.directory)
    except (MemoryFolderError, OutputError) as error:
        complain(error)
        return FAILED
    print(
        f"{done.before:,} segments became {done.after:,}; {done.dropped:,} entries that another "
        f"is like and {done.damaged:,} damaged files are gone"
    )
    if done.kept_apart:
        print(f"{done.kept_apart:,} segments of an unfinished run stay as they are until it is finished")
    return DONE


def _memory_export(parsed: argparse.Namespace) -> int:
    from pipelines.filesystem import OutputError
    from pipelines.remembered import export_memory
    from translation.memory_segments import MemoryFolderError

    try:
        done = export_memory(parsed.directory, parsed.file)
    except (MemoryFolderError, OutputError) as error:
        complain(error)
        return FAILED
    print(f"{parsed.file}: {done.pairs:,} translations")
    if done.broken:
        complain(f"{done.broken:,} that were cut off, empty or unknown to the model are left out")
    if done.unfit:
        complain(f"{done.unfit:,} with control characters are left out, which XML cannot hold; .tsv can")
    return DONE


def _memory_import(parsed: argparse.Namespace) -> int:
    from pipelines.exchange import DamagedExchange
    from pipelines.filesystem import OutputError
    from pipelines.remembered import import_memory
    from pipelines.summary import counted
    from translation.memory_segments import MemoryFolderError

    try:
        done = import_memory(parsed.directory, parsed.file)
    except (DamagedExchange, MemoryFolderError, OutputError) as error:
        complain(error)
        return FAILED
    for one in done.shown:
        complain(f"{one.place} left out: {one.why}")
    if done.left_out > len(done.shown):
        complain(f"{parsed.file}: {done.left_out - len(done.shown):,} more left out")
    print(f"{parsed.directory}: {counted(done.pairs, 'translation')} imported; the next run on it uses them")
    return DONE if done.pairs else FAILED
