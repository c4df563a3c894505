"""What `posebench weights` does."""

from pathlib import Path

from bench.cli.output import log, print_json, print_line
from posemodel.network.import_weights import import_weights


def import_file(file: Path, out: Path, *, file_format: str, input_format: str | None, as_json: bool) -> None:
    """Write a public checkpoint as one of ours, and say what it is."""
    imported = import_weights(file, out, file_format=file_format, input_format=input_format)
    if imported.limbs_to_eyes:
        log(
            "note: that code's targets join a shoulder to the eye, ours to the ear; two of the 19 limbs will find "
            "little. Files converted from Caffe (--input-format caffe) are not concerned."
        )
    if as_json:
        print_json(imported.as_document())
    else:
        what = imported.network if imported.network is not None else "VGG19's front, for train --backbone-weights"
        print_line(f"{out}: {what}, {imported.parameters:,} parameters, input format {imported.input_format.name}")
