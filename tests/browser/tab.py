"""A browser tab on the page, which notes everything that should not happen there."""

import time
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Locator, Request, Route, expect

from tests.keys import API_KEY

_TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", ({ violatedDirective }) => {
  console.error(`CSP: ${violatedDirective}`);
});
"""


class Tab:
    """One tab. ``troubles``: console errors, exceptions, violations of the policy, requests elsewhere."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.troubles: list[str] = []
        self.asked: list[Request] = []
        self.refusals_expected = False  # the browser logs any status from 400 as an error
        self.page = context.new_page()
        self.page.set_default_timeout(10_000)
        self.page.add_init_script(_TELL_VIOLATIONS)
        self.page.on("console", lambda said: self._note(said.type, said.text))
        self.page.on("pageerror", lambda error: self.troubles.append(f"exception: {error}"))
        self.page.on("request", self._note_request)
        self.page.on("dialog", lambda dialog: self.troubles.append(f"dialog: {dialog.message}"))

    def _note(self, kind: str, text: str) -> None:
        is_refusal = text.startswith("Failed to load resource")
        if kind in {"error", "warning"} and not (is_refusal and self.refusals_expected):
            self.troubles.append(f"{kind}: {text}")

    def _note_request(self, request: Request) -> None:
        self.asked.append(request)
        there, here = urlsplit(request.url), urlsplit(self.url)
        if there.scheme not in {"data", "blob"} and there[:2] != here[:2]:
            self.troubles.append(f"request elsewhere: {request.url}")

    def sign_in(self, key: str = API_KEY) -> "Tab":
        """Uses a link such as `make run` prints."""
        self.page.goto(f"{self.url}/#key={key}")
        self.page.wait_for_url(f"{self.url}/#/")
        expect(self.page.locator("#nav")).to_be_visible()
        return self

    def forget(self) -> list[str]:
        """Resets the tab; returns the troubles noted so far."""
        troubles = self.troubles
        self.troubles, self.asked, self.refusals_expected = [], [], False
        return troubles

    def first(self, held: list[Route]) -> Route:
        """The first of the requests that a test holds. It may come a moment after what caused it."""
        deadline = time.monotonic() + 10
        while not held:
            assert time.monotonic() < deadline, "no request came"
            self.page.wait_for_timeout(10)  # Playwright calls handlers only while it waits
        return held[0]

    def go(self, address: str) -> "Tab":
        """Goes to a view."""
        self.page.evaluate("address => { location.hash = address; }", address)
        return self

    def __call__(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def link(self, name: str) -> Locator:
        return self.page.get_by_role("link", name=name, exact=True)

    def title(self) -> Locator:
        return self.page.get_by_role("heading", level=1)

    def bars(self) -> Locator:
        return self("svg.chart a.bar")

    def rows(self, caption: str) -> Locator:
        return self.page.get_by_role("table", name=caption).locator("tbody tr")
