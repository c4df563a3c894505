"""`posebench study`: its verbs."""

import typer

from bench.cli.lazy_group import LazyGroup, Verb
from bench.kinds import KINDS

VERBS = {
    **{kind: Verb("bench.cli.study:study_verb", entry.help, argument=kind) for kind, entry in KINDS.items()},
    "new": Verb(
        "bench.cli.study_new:new",
        "Write a study file with every setting, its meaning, allowed values and default; it runs as it is.",
    ),
    "resume": Verb(
        "bench.cli.study_again:resume",
        "Go on with a study that was interrupted, with the settings it was begun with; show a finished one again.",
    ),
    "extend": Verb(
        "bench.cli.study_again:extend",
        "Make a study larger: what it has recorded stays, what is new runs, and the report is written anew.",
    ),
    "list": Verb(
        "bench.cli.study_status:list_studies",
        "List the studies of this folder, running ones included; the one active last comes first.",
    ),
    "status": Verb(
        "bench.cli.study_status:status",
        "Show where a study stands: what is done, running, waiting and failed, and how long the rest will take.",
    ),
}
"""In the order of the help."""


class StudyVerbs(LazyGroup):
    """The kinds of study, and what can be asked about studies."""

    verbs = VERBS


app = typer.Typer(help="Run studies.", cls=StudyVerbs, no_args_is_help=True, rich_markup_mode=None)
