"""Write findings as one self-contained HTML file: no script, font or picture is loaded from elsewhere."""

from collections.abc import Mapping
from pathlib import Path

import jinja2
from markupsafe import Markup

from bench.report.findings import Findings
from bench.report.page import appendix, sureness, unfinished
from bench.report.study_info import StudyInfo
from bench.report.text import inline_html
from bench.storage.visible import visible, visible_lines

TEMPLATES = Path(__file__).with_name("templates")


def html(findings: Findings, study: StudyInfo, images: Mapping[str, str]) -> str:
    """Return the complete report as HTML; ``images``: the `data:` address of each figure and picture, by file name."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"inline": inline_html, "visible": visible, "visible_lines": visible_lines}
    environment.globals["kind"] = lambda part: type(part).__name__
    return environment.get_template("report.html.j2").render(
        title=visible(study.name),
        study=study,
        device=study.device,
        findings=findings,
        sureness=sureness(findings, study),
        appendix=appendix(findings, study),
        unfinished=unfinished(study),
        images=images,
        css=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
    )
