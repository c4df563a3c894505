"""Options that average predicted maps over mirrored and resized inputs, shared by eval and predict."""

from typing import Annotated

import typer

from posemodel.errors import SettingsError

Flip = Annotated[bool, typer.Option("--flip", help="Average the predicted maps with those of the mirrored image.")]
Scales = Annotated[
    str | None,
    typer.Option(
        "--scales", metavar="S,S,...", help="Average the predicted maps over these multiples of --size, e.g. 0.5,1,1.5."
    ),
]


def parse_scales(text: str | None) -> tuple[float, ...]:
    """Parse `0.5,1,1.5` into numbers, (1.0,) for None; SettingsError for anything else."""
    if text is None:
        return (1.0,)
    try:
        return tuple(float(each) for each in text.split(","))
    except ValueError as error:
        raise SettingsError(f"--scales {text}: must be numbers separated by commas, as in 0.5,1,1.5.") from error
