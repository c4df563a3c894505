"""`posebench data`: look at a data set before training on it, or make one."""

import hashlib
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.output import log, print_json, print_table, progress_bar

app = typer.Typer(help="Check data sets, make synthetic ones.", no_args_is_help=True, rich_markup_mode=None)

SHOWN = 20


@app.command()
def check(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A data set in COCO's standard layout.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Count images, people, crowds and unlabelled people; name every problem. Exits 1 if there is one."""
    from posemodel.data.check import COUNTS
    from posemodel.data.check import check as run_check

    result = run_check(directory, on_split=lambda split: log(f"checking {split} ..."))
    document = result.as_document()
    if as_json:
        print_json(document)
    else:
        rows = [[name, *(str(counts[c]) for c in COUNTS)] for name, counts in document["splits"].items()]
        print_table(("split", *COUNTS), [*rows, ["sum", *(str(document[c]) for c in COUNTS)]])
        for problem in result.problems[:SHOWN]:
            where = problem.file if problem.id is None else f"{problem.file}: id {problem.id}"
            print(f"{where}: {problem.problem}")
        if len(result.problems) > SHOWN:
            print(f"... and {len(result.problems) - SHOWN} more: --json lists all.")
        count = len(result.problems)
        print("no problems" if not count else "1 problem" if count == 1 else f"{count} problems")
    raise typer.Exit(1 if result.problems else 0)


@app.command()
def synth(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; a new or unfinished set.")],
    images: Annotated[int, typer.Option("--images", min=3, help="Images in all (8 : 1 : 1 train, select, val).")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same bytes.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Render people as JPEGs with exact COCO annotations."""
    counts = make_synthetic(directory, images, seed)
    if as_json:
        print_json({"directory": str(directory), "images": sum(counts.values()), "splits": counts})
    else:
        print(f"{directory}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))


def make_synthetic(directory: Path, images: int, seed: int) -> dict[str, int]:
    """Generate a synthetic set with a progress bar; a complete one is left as it is."""
    from filelock import FileLock

    from posemodel.data.synthetic import generate
    from posemodel.errors import DataError

    # Two studies that begin at once in one folder share the set; the lock file is no litter of theirs.
    key = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:16]
    try:
        with FileLock(Path(tempfile.gettempdir(), f"posebench-{key}.lock")), progress_bar() as bar:
            task = bar.add_task(f"rendering {directory}", total=images)
            return generate(
                directory, images=images, seed=seed, on_progress=lambda done, _total: bar.update(task, completed=done)
            )
    except (FileExistsError, ValueError) as error:
        raise DataError(str(error)) from error
