"""The pages beside MLflow's: what they show, to whom, of what; that looking leaves everything as it was."""

import asyncio
import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest

from bench.cli.pages.application import StudyPages
from bench.cli.pages.overview import StudyLine
from bench.cli.pages.rendering import files_page, index_page, mlflow_bar, with_bar
from bench.kinds.loaders.spec import LoaderSpec
from bench.ledger.store import Ledger
from bench.records.measurements import MeasurementTracker
from bench.records.reader import SPEC_TAG, STUDY_TAG
from bench.records.writer import Tracker
from bench.study.store_paths import StorePaths
from bench.trials.record import make_record
from bench.trials.status import Status
from tests.support.plans import first_trials

PAGE = b"<!DOCTYPE html><html><head><title>x</title></head><BODY class='a'><main>so it is</main></body></html>"
HOSTILE = "<script>alert(1)</script> \"'&amp; [x](javascript:alert(1)) \x1b[31m\u202e =1+1"


@pytest.fixture
def paths(storage_url, tracking_uri, hermetic):
    return StorePaths(storage_url, tracking_uri, Path("reports"))


@pytest.fixture
def pages(paths):
    return StudyPages(paths)


@pytest.fixture
def study(paths, make_spec):
    """A study with one record of its eight trials, and its parent run."""
    spec = make_spec(data="/no/such/people")
    ledger = Ledger(paths.storage_url, spec.name, spec.identity())
    ledger.enqueue(first_trials(spec))
    tracker = Tracker(paths.tracking_uri, spec.name)
    parent = tracker.open_study(spec, {})
    claim = ledger.claim()
    record = make_record(claim.spec, Status.COMPLETE, steps_done=2, metrics={"ap": 0.5})
    tracker.record_trial(tracker.start_trial(claim.spec, parent), record, [])
    ledger.finish(claim.key, Status.COMPLETE, None)
    ledger.storage.engine.dispose()  # else the garbage collection closes the file, at some time, and SQLite writes then
    return tracker


def write_report(name="study", page=PAGE):
    folder = Path("reports", name)
    folder.mkdir(parents=True)
    (folder / "records.csv").write_text("a,b\n")
    (folder / "report.md").write_text("# so it is\n")
    if page is not None:
        (folder / "report.html").write_bytes(page)
    return folder


class _Read(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.links = [], "", {}
        self._href = None
        self.feed(page.decode())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "a":
            self._href = dict(attributes)["href"]

    def handle_endtag(self, tag):
        if tag == "a":
            self._href = None

    def handle_data(self, data):
        self.text += data
        if self._href is not None:
            self.links[data] = self._href


def asked(pages, path, method="GET"):
    """The answer, with the headers that all answers have."""
    answer = pages.answer(method, path)
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none';")
    assert "frame-ancestors 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    return answer


def rows(page):
    """The cells of each study by the table's headings."""
    table = re.findall(r"<tr role=\"row\">(.*?)</tr>", page.decode(), re.DOTALL)
    cells = [
        [
            html.unescape(re.sub(r"<[^>]+>", "", cell)).strip()
            for cell in re.findall(r"<t[hd]\b.*?</t[hd]>", row, re.DOTALL)
        ]
        for row in table
    ]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]


def test_the_index_says_where_each_study_stands_and_leads_to_its_pages(pages, study, hermetic):
    study.log_report(write_report(), headline="Use Adam: AP 0.5.")
    answer = asked(pages, "/studies/")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    (row,) = rows(answer.body)
    assert {name: row[name] for name in ("study", "kind", "status", "trials", "answer")} == {
        "study": "study",
        "kind": "optimizers",
        "status": "unfinished",
        "trials": "1 of 8 trials",
        "answer": "Use Adam: AP 0.5.",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", row["last activity"])
    links = _Read(answer.body).links
    assert links["study"] == "study/"
    assert links["MLflow"].startswith(f"/#/experiments/{study.experiment_id}/runs?")


def test_a_loader_study_is_in_the_index_too(pages, paths):
    spec = LoaderSpec(
        name="advice", preset="smoke", data="/no/such", data_digest="d", device="cpu", num_workers=(0,),
        batch_size=(4,), pin_memory=(False,), slice_s=0.1, blocks=2, min_blocks=2
    )  # fmt: skip
    MeasurementTracker(paths.tracking_uri, spec.name).open_study(spec, {})
    (row,) = rows(asked(pages, "/studies/").body)
    assert (row["study"], row["kind"], row["status"], row["trials"]) == ("advice", "loaders", "unfinished", "0 trials")


def test_a_study_that_only_mlflow_can_tell_of_is_in_the_index(pages, study):
    """One of a kind that this version does not have."""
    parent = study._parent()
    study.client.set_tag(parent, STUDY_TAG, "dreams")
    study.client.set_tag(parent, SPEC_TAG, '{"name": "study", "kind": "dreams"}')
    Path("optuna.db").unlink()
    study.close_study("FINISHED")
    answer = asked(pages, "/studies/")
    (row,) = rows(answer.body)
    assert (row["study"], row["kind"], row["status"], row["trials"]) == ("study", "dreams", "complete", "-")
    assert "there is no such kind" in _Read(answer.body).text


def test_without_a_study_the_index_says_how_to_run_one(pages):
    answer = asked(pages, "/studies/")
    assert answer.status_code == 200
    assert "There is no study here yet." in _Read(answer.body).text


def test_a_store_that_cannot_be_read_is_said_without_its_password(paths):
    broken = StudyPages(replace(paths, tracking_uri="postgresql://me:secret@127.0.0.1:1/runs"))
    answer = asked(broken, "/studies/")
    assert answer.status_code == 200
    assert 'class="trouble"' in answer.body.decode()
    assert b"secret" not in answer.body
    assert asked(broken, "/studies/study/").status_code == 404


def test_a_report_s_page_has_links_to_the_index_and_to_mlflow(pages, study):
    folder = write_report()
    for path in ("/studies/study/", "/studies/study/report.html"):
        answer = asked(pages, path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        links = _Read(answer.body).links
        assert links["All studies"] == "./../"
        assert links["Runs in MLflow"].startswith(f"/#/experiments/{study.experiment_id}/runs?")
        before, _, after = PAGE.partition(b"<main>")
        assert answer.body.startswith(before)
        assert answer.body.endswith(b"<main>" + after)
    assert (folder / "report.html").read_bytes() == PAGE


def test_a_page_of_an_unusual_form_keeps_its_links(pages, study):
    assert with_bar(b"so it is", "").startswith(b"so it is")
    assert "All studies" in _Read(with_bar(b"so it is", "")).links


def test_a_report_s_files_are_sent_as_what_they_are(pages, study):
    write_report()
    for name, kind in (("records.csv", "text/csv; charset=utf-8"), ("report.md", "text/plain; charset=utf-8")):
        answer = asked(pages, f"/studies/study/{name}")
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, kind)
        assert answer.body == Path("reports/study", name).read_bytes()


def test_a_report_without_a_page_is_a_list_of_its_files(pages, study):
    write_report(page=None)
    answer = asked(pages, "/studies/study/")
    links = _Read(answer.body).links
    assert {name: links[name] for name in ("records.csv", "report.md")} == {
        "records.csv": "records.csv",
        "report.md": "report.md",
    }
    assert "posebench report study" in _Read(answer.body).text


def test_a_study_without_a_report_says_how_to_write_one(pages, study):
    answer = asked(pages, "/studies/study/")
    assert answer.status_code == 200
    assert "posebench report study" in _Read(answer.body).text


def test_a_report_that_is_not_in_this_folder_is_read_from_the_study_s_run(pages, study, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "report.html").write_bytes(PAGE)
    (folder / "records.csv").write_text("c,d\n")
    study.log_report(folder)
    assert b"so it is" in asked(pages, "/studies/study/").body
    assert asked(pages, "/studies/study/records.csv").body == b"c,d\n"
    write_report()
    assert asked(pages, "/studies/study/records.csv").body == b"a,b\n", "the folder's own comes first"


OUT = [
    "/studies/../secret.txt",
    "/studies/%2e%2e/secret.txt",
    "/studies/..%2fsecret.txt",
    "/studies/study/../../secret.txt",
    "/studies/study/..%2f..%2fsecret.txt",
    "/studies/study/%2e%2e%2f%2e%2e%2fsecret.txt",
    "/studies/study/..%5c..%5csecret.txt",
    "/studies/study/%252e%252e%252fsecret.txt",
    "/studies/study%2f..%2f../secret.txt",
    "/studies/study/%00",
    "/studies/study/secret.txt%00.csv",
    "/studies/study//etc/passwd",
    "/studies//etc/passwd",
    "/studies/study/link.txt",
    "/studies/study/hidden/secret.txt",
    "/studies/study/program.py",
    "/studies/linked/secret.txt",
    "/studies/%ff%fe/",
    "/studies/./",
    "/studies/../",
    "/studies/study/.",
    "/studies/study/..",
]


def test_nothing_else_can_be_reached(pages, study, hermetic):
    folder = write_report()
    (hermetic / "secret.txt").write_text("needle")
    (hermetic / "reports" / "secret.txt").write_text("needle")
    (folder / "hidden").mkdir()
    (folder / "hidden" / "secret.txt").write_text("needle")
    (folder / "program.py").write_text("needle")
    (folder / "link.txt").symlink_to(hermetic / "secret.txt")
    (hermetic / "reports" / "linked").symlink_to(hermetic)
    for path in OUT:
        answer = asked(pages, path)
        assert answer.status_code == 404, path
        assert b"needle" not in answer.body, path


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_pages_can_only_be_read(pages, study, method):
    answer = asked(pages, "/studies/", method)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_paths_without_their_last_slash_are_led_on(pages):
    assert asked(pages, "/studies").headers["Location"] == "/studies/"
    assert asked(pages, "/studies/study").headers["Location"] == "/studies/study/"
    for path in ("/studies//evil.example", "/studies/%2Fevil.example", "/studies/a%2Fb", "/studies/%0d%0aX: y"):
        assert asked(pages, path).status_code == 404, path


def test_looking_leaves_everything_as_it_was(pages, study, hermetic):
    study.log_report(write_report(), headline="Use Adam.")
    study.close_study("FINISHED")

    def state():
        return {path: path.stat().st_mtime_ns for path in hermetic.rglob("*") if not path.name.endswith("-shm")}

    before = state()
    for path in ("/studies/", "/studies/study/", "/studies/study/records.csv", "/studies/other/", "/studies/"):
        asked(pages, path)
    assert state() == before


def shown(page):
    """What a reader sees; no tag may come of a text, and no link may lead elsewhere."""
    read = _Read(page)
    assert not {"script", "img", "iframe", "object", "form", "base"} & {*read.tags}
    assert all(re.match(r"/#/|\./|\.\./|[A-Za-z0-9%._/-]*$", link) for link in read.links.values()), read.links
    assert "\x1b" not in read.text
    assert "\u202e" not in read.text
    return " ".join(read.text.split())


def test_whatever_texts_hold_is_shown_as_text():
    line = StudyLine(HOSTILE, HOSTILE, "complete", 1, 2, 0.0, HOSTILE, "/#/experiments/1/runs")
    text = shown(index_page(HOSTILE, HOSTILE, [line], [HOSTILE]))
    assert text.count("<script>alert(1)</script>") == 7, "title and heading, store, trouble, name, kind, answer"
    assert r"\x1b[31m\u202e =1+1" in text
    assert f'href="{quote(HOSTILE, safe="")}/"' in index_page("", "", [line], []).decode()
    assert "<script>alert(1)</script>" in shown(files_page(HOSTILE, "", [HOSTILE]))


def test_the_bar_above_mlflow_s_pages_leads_to_the_index():
    assert [*_Read(mlflow_bar("/studies/")).links.values()] == ["/studies/"]


def test_requests_come_with_their_path_as_it_was_sent(pages, study):
    """As a server calls an application; a slash in a name is no separator."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    def call(raw_path, **more):
        sent.clear()
        scope = {"type": "http", "method": "GET", "raw_path": raw_path, "path": "/not/this", "headers": []} | more
        asyncio.run(pages(scope, receive, send))
        return sent[0]

    write_report()
    assert call(b"/studies/study/records.csv?x=1")["status"] == 200
    assert call(b"/studies/study%2Frecords.csv")["status"] == 404
    assert call(b"/studies/study/", method="HEAD")["status"] == 200
    assert call(b"", type="websocket") == {"type": "websocket.close", "code": 1000}
