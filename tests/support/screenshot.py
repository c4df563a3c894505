"""Open MLflow's pages in a headless browser, and take the README's picture (Debian: chromium, chromium-driver).

posebench ui                                  # prints the address of each study's page
python -m tests.support.screenshot ADDRESS docs/images/mlflow.png
"""

import argparse
import io
import shutil
import sys
import time
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By

WINDOW = (1600, 1250)
COLOURS = 64
"""A page of MLflow has few: the picture looks the same and is a third as large."""
LIMIT_BYTES = 250_000
WAIT_S = 180
DRAWN = ".scatterlayer .trace, canvas.gl-canvas"
LOOSE = (
    "//button[@aria-label='Close']",  # the panel of MLflow's assistant
    "//*[contains(text(), 'viewing a shared view')]/following::button[3]",  # the note above a saved view
)
HIDE_TOOLS = "for (const bar of document.querySelectorAll('.modebar-container')) bar.style.display = 'none'"


def open_browser(width: int, height: int) -> webdriver.Chrome:
    """A headless browser; FileNotFoundError where chromium or its driver is not installed."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        raise FileNotFoundError("chromium and chromedriver are not installed (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    size = f"--window-size={width},{height}"
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", size):
        options.add_argument(argument)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def picture(browser: webdriver.Chrome, address: str) -> bytes:
    """The page as PNG once its charts are drawn, without what lies over and beside it; TimeoutError if none are."""
    browser.get(address)
    deadline = time.monotonic() + WAIT_S
    for xpath in LOOSE:
        while not (found := browser.find_elements(By.XPATH, xpath)) and time.monotonic() < deadline:
            time.sleep(1)
        if found:
            found[0].click()
    while not browser.find_elements(By.CSS_SELECTOR, DRAWN):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{address}: no chart was drawn in {WAIT_S} s")
        time.sleep(1)
    time.sleep(10)  # the other charts, and the last of the animation
    browser.execute_script(HIDE_TOOLS)
    image = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    packed = io.BytesIO()
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
    return packed.getvalue()


def main() -> None:
    """Write the picture of a page to a file."""
    parser = argparse.ArgumentParser(description="A picture of a page of MLflow.")
    parser.add_argument("address", metavar="ADDRESS")
    parser.add_argument("file", metavar="FILE", type=Path)
    arguments = parser.parse_args()
    browser = open_browser(*WINDOW)
    try:
        found = picture(browser, arguments.address)
    finally:
        browser.quit()
    arguments.file.parent.mkdir(parents=True, exist_ok=True)
    arguments.file.write_bytes(found)
    if len(found) > LIMIT_BYTES:
        sys.exit(f"{arguments.file}: {len(found)} bytes, more than {LIMIT_BYTES}")


if __name__ == "__main__":
    main()
