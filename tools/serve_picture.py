"""Takes the picture of the page of `finetune serve` that the READMEs show, from a server that runs.

Usage: python3 dev.py demo; in build/demo-project `python -m finetune serve runs/demo`, and beside it
`python -m tools.serve_picture`. Needs Chromium, which Playwright drives.
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "serve-ui.png"
TEXTS = ("Ostrium back in profit.", "Sales missed forecasts at Halstead Logistics.")


def main(url: str = "http://127.0.0.1:8000") -> None:
    """Ask for each text, then keep what is seen down to the command of curl."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 760, "height": 600}, device_scale_factor=1.5, locale="en-US")
        page.goto(f"{url}/ui")
        for number, text in enumerate(TEXTS, start=1):
            page.locator("textarea").fill(text)
            page.locator("textarea").press("Control+Enter")
            page.locator(f"#history li:nth-child({number})").wait_for()
        height = page.locator("#curl").evaluate("one => one.getBoundingClientRect().bottom + 16")
        page.set_viewport_size({"width": 760, "height": int(height)})
        image = Image.open(io.BytesIO(page.screenshot()))
        browser.close()
    image.convert("RGB").quantize(64).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
