"""`posebench study`: run a study, go on with it, or show a finished one again."""

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.data import make_synthetic
from bench.cli.output import log, log_left_out, print_json, print_table
from bench.execute.interruption import INTERRUPTED

if TYPE_CHECKING:
    from bench.estimate import Estimate
    from bench.prepare import Prepared
    from bench.report.result import StudyResult
    from bench.spec import StudySpec
    from bench.study import Places

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
        Path | None, typer.Option("--data", metavar="DIR", help="COCO layout (default: synthetic people, generated).")
    ] = None,
    network: Annotated[str | None, typer.Option("--network", help="rtpose_vgg or small.")] = None,
    size: Annotated[int | None, typer.Option("--size", help="Input side in pixels.")] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="smoke, small or full (default: full with a GPU, else small).")
    ] = None,
    optimizers: Annotated[
        str | None, typer.Option("--optimizers", metavar="A,B", help="Names, separated by commas.")
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
    schedule: Annotated[str | None, typer.Option("--schedule", help="cosine or constant.")] = None,
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
    """Compare optimizers: tune each, confirm on fresh paired seeds, report. Interrupted, the same command goes on."""
    began = time.time()
    command_line = {
        "data": data,
        "network": network,
        "size": size,
        "optimizers": [part.strip() for part in optimizers.split(",") if part.strip()]
        if optimizers is not None
        else None,
        "trials": trials,
        "seeds": seeds,
        "batch_size": batch_size,
        "num_workers": num_workers,
        "pin_memory": pin_memory,
        "steps": steps,
        "tune_steps": tune_steps,
        "schedule": schedule,
        "weight_decay": weight_decay,
        "device": device,
        "skip_bad": skip_bad,
        "precision": precision,
        "workers": workers,
        "name": name,
    }
    from bench.ledger_view import look
    from bench.prepare import prepare
    from posemodel.errors import DataError

    places = study_places()
    if dry_run:
        _show_plan(prepare(command_line, study, preset, None, log_left_out), as_json)
        return
    if preset != SMOKE:
        with suppress(DataError):  # the default set may need mending; the error of any other is told below
            planned = prepare(command_line, study, preset, None)
            if planned.spec.name not in look(places.storage_url):
                _say_estimate(planned)
    prepared = prepare(command_line, study, preset, _make_data, log_left_out)
    spec, workers = prepared.spec, prepared.workers
    log(f"study {spec.name}: {_size_text(spec)}")

    from bench.cli.live import shown
    from bench.progress import Progress, Size
    from bench.record import FAULTS
    from bench.study import run_study

    with shown(Progress(Size.of_spec(spec), active=True, workers=workers)) as display:
        try:
            result, report = run_study(
                spec, places, workers=workers, on_event=display.on_event, began=began, data_s=prepared.data_s
            )
        except KeyboardInterrupt:
            known = display.progress
            display.say(
                f"posebench: interrupted; {len(known.done)} of {known.size.planned} trials are recorded, the same "
                "command goes on."
            )
            raise SystemExit(INTERRUPTED) from None
    if as_json:
        print_json(result.document(report.as_posix()))
    else:
        show_result(result, report)
    if any(result.trials()[fault] for fault in FAULTS):
        raise typer.Exit(DONE_WITH_FAULTS)


def _make_data(folder: Path, images: int, seed: int) -> None:
    log(f"data: {folder} ({images} synthetic images)")
    make_synthetic(folder, images, seed)


def study_places() -> "Places":
    """Where state and reports go: the environment's URLs, else files in the working directory."""
    from bench.settings import places_settings
    from bench.study import Places

    places = places_settings()
    return Places(places["storage"].value, places["tracking_uri"].value, REPORTS_FOLDER)


def show_result(result: "StudyResult", report: Path) -> None:
    """The main table, the settings and the verdict, as the report has them."""
    from bench.report.tables import COLUMNS, SETTINGS_COLUMNS, optimizer_rows, settings_rows

    print_table(COLUMNS, optimizer_rows(result), title=result.spec.name)
    print_table(SETTINGS_COLUMNS, settings_rows(result))
    print(result.verdict)
    print(f"Report: {report}")


def _size_text(spec: "StudySpec") -> str:
    from bench.report.tables import counted

    return (
        f"{counted(len(spec.optimizers), 'optimizer')} x ({counted(spec.trials, 'tune trial')} of "
        f"{counted(spec.tune_steps, 'step')} + {counted(spec.seeds, 'confirm seed')} of "
        f"{counted(spec.steps, 'step')}), {spec.network} at {spec.size} px, batch {spec.batch_size}, on {spec.device}"
    )


def _show_plan(prepared: "Prepared", as_json: bool) -> None:
    from bench.estimate import estimate
    from bench.plan import plan_tune, total_trials

    spec = prepared.spec
    log("measuring ...")
    found = estimate(spec, workers=prepared.workers, synthetic_images=prepared.awaited_images)
    tune = plan_tune(spec)
    per_optimizer = spec.trials * spec.tune_steps + spec.seeds * spec.steps
    images = per_optimizer * len(spec.optimizers) * spec.batch_size
    if as_json:
        print_json(
            {
                "study": spec.name,
                "kind": spec.kind,
                "preset": spec.preset,
                "status": "planned",
                "spec": spec.model_dump(mode="json"),
                "trials": {"tune": len(tune), "confirm": total_trials(spec) - len(tune), "planned": total_trials(spec)},
                "training_images": images,
                "workers": prepared.workers,
                "estimate": found.document(),
                "plan": [
                    {"id": t.id, "phase": t.phase, "optimizer": t.optimizer, "hyperparameters": t.hyperparameters}
                    for t in tune
                ],
            }
        )
        return
    rows = [
        [t.id, t.optimizer, ", ".join(f"{name} {value:.3g}" for name, value in t.hyperparameters.items())] for t in tune
    ]
    print_table(("tune trial", "optimizer", "settings"), rows, title=spec.name)
    print(f"then {total_trials(spec) - len(tune)} confirm trials: seeds x the best settings of each optimizer.")
    print(f"{_size_text(spec)}: {total_trials(spec)} trials, {images:,} training images.")
    print(_estimate_text(found, prepared.workers) + " Nothing was run.")


def _say_estimate(prepared: "Prepared") -> None:
    """Measure and say how long the study will take; a trial that cannot run will say so itself, as a record."""
    from bench.estimate import estimate
    from bench.trials.probe import EstimateError

    log("measuring how long this will take ...")
    try:
        found = estimate(prepared.spec, workers=prepared.workers, synthetic_images=prepared.awaited_images)
    except EstimateError as error:
        log(str(error))
        return
    log(_estimate_text(found, prepared.workers))


def _estimate_text(found: "Estimate", workers: int) -> str:
    from bench.cli.board import duration_text as duration

    parts = {"data": found.data_s, "tuning": found.tune_s, "confirming": found.confirm_s, "the rest": found.other_s}
    spent = ", ".join(f"{name} {duration(seconds)}" for name, seconds in parts.items() if seconds >= 1)
    gpu = f" and {found.gpu_memory_bytes / 1e9:.1f} GB of GPU memory" if found.gpu_memory_bytes else ""
    return (
        f"Estimated time: {duration(found.seconds)} ({spent}), with {workers} "
        f"{'trial' if workers == 1 else 'trials'} at once; {found.memory_bytes / 1e9:.1f} GB of memory{gpu}."
    )
