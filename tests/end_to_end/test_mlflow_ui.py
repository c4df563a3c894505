"""MLflow's pages in a browser, opened on a finished study: what a person sees there without setting anything up."""

import re
import socket
import time
import urllib.request

import pytest

pytest.importorskip("selenium", reason="selenium is not installed (extra `test`)")
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By

from bench.records.server import check_server
from tests.support import screenshot
from tests.support.place import VALLEY_FILE, Place

TUNINGS = 2
OPTIMIZERS = ("sgd", "nesterov", "adagrad", "adadelta", "adam", "adabound")
SIX = VALLEY_FILE.replace('["sgd", "adam"]', str(list(OPTIMIZERS)).replace("'", '"'))
RUNS = 1 + TUNINGS * 2 * len(OPTIMIZERS)  # the study and its trials
CURVES = ("loss", "val_loss", "ap", "images_per_s")
WAIT_S = 240
WINDOW = (1600, 1800)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Study:
    """The finished study: its pages' address, what `posebench ui` printed for it, and ids of its runs by name."""

    def __init__(self, place, address, link, said):
        self.address, self.said = address, said
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
def study(tmp_path_factory):
    """Each of the six optimizers once in each phase, and `posebench ui` on it."""
    place = Place(tmp_path_factory.mktemp("pages") / "here")
    (place.folder / "tiny.toml").write_text(SIX)
    done = place.run(*place.study)
    assert done.returncode == 0, done.stderr
    address = f"http://127.0.0.1:{(port := free_port())}"
    process = place.start("ui", "--port", port, MLFLOW_WORKERS="1")
    try:
        link = wait_for(lambda: re.search(rf"^{place.name}: (\S+)$", said(place, process), re.MULTILINE))
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


def test_the_page_that_is_named_shows_the_six_in_groups_with_their_curves(browser, study):
    visit(browser, study, study.link)
    see(browser, "Confirm runs by optimizer", *(f"Group: {name}" for name in OPTIMIZERS))
    see_curves(browser)


def test_the_tune_runs_are_a_view_too(browser, study):
    visit(browser, study, study.page("runs?workflowType=machine_learning"))
    press(browser, "//*[@data-testid='saved-views-trigger']")
    press(browser, "//*[@role='menuitem'][contains(., 'Tune runs by optimizer')]")
    see(browser, *(f"Group: {name}" for name in OPTIMIZERS))
    see(browser, *(name for name in study.run_ids if name.startswith("tune-")))


def test_the_plain_list_holds_the_parent_over_all_runs(browser, study):
    visit(browser, study, study.page("runs?workflowType=machine_learning"))
    see(browser, study.name, f"{RUNS} matching runs")
    press(browser, f"//a[normalize-space(.)='{study.name}']/ancestor::*[@role='gridcell']//button")
    see(browser, *study.run_ids)


def test_the_report_is_an_artifact_of_the_parent(browser, study):
    visit(browser, study, study.page(f"runs/{study.run_ids[study.name]}/artifacts"))
    press(browser, "//*[normalize-space(text())='report']")
    press(browser, "//*[normalize-space(text())='report.md']")
    see(browser, "records.csv")


def test_a_run_shows_its_curves(browser, study):
    run = next(run_id for name, run_id in study.run_ids.items() if name.startswith("confirm-adam-"))
    visit(browser, study, study.page(f"runs/{run}/model-metrics"))
    search_charts(browser, f"^({'|'.join(CURVES)})$")
    see_curves(browser)
