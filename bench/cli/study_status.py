"""`posebench study list` and `posebench study status`: look at studies from another terminal, and change nothing."""

from typing import Annotated

import typer

from bench.cli.stores import stores


def list_studies(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List the studies of this folder, running ones included; the one active last comes first."""
    _look(None, as_json=as_json, every=True)


def status(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A study of this folder (default: the one active last).")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Draw it again and again until nobody works on it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show where a study stands: what is done, running, waiting and failed, and how long the rest will take."""
    _look(name, watch=watch, as_json=as_json)


def _look(name: str | None, *, as_json: bool, watch: bool = False, every: bool = False) -> None:
    trouble = stores().trouble_with_records()
    from bench.cli.actions import study_status  # MLflow takes seconds; the help does without

    if every:
        study_status.show_all(trouble, as_json=as_json)
    else:
        study_status.show_one(name, trouble, watch=watch, as_json=as_json)
