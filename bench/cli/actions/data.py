"""Actions of `posebench data` on an existing data set: check, stats and show."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from bench.cli.actions.data_sets import data_set
from bench.cli.actions.data_show import show_sample, show_skeleton
from bench.cli.output import log, log_notes, print_json, print_line, print_table
from bench.report.data_figure import draw_stats
from posemodel.config import Exif
from posemodel.data.check import COUNTS
from posemodel.data.check import check as find_problems
from posemodel.data.labelled_counts import count_summary
from posemodel.data.stats import QUANTILES, VIEWS, Tally, folder_stats, join
from posemodel.skeleton import COCO_KEYPOINTS, COCO_PERSON, Skeleton

__all__ = ["check", "show_sample", "show_skeleton", "stats"]

SHOWN = 20
"""Maximum number of problems that are printed; `--json` lists all."""
SHOWN_NAMES = 6
"""Maximum number of keypoints, limbs or mirror pairs that are printed; `--json` lists all."""
Named = Mapping[str, Any]
"""Fields of `DataFiles` by name."""


def check(directory: Path | None, named: Named, *, exif: Exif, as_json: bool) -> None:
    """Print the problems of a data set; exits 1 if there are any."""
    data = data_set(directory, named, option="DIR")
    result = find_problems(data, exif=exif, on_split=lambda split: log(f"checking {split} ..."))
    log_notes(result.notes)
    skeleton = result.skeletons.get("train", next(iter(result.skeletons.values()), None))
    document = {**result.as_document(), "skeleton": None if skeleton is None else skeleton.as_document()}
    if as_json:
        print_json(document)
    else:
        rows = [[name, *(str(counts[c]) for c in COUNTS)] for name, counts in document["splits"].items()]
        objects = "people" if skeleton is None or skeleton.name == COCO_PERSON.name else "objects"
        header = (objects if name == "people" else name for name in COUNTS)
        print_table(("split", *header), [*rows, ["sum", *(str(document[c]) for c in COUNTS)]])
        for problem in result.problems[:SHOWN]:
            where = problem.file if problem.id is None else f"{problem.file}: id {problem.id}"
            print_line(f"{where}: {problem.problem}")
        if len(result.problems) > SHOWN:
            print_line(f"... and {len(result.problems) - SHOWN} more: --json lists all.")
        if text := count_summary(result.labelled_images):
            print_line(f"a study would have: {text}")
        for line in () if skeleton is None else _skeleton_lines(skeleton):
            print_line(line)
        count = len(result.problems)
        print_line("no problems" if not count else "1 problem" if count == 1 else f"{count} problems")
    raise typer.Exit(1 if result.problems else 0)


def _skeleton_lines(skeleton: Skeleton) -> list[str]:
    """Describe a skeleton in a few lines."""

    def counted(count: int, one: str) -> str:
        return f"{count} {one}{'' if count == 1 else 's'}"

    def some(texts: Sequence[str]) -> str:
        return ", ".join(texts[:SHOWN_NAMES]) + (f" and {len(texts) - SHOWN_NAMES} more" * (len(texts) > SHOWN_NAMES))

    parts = skeleton.parts
    limbs = some([f"{parts[start]}-{parts[end]}" for start, end in skeleton.limbs])
    pairs = some([f"{left}/{right}" for left, right in skeleton.mirror])
    low, high = min(skeleton.sigmas), max(skeleton.sigmas)
    derived = "; ".join(f"{name} is the mean of {', '.join(sources)}" for name, sources in skeleton.derived)
    lines = [
        f"{skeleton.name}: {counted(skeleton.num_keypoints, 'keypoint')}: {some(skeleton.keypoints)}",
        f"  {counted(skeleton.num_limbs, 'limb')}" + f": {limbs}" * bool(limbs),
        *[f"  {counted(len(skeleton.mirror), 'mirror pair')}: {pairs}"] * bool(pairs),
        f"  OKS sigmas: {low:g}" + (f" to {high:g}" if high > low else ""),
    ]
    lines += [f"  derived: {derived}"] * bool(derived)
    return lines + [f"  {remark}" for remark in skeleton.remarks]


def stats(directory: Path | None, named: Named, out: Path | None, *, skip_bad: bool, as_json: bool) -> None:
    """Print statistics of a data set's annotations and draw them as a PNG."""
    data = data_set(directory, named, option="DIR")
    name = data.folder.resolve().stem if data.folder.is_file() else data.folder.resolve().name
    if out is None:
        out = Path(f"data-stats-{name}.png")
    elif out.suffix.lower() != ".png":
        raise typer.BadParameter(f"{out}: the figure is a PNG file: end its name with .png", param_hint="--out")
    elif not out.parent.is_dir():
        raise typer.BadParameter(f"{out.parent}: no such folder", param_hint="--out")
    tallies = folder_stats(
        data,
        skip_bad=skip_bad,
        on_left_out=lambda file, left_out: log(f"left out: {left_out} ({file})"),
        on_notes=log_notes,
    )
    total = join(list(tallies.values()))
    objects = "people" if total.keypoints == COCO_KEYPOINTS else "objects"
    title = f"{name}: {len(total.sizes)} images, {len(total.heights)} {objects} with keypoints"
    draw_stats(tallies, total, out, title=title, objects=objects)
    if as_json:
        splits = {name: tally.as_document() for name, tally in tallies.items()}
        print_json({"splits": splits, "total": total.as_document(), "figure": str(out)})
        return
    print_table(("", *tallies, "total"), _stats_rows([*tallies.values(), total], objects))
    parts = [[name.replace("_", " "), *(_percent(n, sum(row)) for n in row[::-1])] for name, row in total.parts]
    print_table(("joint", "visible", "occluded", "not labelled"), parts, title=f"joints, all splits (% of {objects})")
    print_line(f"figure: {out}")


def _stats_rows(tallies: list[Tally], objects: str) -> list[list[str]]:
    """Return the rows of the printed table: a name, then a cell for each tally; ``objects``: people or objects."""
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
    rows[1][0], rows[2][0] = objects, f"{objects} without keypoints"
    rows += [row("  crowds as RLE", "crowds_rle"), row(f"images of 3 or more {objects}", "share_images_with_3_or_more")]
    for count in range(most):
        counts = [tally.people_histogram for tally in tallies]
        cells = [_percent(have[count] if count < len(have) else 0, sum(have)) for have in counts]
        rows.append([f"  images of {count}", *cells])
    rows += [row(f"height of {objects}, {name}", "height_share", name) for name in QUANTILES]
    rows += [row(f"joints {name}", "joints", name) for name in ("visible", "occluded", "unlabelled")]
    rows.append(row("occluded, of labelled joints", "share_joints_occluded"))
    rows.append(row(f"{objects} cut by the border", "share_cut_by_border"))
    has_views = objects == "people" or any(d["views"][name] for d in documents for name in VIEWS if name != "unknown")
    for name in VIEWS if has_views else ():
        rows.append([f"seen from: {name}", *(_percent(d["views"][name], d["people"]) for d in documents)])
    rows.append(["image sizes (most common)", *(_most_common(document["image_sizes"]) for document in documents)])
    return rows


def _percent(part: int, total: int) -> str:
    return f"{100 * part / total:.1f} %" if total else "-"


def _most_common(sizes: dict[str, int], shown: int = 2) -> str:
    more = f" and {len(sizes) - shown} more" if len(sizes) > shown else ""
    return ", ".join(f"{size} ({count})" for size, count in list(sizes.items())[:shown]) + more
