"""`posebench study`: the table of its verbs."""

import typer

from bench.cli.lazy_group import LazyGroup, Verb
from bench.kinds import KINDS

VERBS = {
    **{kind: Verb("bench.cli.study:study_verb", entry.help, argument=kind) for kind, entry in KINDS.items()},
    "new": Verb(
        "bench.cli.study_new:new",
        "Write a commented study file with every setting.",
    ),
    "resume": Verb(
        "bench.cli.study_continue:resume",
        "Go on with an interrupted study, or show a finished one again.",
    ),
    "extend": Verb(
        "bench.cli.study_continue:extend",
        "Make a study larger: keep its records and run what is new.",
    ),
    "list": Verb(
        "bench.cli.study_status:list_studies",
        "List the studies of this folder, the last active first.",
    ),
    "status": Verb(
        "bench.cli.study_status:status",
        "Show a study's progress and the time left.",
    ),
}
"""Verbs in the order of the help; each line is the first sentence of the verb's own help."""


class StudyVerbs(LazyGroup):
    """The verbs of `posebench study`: one for each kind of study, then those that manage studies."""

    verbs = VERBS


app = typer.Typer(
    help="Run studies and follow their progress.", cls=StudyVerbs, no_args_is_help=True, rich_markup_mode=None
)
