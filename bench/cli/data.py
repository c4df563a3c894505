"""`posebench data`: look at a data set before training on it, or make one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.data_options import (
    ExifOption,
    TrainAnnotations,
    TrainImages,
    ValAnnotations,
    ValImages,
    data_set,
    exif_of,
)
from bench.cli.output import log, log_notes, print_json, print_table, progress_bar

if TYPE_CHECKING:
    from posemodel.data.stats import Tally

app = typer.Typer(
    help="Check data sets, describe them, make synthetic ones.", no_args_is_help=True, rich_markup_mode=None
)

SHOWN = 20
Directory = Annotated[Path | None, typer.Argument(metavar="DIR", help="A data set's folder, in a known layout.")]


@app.command()
def check(
    directory: Directory = None,
    train_annotations: TrainAnnotations = None,
    train_images: TrainImages = None,
    val_annotations: ValAnnotations = None,
    val_images: ValImages = None,
    exif: ExifOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Count images, people, crowds and unlabelled people; name every problem, and what is read differently.

    Exits 1 if there is a problem.
    """
    from posemodel.data.check import COUNTS
    from posemodel.data.check import check as run_check
    from posemodel.data.evidence import told

    named = {
        "train_annotations": train_annotations,
        "train_images": train_images,
        "val_annotations": val_annotations,
        "val_images": val_images,
    }
    data = data_set(directory, named, option="DIR")
    result = run_check(data, exif=exif_of(exif), on_split=lambda split: log(f"checking {split} ..."))
    log_notes(result.notes)
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
        if text := told(result.labelled_images):
            print(f"a study would have: {text}")
        count = len(result.problems)
        print("no problems" if not count else "1 problem" if count == 1 else f"{count} problems")
    raise typer.Exit(1 if result.problems else 0)


@app.command()
def synth(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; a new or unfinished set.")],
    images: Annotated[int, typer.Option("--images", min=3, help="Images in all (8 : 1 : 1 train, select, val).")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same bytes.")] = 0,
    num_workers: Annotated[
        int | None,
        typer.Option("--num-workers", min=0, help="Processes (default: one for each core, 0 for a small set)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Render people as JPEGs with exact COCO annotations; interrupted, the same command goes on."""
    counts = make_synthetic(directory, images, seed, num_workers=num_workers)
    if as_json:
        print_json({"directory": str(directory), "images": sum(counts.values()), "splits": counts})
    else:
        print(f"{directory}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))


@app.command()
def stats(
    directory: Directory = None,
    train_annotations: TrainAnnotations = None,
    train_images: TrainImages = None,
    val_annotations: ValAnnotations = None,
    val_images: ValImages = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.png", help="Where to draw the figure (default: data-stats-<name>.png)."),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave bad images and annotations out, and count them.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Print and draw what the annotations hold: people, sizes, joints, borders, crowds, views; split by split."""
    from bench.report.data_figure import draw_stats
    from posemodel.data.stats import folder_stats, join

    named = {
        "train_annotations": train_annotations,
        "train_images": train_images,
        "val_annotations": val_annotations,
        "val_images": val_images,
    }
    data = data_set(directory, named, option="DIR")
    name = data.folder.resolve().stem if data.folder.is_file() else data.folder.resolve().name
    if out is None:
        out = Path(f"data-stats-{name}.png")
    elif out.suffix.lower() != ".png":
        raise typer.BadParameter(f"{out}: the figure is a PNG; end its name with .png", param_hint="--out")
    elif not out.parent.is_dir():
        raise typer.BadParameter(f"{out.parent}: no such folder", param_hint="--out")
    tallies = folder_stats(
        data,
        skip_bad=skip_bad,
        on_left_out=lambda file, left_out: log(f"left out: {left_out} ({file})"),
        on_notes=log_notes,
    )
    total = join(list(tallies.values()))
    title = f"{name}: {len(total.sizes)} images, {len(total.heights)} people with keypoints"
    draw_stats(tallies, total, out, title=title)
    if as_json:
        splits = {name: tally.as_document() for name, tally in tallies.items()}
        print_json({"splits": splits, "total": total.as_document(), "figure": str(out)})
        return
    print_table(("", *tallies, "total"), _stats_rows([*tallies.values(), total]))
    parts = [[name.replace("_", " "), *(_percent(n, sum(row)) for n in row[::-1])] for name, row in total.parts]
    print_table(("joint", "visible", "occluded", "not labelled"), parts, title="joints, all splits (% of people)")
    print(f"figure: {out}")


@app.command()
def show(
    index: Annotated[int, typer.Option("--index", help="Which sample, from 0 on, by ascending image id.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.png", help="Where to draw it; a new file.")],
    directory: Directory = None,
    train_annotations: TrainAnnotations = None,
    train_images: TrainImages = None,
    val_annotations: ValAnnotations = None,
    val_images: ValImages = None,
    exif: ExifOption = None,
    split: Annotated[str, typer.Option("--split", help="train, select, report, val or another one.")] = "train",
    labelled_only: Annotated[
        bool, typer.Option("--labelled-only", help="Number only images with labelled people, as training does.")
    ] = False,
    size: Annotated[int | None, typer.Option("--size", help="Input side (default: the network's; 368).")] = None,
    network: Annotated[str | None, typer.Option("--network", help="Whose input and maps (default: small).")] = None,
    stride: Annotated[
        int | None, typer.Option("--stride", min=1, help="Pixels per cell, instead of a network's.")
    ] = None,
    augment: Annotated[bool, typer.Option("--augment/--no-augment", help="As in training, or as in scoring.")] = True,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the run whose sample it is.")] = 0,
    epoch: Annotated[int, typer.Option("--epoch", min=0, help="In which the sample is taken.")] = 0,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave bad images and annotations out, and count them.")
    ] = False,
) -> None:
    """Draw one sample as the network gets it: the input, the people, what is ignored, heatmaps and fields."""
    from bench.cli.data_show import show_sample

    named = {
        "train_annotations": train_annotations,
        "train_images": train_images,
        "val_annotations": val_annotations,
        "val_images": val_images,
    }
    show_sample(
        data_set(directory, named, option="DIR"),
        index,
        out,
        split=split,
        labelled_only=labelled_only,
        size=size,
        network=network,
        stride=stride,
        augment=augment,
        seed=seed,
        epoch=epoch,
        skip_bad=skip_bad,
        exif=exif_of(exif),
    )


def _stats_rows(tallies: "list[Tally]") -> list[list[str]]:
    """Rows of the printed table: a name, then a cell for each tally."""
    from posemodel.data.stats import QUANTILES, VIEWS

    documents = [tally.as_document() for tally in tallies]
    most = max(len(tally.people_histogram) for tally in tallies)

    def row(name: str, *keys: str) -> list[str]:
        cells = []
        for document in documents:
            value: Any = document
            for key in keys:
                value = value[key] if value is not None else None
            is_share = isinstance(value, float)
            cells.append("-" if value is None else f"{100 * value:.1f} %" if is_share else str(value))
        return [name, *cells]

    rows = [row(name, name) for name in ("images", "people", "unlabelled", "crowds")]
    rows[2][0] = "people without keypoints"
    rows += [row("  crowds as RLE", "crowds_rle"), row("images of 3 or more people", "share_images_with_3_or_more")]
    for count in range(most):
        counts = [tally.people_histogram for tally in tallies]
        cells = [_percent(have[count] if count < len(have) else 0, sum(have)) for have in counts]
        rows.append([f"  images of {count}", *cells])
    rows += [row(f"height of people, {name}", "height_share", name) for name in QUANTILES]
    rows += [row(f"joints {name}", "joints", name) for name in ("visible", "occluded", "unlabelled")]
    rows.append(row("occluded, of labelled joints", "share_joints_occluded"))
    rows.append(row("people cut by the border", "share_cut_by_border"))
    for name in VIEWS:
        rows.append([f"seen from: {name}", *(_percent(d["views"][name], d["people"]) for d in documents)])
    rows.append(["image sizes (most common)", *(_most_common(document["image_sizes"]) for document in documents)])
    return rows


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _most_common(sizes: dict[str, int], shown: int = 2) -> str:
    more = f" and {len(sizes) - shown} more" if len(sizes) > shown else ""
    return ", ".join(f"{size} ({count})" for size, count in list(sizes.items())[:shown]) + more


def make_synthetic(directory: Path, images: int, seed: int, *, num_workers: int | None = None) -> dict[str, int]:
    """Generate a synthetic set with a progress bar; a complete one is left as it is."""
    from bench.storage.locks import alone_on
    from posemodel.data.synthetic import generate
    from posemodel.errors import DataError

    # Two studies that begin at once in one folder share the set; the lock file is no litter of theirs.
    try:
        with alone_on(directory), progress_bar() as bar:
            task = bar.add_task(f"rendering {directory}", total=images)
            started = False

            def show(done: int, _total: int) -> None:
                nonlocal started
                if not started:
                    bar.reset(task, completed=done)  # what was there already says nothing about the speed
                    started = True
                bar.update(task, completed=done)

            return generate(directory, images=images, seed=seed, num_workers=num_workers, on_progress=show)
    except (FileExistsError, ValueError, RuntimeError) as error:
        raise DataError(str(error)) from error


def make_default_data(folder: Path, images: int, seed: int) -> None:
    """The synthetic set of a study without data of its own."""
    log(f"data: {folder} ({images} synthetic images)")
    make_synthetic(folder, images, seed)
