"""The study pages as an ASGI application, mounted next to MLflow's.

/studies/             the index
/studies/NAME/        the page of a study's report, or the list of its files
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
"""Headers of every response: no page, even one with a harmful report, can run scripts or load anything from another
server."""
METHODS = ("GET", "HEAD")


class StudyPages:
    """Answers requests from the current content of the stores and the folder of reports."""

    def __init__(self, paths: StorePaths) -> None:
        """Serve the studies in the stores at ``paths``."""
        self._index = Index(paths)
        self._paths = paths

    def newest(self, limit: int) -> list[tuple[str, str, str]]:
        """Return the newest studies in MLflow: name, page and MLflow page, as paths on this server."""
        try:
            runs = study_runs(self._paths.tracking_uri)
        except SettingsError:
            return []
        newest = sorted(runs, key=lambda name: -runs[name].began_ms)[:limit]
        return [(name, _page_of(name), runs_address(runs[name])) for name in newest]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI request."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        # The undecoded path: an encoded slash is part of a name.
        path = scope["raw_path"].partition(b"?")[0].decode("ascii", "replace")
        response = await run_in_threadpool(self.answer, scope["method"], path)
        await response(scope, receive, send)

    def answer(self, method: str, path: str) -> Response:
        """Return the response to a request; ``path`` is percent-encoded, as it was sent."""
        if method not in METHODS:
            return _text_response(
                HTTPStatus.METHOD_NOT_ALLOWED, "These pages can only be read.", Allow=", ".join(METHODS)
            )
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
        return _text_response(HTTPStatus.NOT_FOUND, "There is no such page.")

    def _all(self) -> Response:
        lines, trouble = self._index.look()
        return _html_response(index_page(Path.cwd().name, masked(self._paths.tracking_uri), lines, trouble))

    def _study(self, study: str) -> Response:
        report, run = report_of(study, self._paths.reports, self._paths.tracking_uri), self._run(study)
        if report is None and run is None:
            return _text_response(HTTPStatus.NOT_FOUND, "There is no such study here, or it has no report yet.")
        runs = "" if run is None else runs_address(run)
        page = None if report is None else report.read(HTML)
        if page is not None:
            return _html_response(with_bar(page, runs))
        return _html_response(files_page(study, runs, () if report is None else report.files))

    def _file(self, study: str, name: str) -> Response:
        report = report_of(study, self._paths.reports, self._paths.tracking_uri)
        content = None if report is None else report.read(name)
        if content is None:
            return _text_response(HTTPStatus.NOT_FOUND, "There is no such file in this report.")
        return Response(content, headers={**HEADERS, "Content-Type": TYPES[Path(name).suffix]})

    def _run(self, study: str) -> StudyRun | None:
        try:
            return study_runs(self._paths.tracking_uri).get(study)
        except SettingsError:
            return None


def _page_of(study: str) -> str:
    return f"{PREFIX}/{quote(study, safe='')}/"


def _html_response(content: bytes) -> Response:
    return Response(content, headers={**HEADERS, "Content-Type": TYPES[".html"]})


def _text_response(status: HTTPStatus, message: str, **headers: str) -> Response:
    return PlainTextResponse(f"{message}\n", status, headers={**HEADERS, **headers})
