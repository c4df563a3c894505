"""`posebench study`: run a study, go on with it, or show a finished one again."""

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.data import make_default_data
from bench.cli.data_options import ExifOption, TrainAnnotations, TrainImages, ValAnnotations, ValImages
from bench.cli.output import log, log_study_data, print_json, print_table
from bench.cli.study_plan import say_estimate, series_document, show_plan, size_text
from bench.engines.interruption import INTERRUPTED

if TYPE_CHECKING:
    from bench.kinds.optimizers.report.result import StudyResult
    from bench.kinds.optimizers.spec import StudySpec
    from bench.study.run import Places

app = typer.Typer(help="Run studies.", no_args_is_help=True, rich_markup_mode=None)

REPORTS_FOLDER = Path("reports")
DONE_WITH_FAULTS = 3
SMOKE = "smoke"
"""Over before an estimate would be worth its seconds."""


@app.command()
def optimizers(
    study: Annotated[
        Path | None, typer.Option("--study", metavar="FILE", help="A TOML study file, over the preset.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="A data set's folder (default: synthetic people, generated)."),
    ] = None,
    train_annotations: TrainAnnotations = None,
    train_images: TrainImages = None,
    val_annotations: ValAnnotations = None,
    val_images: ValImages = None,
    exif: ExifOption = None,
    network: Annotated[
        str | None, typer.Option("--network", help="rtpose_vgg, openpose_2019, lightweight or small.")
    ] = None,
    size: Annotated[int | None, typer.Option("--size", help="Input side in pixels.")] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="smoke, small or full (default: full with a GPU, else small).")
    ] = None,
    optimizers: Annotated[
        str | None,
        typer.Option(
            "--optimizers",
            metavar="A,B",
            help="Ours, torch.optim's (adamw), or by dotted path (my_package.Lion).",
        ),
    ] = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            "--space",
            metavar="NAME:lr=log(A,B),...",
            help="An optimizer's tuning space (its own lr without one); repeatable.",
        ),
    ] = None,
    trials: Annotated[int | None, typer.Option("--trials", min=1, help="Tune trials for each optimizer.")] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Confirm seeds for each optimizer.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1)] = None,
    num_workers: Annotated[int | None, typer.Option("--num-workers", min=0)] = None,
    pin_memory: Annotated[bool | None, typer.Option("--pin-memory/--no-pin-memory")] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Steps of a confirm trial.")] = None,
    tune_steps: Annotated[
        int | None, typer.Option("--tune-steps", min=1, help="Steps of a tune trial (at most --steps by default).")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="Seconds of training of a confirm trial, in place of steps.")
    ] = None,
    tune_seconds: Annotated[
        float | None,
        typer.Option("--tune-seconds", help="Seconds of a tune trial (default: in the ratio of the steps)."),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option("--schedule", help="constant, cosine or step; cosine,step: a study for each."),
    ] = None,
    pruner: Annotated[
        str | None, typer.Option("--pruner", help="none, median or hyperband: end hopeless tune trials early.")
    ] = None,
    controls: Annotated[
        bool | None,
        typer.Option("--controls/--no-controls", help="AdaBound's untuned limit (SGD) on the confirm seeds."),
    ] = None,
    weight_decay: Annotated[float | None, typer.Option("--wd", "--weight-decay", min=0)] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cuda, mps or cpu.")] = None,
    skip_bad: Annotated[
        bool | None, typer.Option("--skip-bad/--no-skip-bad", help="Leave bad images and annotations out.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Default: kind-preset-data folder.")] = None,
    precision: Annotated[str | None, typer.Option("--precision", help="fp32 or bf16 (convolutions only).")] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Trials that run at once (small on a CPU: one a core).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Compare a configuration of each optimizer: tune, confirm on fresh paired seeds, report.

    Interrupted, the same command goes on. Several schedules make a series: a study for each, in turn.
    """
    began = time.time()
    command_line = {
        "data": data,
        "train_annotations": train_annotations,
        "train_images": train_images,
        "val_annotations": val_annotations,
        "val_images": val_images,
        "exif": exif,
        "network": network,
        "size": size,
        "optimizers": parts_of(optimizers),
        "spaces": spaces_given(space),
        "trials": trials,
        "seeds": seeds,
        "batch_size": batch_size,
        "num_workers": num_workers,
        "pin_memory": pin_memory,
        "steps": steps,
        "tune_steps": tune_steps,
        "seconds": seconds,
        "tune_seconds": tune_seconds,
        "schedule": parts_of(schedule) if schedule is not None and "," in schedule else schedule,
        "pruner": pruner,
        "controls": controls,
        "weight_decay": weight_decay,
        "device": device,
        "skip_bad": skip_bad,
        "precision": precision,
        "workers": workers,
        "name": name,
    }
    if not dry_run:
        check_places()
    from bench.kinds.optimizers.prepare import prepare
    from bench.ledger.foreign import refuse_foreign
    from bench.ledger.reader import foreign_studies, look
    from bench.trials.record import FAULTS
    from posemodel.errors import DataError

    places = study_places()
    if dry_run:
        show_plan(prepare(command_line, study, preset, None, log_study_data), as_json)
        return
    if preset != SMOKE:
        with suppress(DataError):  # the default set may need mending; the error of any other is told below
            planned = prepare(command_line, study, preset, None)
            begun, foreign = look(places.storage_url), foreign_studies(places.storage_url)
            for spec in planned.specs:
                refuse_foreign(foreign, places.storage_url, spec.name)
            if all(spec.name not in begun for spec in planned.specs):
                say_estimate(planned)
    prepared = prepare(command_line, study, preset, make_default_data, log_study_data)
    results = []
    for number, spec in enumerate(prepared.specs):
        log(f"study {spec.name}: {size_text(spec)}")
        began, data_s = (began, prepared.data_s) if number == 0 else (time.time(), 0.0)
        result, report = _run(spec, places, workers=prepared.workers, began=began, data_s=data_s)
        results.append((result, report))
        if not as_json:
            show_result(result, report)
    documents = [result.document(report.as_posix()) for result, report in results]
    if prepared.is_series:
        names = [spec.name for spec in prepared.specs]
        if as_json:
            print_json(series_document(prepared, documents))
        else:
            print(f"Compare two of them: posebench compare {names[0]} {names[1]}")
    elif as_json:
        print_json(documents[0])
    if any(result.nothing_found or any(result.trials()[fault] for fault in FAULTS) for result, _ in results):
        raise typer.Exit(DONE_WITH_FAULTS)


def _run(
    spec: "StudySpec", places: "Places", *, workers: int, began: float, data_s: float
) -> "tuple[StudyResult, Path]":
    """Run a study to its end before the eyes of whoever waits; Ctrl-C ends the command."""
    from bench.cli.live import shown
    from bench.kinds.optimizers.run import run_study
    from bench.kinds.optimizers.size import Size
    from bench.study.progress import Progress

    with shown(Progress(Size.of_spec(spec), active=True, workers=workers)) as display:
        try:
            return run_study(spec, places, workers=workers, on_event=display.on_event, began=began, data_s=data_s)
        except KeyboardInterrupt:
            known = display.progress
            display.say(
                f"posebench: interrupted; {len(known.done)} of {known.size.planned} trials are recorded, the same "
                "command goes on."
            )
            raise SystemExit(INTERRUPTED) from None


def parts_of(text: str | None) -> list[str] | None:
    """The names of a list separated by commas."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def spaces_given(texts: list[str] | None) -> dict[str, Any] | None:
    """Spaces by optimizer, as in a study file."""
    if not texts:
        return None
    from bench.optimizers.spaces import parse_space
    from posemodel.errors import SettingsError

    spaces: dict[str, Any] = {}
    for text in texts:
        name, space = parse_space(text)
        if name in spaces:
            raise SettingsError(f"--space {text!r}: {name} has a space already: put all of it into one --space.")
        spaces[name] = space
    return spaces


def check_places() -> None:
    """SettingsError where state cannot be kept: said before libraries are loaded, data is made and time is measured."""
    from bench.records.store_check import check_stores
    from bench.settings.shared import places_settings

    places = places_settings()
    check_stores(places["storage"].value, places["tracking_uri"].value)


def study_places() -> "Places":
    """Where state and reports go: the environment's URLs, else files in the working directory."""
    from bench.settings.shared import places_settings
    from bench.study.run import Places

    places = places_settings()
    return Places(places["storage"].value, places["tracking_uri"].value, REPORTS_FOLDER)


def show_result(result: "StudyResult", report: Path) -> None:
    """The main table, the settings and the verdict, as the report has them."""
    from bench.kinds.optimizers.report.tables import COLUMNS, SETTINGS_COLUMNS, optimizer_rows, settings_rows

    print_table(COLUMNS, optimizer_rows(result), title=result.spec.name)
    print_table(SETTINGS_COLUMNS, settings_rows(result))
    print(result.verdict)
    print(f"Report: {report}")
