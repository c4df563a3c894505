"""The pages as a web application, to be mounted beside MLflow's own.

/studies/             the index
/studies/NAME/        the page of a study's report, or what there is of it
/studies/NAME/FILE    a file of the report
"""

from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from bench.cli.pages import PREFIX
from bench.cli.pages.index import Index
from bench.cli.pages.overview import runs_address
from bench.cli.pages.rendering import files_page, index_page, with_bar
from bench.cli.pages.reports import STUDY_NAME, TYPES, report_of
from bench.records.reader import StudyRun, study_runs
from bench.report.files import HTML
from bench.storage.masking import masked
from bench.study.store_paths import StorePaths
from posemodel.errors import SettingsError

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src data: 'self'; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""Of every answer: no page can run a script or ask anybody else for anything, whatever a report holds."""
METHODS = ("GET", "HEAD")


class StudyPages:
    """Answers requests by what the stores and the folder of reports hold at that moment."""

    def __init__(self, paths: StorePaths) -> None:
        """Of the studies at ``paths``."""
        self._index = Index(paths)
        self._paths = paths

    def newest(self, most: int) -> list[tuple[str, str, str]]:
        """The studies that MLflow knows, the one begun last first: name, page and MLflow's page, without the server."""
        try:
            runs = study_runs(self._paths.tracking_uri)
        except SettingsError:
            return []
        newest = sorted(runs, key=lambda name: -runs[name].began_ms)[:most]
        return [(name, _page_of(name), runs_address(runs[name])) for name in newest]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, of ASGI."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        # The path before it was decoded: an encoded slash is part of a name.
        path = scope["raw_path"].partition(b"?")[0].decode("ascii", "replace")
        response = await run_in_threadpool(self.answer, scope["method"], path)
        await response(scope, receive, send)

    def answer(self, method: str, path: str) -> Response:
        """The answer to a request for a path as it came, percent-encoded."""
        if method not in METHODS:
            return _said(HTTPStatus.METHOD_NOT_ALLOWED, "These pages can only be read.", Allow=", ".join(METHODS))
        names = [unquote_to_bytes(part).decode("utf-8", "replace") for part in path.removeprefix(PREFIX).split("/")[1:]]
        match names:
            case []:
                return RedirectResponse(f"{PREFIX}/", headers=HEADERS)
            case [""]:
                return self._all()
            case [study] if STUDY_NAME.fullmatch(study):
                return RedirectResponse(_page_of(study), headers=HEADERS)
            case [study, file]:
                return self._study(study) if file in ("", HTML) else self._file(study, file)
        return _said(HTTPStatus.NOT_FOUND, "There is no such page.")

    def _all(self) -> Response:
        lines, trouble = self._index.look()
        return _page(index_page(Path.cwd().name, masked(self._paths.tracking_uri), lines, trouble))

    def _study(self, study: str) -> Response:
        report, run = report_of(study, self._paths.reports, self._paths.tracking_uri), self._run(study)
        if report is None and run is None:
            return _said(HTTPStatus.NOT_FOUND, "There is no such study here, or it has no report yet.")
        runs = "" if run is None else runs_address(run)
        page = None if report is None else report.read(HTML)
        if page is not None:
            return _page(with_bar(page, runs))
        return _page(files_page(study, runs, () if report is None else report.files))

    def _file(self, study: str, name: str) -> Response:
        report = report_of(study, self._paths.reports, self._paths.tracking_uri)
        content = None if report is None else report.read(name)
        if content is None:
            return _said(HTTPStatus.NOT_FOUND, "There is no such file in this report.")
        return Response(content, headers={**HEADERS, "Content-Type": TYPES[Path(name).suffix]})

    def _run(self, study: str) -> StudyRun | None:
        try:
            return study_runs(self._paths.tracking_uri).get(study)
        except SettingsError:
            return None


def _page_of(study: str) -> str:
    return f"{PREFIX}/{quote(study, safe='')}/"


def _page(content: bytes) -> Response:
    return Response(content, headers={**HEADERS, "Content-Type": TYPES[".html"]})


def _said(status: HTTPStatus, what: str, **headers: str) -> Response:
    return PlainTextResponse(f"{what}\n", status, headers={**HEADERS, **headers})
