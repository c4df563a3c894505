"""The page of `posebench compare`: two optimizers studies in tables, a figure and Markdown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from bench.kinds.optimizers.measure import AP, Measure
from bench.kinds.optimizers.report.figures.score_axis import set_score_axis
from bench.kinds.optimizers.report.file_names import with_file_names
from bench.report.cells import interval_cell, markdown_table, number_cell, p_cell
from bench.report.csv_file import write_csv
from bench.report.names import MARK
from bench.report.own_schedules import schedule_note
from bench.report.prose import prose
from bench.report.style import COLOURS, QUIET, RC, WIDTH, save
from bench.report.text import cell, code, figure_text, literal, plain
from bench.statistics.json_safe import to_json_safe
from bench.trials.columns import rows_of
from bench.trials.own_schedules import differing
from posemodel.atomic_write import atomic_path
from posemodel.errors import SettingsError

PAGE, TABLE, FIGURE = "compare.md", "compare.csv", "compare.png"
TITLE = "# Two studies side by side"
"""First line of a page that this command wrote and may overwrite."""
SPEED_COLUMNS = ("B / A [95 %]", "adj. p", "beyond noise")
SHIFT = 0.12
"""Vertical distance of an optimizer's two marks from the middle of its row."""


@dataclass(frozen=True)
class StudySide:
    """One of the two studies, and its progress."""

    study: str
    source: str
    """The name or folder given on the command line."""
    spec: Mapping[str, Any]
    machine: Mapping[str, str]
    recorded: int
    planned: int

    @property
    def other_schedules(self) -> dict[str, str]:
        """Schedules that are not the study's, by optimizer."""
        return differing(self.spec.get("own_schedules") or {}, self.spec.get("schedule"))

    def schedule_of(self, optimizer: str) -> str:
        """Return the schedule with which an optimizer trained; empty where it is not known."""
        return self.other_schedules.get(optimizer) or str(self.spec.get("schedule") or "")


@dataclass(frozen=True)
class StudyComparison:
    """The result of comparing two studies."""

    a: StudySide
    b: StudySide
    not_paired: str
    """Why seeds do not pair trials; empty where they do."""
    settings: tuple[str, ...]
    """Settings that differ, as `field: A -> B`."""
    machines: tuple[str, ...]
    """Machine properties that differ, as `field: A -> B`."""
    table: pd.DataFrame
    """One row an optimizer, from `compare_studies`."""
    only_in: tuple[tuple[str, ...], tuple[str, ...]]
    """Optimizers that only A has, and that only B has."""
    verdict: str
    has_no_result: bool = False
    """Whether one of the two has no result at all, so that nothing can be compared."""
    measure: Measure = AP
    """The measure that the scores of both are in."""

    @property
    def output_table(self) -> pd.DataFrame:
        """The table with the column names of files; the schedules in both, if an optimizer has not its study's."""
        table = with_file_names(self.table, self.measure)
        if not self.other_schedules:
            return table
        schedules = {
            f"schedule_{letter}": [side.schedule_of(str(name)) for name in self.table["name"]]
            for letter, side in (("a", self.a), ("b", self.b))
        }
        return table.assign(**schedules)

    @property
    def other_schedules(self) -> dict[str, str]:
        """Schedules that are not their study's, in either, by optimizer that both have."""
        both = {str(name) for name in self.table["name"]}
        schedules = {**self.b.other_schedules, **self.a.other_schedules}
        return {name: own for name, own in schedules.items() if name in both}

    def name(self, optimizer: str) -> str:
        """Return an optimizer's name in tables and figures: marked if its schedule is not its study's."""
        return f"{optimizer}{MARK}" if optimizer in self.other_schedules else optimizer

    @property
    def schedule_note(self) -> str:
        """The footnote on these; empty if there are none."""
        return schedule_note(self.other_schedules, {}, str(self.a.spec.get("schedule", "")))

    def document(self) -> dict[str, Any]:
        """Return the JSON document of `posebench compare`."""
        sides = {
            key: {"study": side.study, "source": side.source, "recorded": side.recorded, "planned": side.planned}
            for key, side in (("a", self.a), ("b", self.b))
        }
        document: dict[str, Any] = to_json_safe(
            {
                **sides,
                "paired": not self.not_paired,
                "not_paired_because": self.not_paired or None,
                "settings": self.settings,
                "machines": self.machines,
                "optimizers": self.output_table,
                "score": self.measure.document(),
                "only_a": self.only_in[0],
                "only_b": self.only_in[1],
                "verdict": plain(self.verdict),
            }
        )
        return document


def score_columns(comparison: StudyComparison) -> tuple[str, ...]:
    """Return the headings of the score table."""
    sides = [f"{comparison.measure.name} in {letter}" for letter in "AB"]
    return ("optimizer", *sides, "B - A [95 %]", "adj. p", "beyond noise", "tunings (collapsed)")


def score_rows(comparison: StudyComparison) -> list[list[str]]:
    """Return the cells of the score table."""
    return [
        [
            comparison.name(str(row["name"])),
            comparison.measure.interval(row["ap_a"], row["ap_a_low"], row["ap_a_high"]),
            comparison.measure.interval(row["ap_b"], row["ap_b_low"], row["ap_b_high"]),
            comparison.measure.difference(row["difference"], row["low"], row["high"]),
            p_cell(row["p_adjusted"]),
            _ahead(row["better"]),
            ", ".join(f"{row[f'tunings_{side}']} ({row[f'collapsed_{side}']})" for side in "ab"),
        ]
        for row in rows_of(comparison.table)
    ]


def speed_columns(comparison: StudyComparison) -> tuple[str, ...]:
    """Return the headings of the speed table."""
    samples = comparison.measure.samples
    return ("optimizer", f"{samples}/s in A", f"{samples}/s in B", *SPEED_COLUMNS)


def speed_rows(comparison: StudyComparison) -> list[list[str]]:
    """Return the cells of the speed table."""
    return [
        [
            comparison.name(str(row["name"])),
            number_cell(row["images_per_s_a"], ".1f"),
            number_cell(row["images_per_s_b"], ".1f"),
            interval_cell(row["speed_ratio"], row["speed_low"], row["speed_high"], ".2f"),
            p_cell(row["speed_p_adjusted"]),
            _ahead(row["faster"]),
        ]
        for row in rows_of(comparison.table)
    ]


def write_comparison(comparison: StudyComparison, folder: Path) -> Path:
    """Write compare.md, its figure and its table as CSV; return the page's path.

    Raises:
        SettingsError: ``folder`` is a file, or has a compare.md that this command did not write.
    """
    page = folder / PAGE
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"--out {folder}: is a file; give a folder.")
    if page.exists() and not page.read_text(encoding="utf-8", errors="replace").startswith(TITLE):
        raise SettingsError(f"--out {folder}: its {PAGE} was not written by `posebench compare`; give another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / TABLE) as temporary:
        as_json = {name: comparison.output_table[name].map(json.dumps) for name in ("settings_a", "settings_b")}
        write_csv(comparison.output_table.assign(**as_json), temporary)
    draw(comparison, folder / FIGURE)
    with atomic_path(page) as temporary:
        temporary.write_text(markdown(comparison), encoding="utf-8")
    return page


def markdown(comparison: StudyComparison) -> str:
    """Return the page in Markdown."""
    title = comparison.measure.title
    parts = [
        TITLE,
        "\n".join(f"- **{letter}**: {_side(side)}" for letter, side in (("A", comparison.a), ("B", comparison.b))),
        prose(comparison.verdict, "> ", "> "),
        f"## {title}",
        _table(score_columns(comparison), score_rows(comparison)),
        f"![{title} of each optimizer in both studies]({FIGURE})",
        prose(
            f"{title} of the last checkpoint on the report split, mean over the tunings that did not collapse; the "
            "difference is over all tunings, with its 95 % interval where none collapsed. Adjusted p: Welch's t test "
            "on the tunings' means, Holm's correction over the optimizers. *Beyond noise*: the study with the "
            f"{comparison.measure.higher} "
            "mean, where the adjusted p is at most 0.05. *Tunings (collapsed)*: in A, in B. Unrounded, with the "
            f"settings that each study shows: [{TABLE}]({TABLE})."
        ),
        *([prose(comparison.schedule_note)] if comparison.schedule_note else []),
        "## Speed",
        _table(speed_columns(comparison), speed_rows(comparison)),
        prose(
            f"{comparison.measure.samples.capitalize()} per second of training, median over the complete confirm "
            "trials; the ratio is of geometric "
            "means, with Welch's interval. Where trials or other programs shared the machine, these are not the "
            "speeds of an idle one."
        ),
        "## What differs",
        _list("Settings", comparison.settings),
        _list("Machine", comparison.machines),
    ]
    for letter, names in zip("AB", comparison.only_in, strict=True):
        if names:
            parts.append(f"Only in {letter}: {', '.join(map(literal, names))}.")
    return "\n\n".join(parts) + "\n"


def draw(comparison: StudyComparison, path: Path) -> None:
    """Draw the mean scores of each optimizer in both studies with intervals; marks are filled beyond noise."""
    rows = comparison.table[comparison.table["ap_a"].notna() & comparison.table["ap_b"].notna()]
    measure, values = comparison.measure, list[float]()
    with plt.rc_context(RC):
        figure, axis = plt.subplots(figsize=(WIDTH, 1.6 + 0.6 * max(len(rows), 1)))
        for position, (_, row) in enumerate(rows.iterrows()):
            ends = [position - SHIFT, position + SHIFT]
            shown = {key: measure.ends(row[key], row[f"{key}_low"], row[f"{key}_high"]) for key in ("ap_a", "ap_b")}
            values += [value for each in shown.values() for value in each]
            axis.plot([middle for middle, _, _ in shown.values()], ends, color=QUIET, linewidth=1, zorder=1)
            for key, shift, colour, marker in (("ap_a", -SHIFT, COLOURS[0], "o"), ("ap_b", SHIFT, COLOURS[3], "D")):
                face = colour if row["better"] else "white"
                axis.plot(shown[key][1:], [position + shift] * 2, color=colour, zorder=2)
                axis.scatter(
                    shown[key][0], position + shift, s=60, zorder=3, edgecolors=colour, facecolors=face, marker=marker
                )
        axis.set_yticks(np.arange(len(rows)), [figure_text(comparison.name(str(name))) for name in rows["name"]])
        axis.invert_yaxis()
        if measure.is_own:
            set_score_axis(axis, values, measure, side="x")
        else:
            axis.set_xlim(left=0)
        axis.set_xlabel(
            f"mean and 95 % interval of {measure.axis_label('report')}"
            if measure.is_own
            else f"{measure.name} (report split): mean and 95 % interval"
        )
        axis.grid(visible=False, axis="y")
        legend = [
            Line2D([], [], color=COLOURS[0], marker="o", label=figure_text(f"A: {comparison.a.source}")),
            Line2D([], [], color=COLOURS[3], marker="D", label=figure_text(f"B: {comparison.b.source}")),
            Line2D([], [], color="black", marker="o", linewidth=0, label="filled: beyond noise"),
        ]
        figure.legend(handles=legend, loc="outside lower center", ncols=3)
        save(figure, path)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return markdown_table([*map(cell, columns)], [[*map(cell, row)] for row in rows])


def _side(side: StudySide) -> str:
    progress = "" if side.recorded >= side.planned else f", unfinished: {side.recorded} of {side.planned} trials"
    where = "" if side.source == side.study else f" ({code(side.source)})"
    gpu = side.machine.get("gpu", "none")
    device = gpu if gpu != "none" else side.machine.get("cpu", side.spec.get("device", "an unknown machine"))
    size = side.spec.get("size")
    network = f"{literal(str(side.spec.get('network')))}{'' if size is None else f' at {size} px'}"
    return f"{code(side.study)}{where}{progress}; {network}, on {literal(str(device))}"


def _list(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return f"{title}: no difference."
    return "\n".join([f"{title}:", "", *(prose(literal(line), "- ", "  ") for line in lines)])


def _ahead(study: str) -> str:
    return study.upper() if study else "-"
