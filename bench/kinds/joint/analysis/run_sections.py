"""Sections on the trials of a joint study, the failed ones with reasons, and the questions it cannot answer."""

from bench.kinds.joint.analysis.results import JointResults
from bench.kinds.joint.analysis.words import CHOSEN, UNEQUAL
from bench.report.driving_note import driving_remarks
from bench.report.findings import Bullets, Section, Table
from bench.report.text import literal
from bench.report.wording import counted, enumerate_items
from bench.trials.phases import SEARCH
from bench.trials.status import Status

COLUMNS = ("phase", "status", "why", "trials", "optimizers", "batch_size", "num_workers")


def failure_section(results: JointResults) -> list[Section]:
    """Return the section on search and confirm trials that failed, and why; none if nothing failed."""
    records = results.records
    broken = records[records["status"] != Status.COMPLETE] if len(records) else records
    if not len(broken):
        return []
    errors = broken["error"] if "error" in broken else [""] * len(broken)
    why = [error if isinstance(error, str) else "" for error in errors]  # NaN: a trial without an error
    rows = [
        [
            str(phase),
            str(status).replace("_", " "),
            str(reason) or "-",
            str(len(own)),
            enumerate_items(sorted({results.names.get(str(name), str(name)) for name in own["optimizer"]})),
            *(
                enumerate_items([str(int(each)) for each in sorted(own[name].unique())])
                for name in ("batch_size", "num_workers")
            ),
        ]
        for (phase, status, reason), own in broken.assign(error=why).groupby(["phase", "status", "error"], sort=True)
    ]
    rows.sort(key=lambda row: (row[0] != SEARCH, -int(row[3]), row[1], row[2]))
    return [Section("What failed and why", [Table(COLUMNS, rows)])]


def run_section(results: JointResults) -> Section:
    """Return the section on what was run, and on what network, data and device."""
    rows = results.records
    if not len(rows):
        text = f"{_plan(results)} {results.data[0].upper()}{results.data[1:]}."
        return Section("What was run", [text, *results.schedule_notes])
    first = rows.iloc[0]
    network, size, device = (first.get(name, "-") for name in ("network", "size", "device"))
    trained = f"Network {literal(str(network))} at {size} px" if results.measure.of_pose else literal(str(network))
    where = f"{trained}, {results.data}, on {device}."
    text = f"{_plan(results)} {where}{_at_once(results)}"
    names = [results.names[name] for name in results.optimizers]
    remarks = driving_remarks(rows, results.optimizers, names, of_pose=results.measure.of_pose)
    return Section("What was run", [text, *results.schedule_notes, *_gradients(results), *remarks])


def _gradients(results: JointResults) -> list[str]:
    """Say that budgets count gradient evaluations, if some optimizer needs several in a step."""
    if not results.gradients_per_step:
        return []
    several = [f"{literal(name)} {mean:.3g}" for name, mean in results.gradients_per_step.items()]
    return [
        "Budgets in images count the batches of each gradient evaluation (a forward and backward pass, or a product of "
        f"the Hessian with a vector). A step takes more than one: {enumerate_items(several)} on average; these "
        "optimizers take fewer steps."
    ]


def _plan(results: JointResults) -> str:
    names = enumerate_items([literal(results.names[name]) for name in results.optimizers])
    fixed = (
        f" ({'the first' if results.fixed == 1 else f'the first {results.fixed}'} with settings fixed by the study)"
        if results.fixed
        else ""
    )
    aim = results.measure.name if results.single else f"{results.measure.name} and {results.measure.speed}"
    seeds = counted(results.seeds, "fresh seed")
    return (
        f"{counted(results.search_trials, 'search trial')} of {results.length}, one seed each, chosen "
        f"{CHOSEN[results.sampler]}{fixed} for {aim} over optimizer ({names}), its hyperparameters, num_workers, "
        f"pin_memory and batch_size together; then each pick with {seeds} of {results.length}."
    )


def _at_once(results: JointResults) -> str:
    sentences = [f" Trials ran on {results.hosts} machines."] if results.hosts > 1 else []
    if results.shared_machine:
        sentences.append(
            f" Up to {counted(results.most_at_once, 'trial')} ran at once, so {results.measure.speed} are "
            "those of a shared machine."
        )
    return "".join(sentences)


def limits_section(results: JointResults) -> Section:
    """Return the section on questions that the study cannot answer."""
    return Section(
        "What this cannot say",
        [
            Bullets(
                [
                    f"Which optimizer is better: {UNEQUAL[results.sampler]}. `posebench study optimizers` answers "
                    "that.",
                    f"Which loader settings are fastest: {results.measure.speed} are measured once a trial. `posebench "
                    "study loaders` measures them with repeats and intervals.",
                    "What holds for other networks, data, machines or lengths of training.",
                ]
            )
        ],
    )
