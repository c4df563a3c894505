"""Check pages with axe-core in Chromium, and take screenshots: `python -m tests.support.accessibility`.

    npm install --prefix axe axe-core
    python -m tests.support.accessibility reports/*/report.html --axe axe/node_modules/axe-core/axe.min.js --out shots

Writes a screenshot of each page at widths of 390 and 1280 pixels, light and dark, and prints the findings of axe-core
and the messages on the browser's console. The exit status is 1 if a finding is serious or critical, or the console has
a message.
"""

import argparse
import base64
import json
import sys
from pathlib import Path

from selenium.webdriver import Chrome

from tests.support.screenshot import open_browser

WIDTHS, SCHEMES = (390, 1280), ("light", "dark")
SERIOUS = ("serious", "critical")
RULES = "return axe.run(document, {resultTypes: ['violations']})"


def look(driver: Chrome, page: Path, axe: str, out: Path) -> list[str]:
    """Screenshots of a page; its faults."""
    faults = []
    for width in WIDTHS:
        for scheme in SCHEMES:
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            feature = {"name": "prefers-color-scheme", "value": scheme}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
            driver.execute_cdp_cmd("Page.setBypassCSP", {"enabled": False})
            driver.get_log("browser")
            driver.get(page.resolve().as_uri())
            shot = out / f"{page.parent.name}-{width}-{scheme}.png"
            whole = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
            shot.write_bytes(base64.b64decode(whole["data"]))
            shot.with_stem(f"{shot.stem}-first").write_bytes(driver.get_screenshot_as_png())
            wide = driver.execute_script("return document.documentElement.scrollWidth")
            faults += [f"{shot.stem}: {wide} pixels wide"] if wide > width else []
            faults += [f"{shot.stem}: console: {entry['message']}" for entry in driver.get_log("browser")]
            driver.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})
            driver.get(page.resolve().as_uri())
            driver.execute_script(axe)
            for found in driver.execute_script(RULES)["violations"]:
                places = [node["html"][:80] for node in found["nodes"][:3]]
                line = f"{shot.stem}: {found['impact']}: {found['id']}: {found['help']} {json.dumps(places)}"
                print(line)
                faults += [line] if found["impact"] in SERIOUS else []
    return faults


def main() -> int:
    """Look at each page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--axe", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    given = parser.parse_args()
    axe = given.axe.read_text(encoding="utf-8")
    given.out.mkdir(parents=True, exist_ok=True)
    driver = open_browser(1280, 900)
    try:
        faults = [fault for page in given.pages for fault in look(driver, page, axe, given.out)]
    finally:
        driver.quit()
    print("\n".join(faults) or f"{len(given.pages)} pages, {len(WIDTHS) * len(SCHEMES)} looks each: nothing serious.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
