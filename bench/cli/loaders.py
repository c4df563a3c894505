"""`posebench loader advise`: a short loader study with the user's own data, network or data set class."""

import typer

from bench.cli.study import preset_verb
from bench.kinds import KIND_OF_VERB

app = typer.Typer(help="Find fast data loader settings for this machine.", no_args_is_help=True, rich_markup_mode=None)

SETTINGS = (
    "data",
    "train_annotations",
    "train_images",
    "val_annotations",
    "val_images",
    "category",
    "skeleton_file",
    "sigmas",
    "exif",
    "dataset",
    "loader",
    "step",
    "collate",
    "worker_init",
    "random_samples",
    "step_ms",
    "network",
    "size",
    "num_workers",
    "batch_size",
    "pin_memory",
    "device",
    "minutes",
)
"""Settings that have a flag here; `posebench study KIND` has flags for all."""
KIND = KIND_OF_VERB["loader advise"]
HELP = f"""Recommend DataLoader settings after two minutes of measuring.

Prints the DataLoader(...) line to paste. `posebench study {KIND}` is the full study."""

app.command("advise")(preset_verb(KIND, HELP, "advice", SETTINGS))
