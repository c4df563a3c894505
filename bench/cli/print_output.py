"""Prints a study's plan or result: tables and text, or its JSON document."""

from bench.cli.output import print_json, print_table, print_text
from bench.report.command_output import CommandOutput, OutputTable


def print_output(output: CommandOutput, *, as_json: bool = False) -> None:
    """Print the blocks in order without the empty ones, or the JSON document."""
    if as_json:
        print_json(output.document)
        return
    for block in output.blocks:
        if isinstance(block, OutputTable):
            print_table(block.columns, block.rows, title=block.title or None)
        elif block:
            print_text(block)
