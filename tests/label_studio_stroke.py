"""Answers tasks by hand, in Chromium: run by Label Studio's own Python, which has playwright beside it.

`python label_studio_stroke.py TOLD.json`, with url, email, password, project, and answers: for each its task,
verdict, the stroke (corners, in shares of the crop; none leaves the proposal as it is) and a file for a
screenshot ("" is none). Prints what the page asked of other hosts.
"""

import json
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright  # type: ignore[import-not-found]

_WAIT = 90_000  # milliseconds


def main() -> None:
    told = json.loads(Path(sys.argv[1]).read_text())
    outside: list[str] = []

    def note(request: Any) -> None:
        if not request.url.startswith((told["url"], "data:", "blob:")):
            outside.append(request.url)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.set_default_timeout(_WAIT)
        page.on("request", note)
        page.goto(f"{told['url']}/user/login")
        page.fill("input[name=email]", told["email"])
        page.fill("input[name=password]", told["password"])
        page.press("input[name=password]", "Enter")
        page.wait_for_url(lambda url: "login" not in url)
        for answer in told["answers"]:
            page.goto(f"{told['url']}/projects/{told['project']}/data?task={answer['task']}")
            page.wait_for_selector(".konvajs-content canvas")
            page.wait_for_timeout(2000)  # the proposal is drawn a while after the canvas is there
            _answer(page, answer)
        browser.close()
    print(json.dumps(outside))


def _answer(page: Any, answer: dict[str, Any]) -> None:
    page.click(f".lsf-choice:has-text('{answer['verdict']}')")
    if answer["stroke"]:
        page.click(".lsf-labels .lsf-label")
        box = page.locator(".konvajs-content").first.bounding_box()
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in answer["stroke"]]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=20)
        page.mouse.up()
        page.wait_for_timeout(500)
    if answer["screenshot"]:
        page.screenshot(path=answer["screenshot"])
    with page.expect_response(
        lambda response: response.request.method == "POST" and "/annotations" in response.url
    ):
        page.click("[data-testid=bottombar-submit-button]")


if __name__ == "__main__":
    main()
