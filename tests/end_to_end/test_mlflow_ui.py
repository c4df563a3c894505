"""`posebench ui` in a browser, on a finished study: the index, the report, and MLflow as it shows itself at once."""

import copy
import json
import re
import shutil
import socket
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from urllib.parse import quote

import pytest

pytest.importorskip("selenium", reason="selenium is not installed (extra `test`)")
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By

from bench.records.server import check_server
from bench.records.writer import Tracker
from tests.support import screenshot
from tests.support.place import PLANNED, VALLEY_FILE, Place

TUNINGS = 2
OPTIMIZERS = ("sgd", "nesterov", "adagrad", "adadelta", "adam", "adabound")
SIX = VALLEY_FILE.replace('["sgd", "adam"]', str(list(OPTIMIZERS)).replace("'", '"'))
RUNS = 1 + TUNINGS * 2 * len(OPTIMIZERS)  # the study and its trials
CURVES = ("loss", "val_loss", "ap", "images_per_s")
SVG = "<svg xmlns='http://www.w3.org/2000/svg' width='400' height='90'><rect width='400' height='90'/></svg>"
WITH_A_PICTURE = f"""<!DOCTYPE html>
<html lang="en"><head><title>A report</title><script>window.ran = 1</script></head>
<body><p>so it is</p><img alt="a figure" src="data:image/svg+xml,{quote(SVG)}"></body></html>
"""
WAIT_S = 240
WINDOW = (1600, 1800)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Study:
    """The finished study: where it ran, its pages' address, what `posebench ui` printed, ids of its runs by name."""

    def __init__(self, place, address, link, said):
        self.place, self.address, self.said = place, address, said
        self.link = link
        self.experiment, *_ = re.search(r"/experiments/(\d+)/", link).groups()
        self.name = place.name
        self.run_ids = dict(place.query("SELECT name, run_uuid FROM runs"))

    def page(self, rest):
        return f"{self.address}/#/experiments/{self.experiment}/{rest}"


@pytest.fixture(scope="module")
def browser():
    try:
        found = screenshot.open_browser(*WINDOW)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    found.set_script_timeout(WAIT_S)
    yield found
    found.quit()


@pytest.fixture(scope="module")
def study(finished, tmp_path_factory):
    """A finished study of two optimizers, and `posebench ui` on it."""
    place = copy.copy(finished[0])
    place.folder = tmp_path_factory.mktemp("pages") / "here"
    shutil.copytree(finished[0].folder, place.folder)
    with served(place) as found:
        yield found


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    """Each of the six optimizers once in each phase, and `posebench ui` on it."""
    place = Place(tmp_path_factory.mktemp("pages") / "here")
    (place.folder / "tiny.toml").write_text(SIX)
    done = place.run(*place.study)
    assert done.returncode == 0, done.stderr
    with served(place) as found:
        yield found


@contextmanager
def served(place):
    """`posebench ui` on a finished study."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    process = place.start("ui", "--port", port)
    try:
        link = wait_for(lambda: re.search(r"^  its runs in MLflow: (\S+)$", said(place, process), re.MULTILINE))
        yield Study(place, address, link.group(1), said(place, process))
    finally:
        process.terminate()
        process.wait(600)


def said(place, process):
    output = (place.folder / "output.txt").read_text()
    assert process.poll() is None, output
    return output


def wait_for(found):
    """What ``found`` gives once it is true; what it gave last where it never is, so that a test can say what it saw."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            last = found()
        except WebDriverException as error:  # the page is being drawn anew
            last = None
            if time.monotonic() > deadline:
                raise AssertionError(str(error)) from error
        if last or time.monotonic() > deadline:
            return last
        time.sleep(0.5)


def see(browser, *texts):
    """Wait until the page shows all of these texts, each on a line of its own."""

    def missing():
        lines = {line.strip() for line in browser.find_element(By.TAG_NAME, "body").text.splitlines()}
        return [text for text in texts if text not in lines]

    left = list(texts)

    def all_there():
        left[:] = missing()
        return not left

    assert wait_for(all_there), left


def visit(browser, study, address):
    """Open a page as for the first time: MLflow remembers filters and views in the browser."""
    browser.get(f"{study.address}/health")
    browser.execute_script("localStorage.clear(); sessionStorage.clear()")
    browser.get(address)


def press(browser, xpath):
    """Press what ``xpath`` finds, once it can be pressed."""

    def pressed():
        browser.find_element(By.XPATH, xpath).click()
        return True

    assert wait_for(pressed)


def search_charts(browser, text):
    def typed():
        field = browser.find_element(By.XPATH, "//input[@placeholder='Search metric charts']")
        if field.get_attribute("value") != text:
            field.clear()
            field.send_keys(text)
        return field.get_attribute("value") == text

    assert wait_for(typed)


DRAWN = """
return [...document.querySelectorAll("[data-testid='experiment-view-compare-runs-card']")]
    .filter(card => card.querySelector(".scatterlayer .trace, canvas.gl-canvas"))
    .map(card => card.innerText.split("\\n")[0]);
"""


def see_curves(browser):
    """Wait until a line is drawn under the title of each of the curves, and of nothing else."""
    drawn = set()

    def only_the_curves():
        drawn.clear()
        drawn.update(browser.execute_script(DRAWN))
        return drawn == set(CURVES)

    assert wait_for(only_the_curves), drawn


def test_they_are_served_on_loopback(study):
    """A browser is not needed."""
    with urllib.request.urlopen(f"{study.address}/health", timeout=WAIT_S) as answer:
        assert (answer.status, answer.read()) == (200, b"OK")
    check_server(study.address)  # what every study asks first, of a real server
    assert f"{study.address} over sqlite:///mlflow.db" in study.said


def test_the_pages_of_each_study_are_named(study):
    assert f"the studies at {study.address}/studies/ " in study.said
    assert f"\n{study.name}: {study.address}/studies/{study.name}/\n" in study.said
    assert study.link.startswith(f"{study.address}/#/experiments/")
    assert "Warning" not in study.said


def status_of(study, path, host=None):
    request = urllib.request.Request(f"{study.address}{path}", headers={} if host is None else {"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_nobody_else_s_page_can_ask_for_them(study):
    """By a name that leads here: MLflow refuses such a host, and the pages stand behind it."""
    for path in ("/studies/", f"/studies/{study.name}/", "/"):
        assert status_of(study, path) == 200, path
        assert status_of(study, path, "evil.example") == 403, path
    for path in ("/studies/..%2fmlflow.db", f"/studies/{study.name}/..%2f..%2fmlflow.db", "/studies/nothing/"):
        assert status_of(study, path) == 404, path


def pictures(browser):
    """The widths of the page's pictures as they were loaded."""
    return browser.execute_script("return [...document.images].map(image => image.naturalWidth)")


def errors(browser):
    """What the browser's console has said since this was asked last."""
    return [entry["message"] for entry in browser.get_log("browser")]


def test_from_the_index_to_the_report_to_mlflow_and_back(browser, study):
    (study.place.folder / "reports" / study.name / "report.html").write_text(WITH_A_PICTURE)
    visit(browser, study, f"{study.address}/studies/")
    errors(browser)  # of what was open before
    browser.refresh()
    assert errors(browser) == []
    row = browser.find_element(By.XPATH, f"//tr[th[normalize-space(.)='{study.name}']]").text
    assert "optimizers complete" in row
    assert f"{PLANNED} of {PLANNED}" in row
    press(browser, f"//a[normalize-space(.)='{study.name}']")
    see(browser, "so it is")
    assert pictures(browser) == [400]
    assert browser.execute_script("return window.ran") is None
    (refused,) = errors(browser)
    assert "script violates the following Content Security Policy" in refused
    press(browser, "//a[normalize-space(.)='Runs in MLflow']")
    see(browser, "Confirm runs by optimizer")
    press(browser, "//nav//a[contains(., 'All studies')]")
    see(browser, f"Studies in {study.place.folder.name}")


@pytest.mark.long
def test_the_page_that_is_named_shows_the_six_in_groups_with_their_curves(browser, six):
    visit(browser, six, six.link)
    see(browser, "Confirm runs by optimizer", *(f"Group: {name}" for name in OPTIMIZERS))
    see_curves(browser)
    see(browser, "Group: (study)", six.name)


@pytest.mark.long
def test_the_tune_runs_are_a_view_too(browser, six):
    visit(browser, six, six.page("runs?workflowType=machine_learning"))
    press(browser, "//*[@data-testid='saved-views-trigger']")
    press(browser, "//*[@role='menuitem'][contains(., 'Tune runs by optimizer')]")
    see(browser, *(f"Group: {name}" for name in OPTIMIZERS))
    see(browser, *(name for name in six.run_ids if name.startswith("tune-")), "Group: (study)", six.name)


@pytest.mark.long
def test_the_plain_list_holds_the_parent_over_all_runs(browser, six):
    visit(browser, six, six.page("runs?workflowType=machine_learning"))
    see(browser, six.name, f"{RUNS} matching runs")
    press(browser, f"//a[normalize-space(.)='{six.name}']/ancestor::*[@role='gridcell']//button")
    see(browser, *six.run_ids)


@pytest.mark.long
def test_the_report_is_an_artifact_of_the_parent(browser, six):
    visit(browser, six, six.page(f"runs/{six.run_ids[six.name]}/artifacts"))
    press(browser, "//*[normalize-space(text())='report']")
    press(browser, "//*[normalize-space(text())='report.md']")
    see(browser, "records.csv")


@pytest.mark.long
def test_the_report_s_page_is_shown_with_its_pictures(browser, six):
    """Opened by the link in the note of the experiment's page."""
    document = json.loads((six.place.folder / "reports" / six.name / "result.json").read_text())
    tracker = Tracker(f"sqlite:///{six.place.folder}/mlflow.db", six.name)
    folder = six.place.folder / "page"
    folder.mkdir()
    (folder / "report.html").write_text(WITH_A_PICTURE)
    tracker.log_report(folder, document["verdict"])
    visit(browser, six, six.page("runs?workflowType=machine_learning"))
    link = wait_for(lambda: browser.find_element(By.XPATH, "//a[.='Report']").get_attribute("href"))
    assert link == six.page(f"runs/{six.run_ids[six.name]}/artifacts/report/report.html")
    visit(browser, six, link)

    def shown():
        frame = browser.find_element(By.TAG_NAME, "iframe")
        browser.switch_to.frame(frame)
        try:
            return "so it is" in browser.find_element(By.TAG_NAME, "body").text and pictures(browser)
        finally:
            browser.switch_to.default_content()

    assert wait_for(shown) == [400]


@pytest.mark.long
def test_a_run_shows_its_curves(browser, six):
    run = next(run_id for name, run_id in six.run_ids.items() if name.startswith("confirm-adam-"))
    visit(browser, six, six.page(f"runs/{run}/model-metrics"))
    search_charts(browser, f"^({'|'.join(CURVES)})$")
    see_curves(browser)
