"""Renders the pages as HTML; texts of a study are escaped, so that they are shown literally."""

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from bench.cli.pages.overview import StudyLine
from bench.report.html_page import TEMPLATES as REPORT_TEMPLATES
from bench.storage.visible import visible

TEMPLATES = Path(__file__).with_name("templates")
BODY = re.compile(rb"<body\b[^>]*>", re.IGNORECASE)


def index_page(folder: str, store: str, lines: Sequence[StudyLine], trouble: Sequence[str]) -> bytes:
    """Render the index of the studies in ``folder`` and in MLflow's ``store``; ``trouble``: errors while reading
    them."""
    return _render("studies.html.j2", folder=folder, store=store, lines=lines, trouble=trouble)


def files_page(study: str, runs: str, files: Sequence[str]) -> bytes:
    """Render the page of a study whose report has no HTML page: links to its files, or the command that writes the
    report."""
    return _render("study.html.j2", study=study, runs=runs, files=files)


def with_bar(page: bytes, runs: str) -> bytes:
    """Add links to the index and MLflow at the top of a report's page; ``runs``: URL of the study's MLflow page, or
    ""."""
    bar = _environment().get_template("bar.html.j2").render(runs=runs).encode()
    body = BODY.search(page)
    return page + bar if body is None else page[: body.end()] + bar + page[body.end() :]


def mlflow_bar(index: str) -> bytes:
    """Render the bar above all MLflow pages; ``index``: path of the index."""
    return _environment().get_template("mlflow_bar.html.j2").render(index=index).encode()


def _render(template: str, **values: object) -> bytes:
    """Render a template with the style sheet of the reports."""
    css = (REPORT_TEMPLATES / "report.css").read_text(encoding="utf-8")
    return _environment().get_template(template).render(css=Markup(css), **values).encode()


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"visible": visible, "segment": _segment, "moment": _moment, "iso": _iso}
    return environment


def _segment(name: str) -> str:
    """Return a name quoted as one segment of a URL path."""
    return quote(name, safe="")


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")
