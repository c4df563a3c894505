"""Action of `posebench weights import`: convert a public checkpoint."""

from pathlib import Path

from bench.cli.output import log, print_json, print_line
from posemodel.network.import_weights import import_weights


def import_file(file: Path, out: Path, *, file_format: str, input_format: str | None, as_json: bool) -> None:
    """Convert a public checkpoint to posebench's format and print what it holds."""
    imported = import_weights(file, out, file_format=file_format, input_format=input_format)
    if imported.limbs_to_eyes:
        log(
            "note: in the targets of that code, two of the 19 limbs join shoulder and eye; here they join shoulder and "
            "ear, so these two will find little. Files converted from Caffe (--input-format caffe) are not affected."
        )
    if as_json:
        print_json(imported.as_document())
    else:
        what = imported.network if imported.network is not None else "VGG19's front, for train --backbone-weights"
        print_line(f"{out}: {what}, {imported.parameters:,} parameters, input format {imported.input_format.name}")
