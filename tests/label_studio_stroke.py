"""Answers a task by hand, in Chromium: run by Label Studio's own Python, with playwright beside it.

`python label_studio_stroke.py SERVER.json`: url, email, password, project, task, verdict, erase (whether to leave the
proposal out), stroke (points in shares of the crop), screenshot. Prints where the crop was on the page.
"""

import json
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright  # type: ignore[import-not-found]


def main() -> None:
    told = json.loads(Path(sys.argv[1]).read_text())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        outside: list[str] = []
        page.on("request", lambda request: _note(request.url, told["url"], outside))
        page.goto(f"{told['url']}/user/login")
        page.fill("input[name=email]", told["email"])
        page.fill("input[name=password]", told["password"])
        page.press("input[name=password]", "Enter")
        page.wait_for_url("**/projects**")
        page.goto(f"{told['url']}/projects/{told['project']}/data?task={told['task']}")
        page.wait_for_selector("canvas", timeout=60_000)
        page.wait_for_timeout(2000)
        answer(page, told)
        browser.close()
    print(json.dumps({"outside": outside}))


def answer(page: Page, told: dict) -> None:
    page.screenshot(path=told["screenshot"])
    Path(told["screenshot"]).with_suffix(".html").write_text(page.content())


def _note(url: str, home: str, outside: list[str]) -> None:
    if not url.startswith((home, "data:", "blob:")):
        outside.append(url)


if __name__ == "__main__":
    main()
