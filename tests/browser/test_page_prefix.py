"""The page below a prefix, such as a stage of API Gateway: behind a proxy that removes the prefix."""

import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import expect

PREFIX = "/api"


class Gateway(BaseHTTPRequestHandler):
    """Passes on requests below the prefix; anything else is a 404."""

    protocol_version = "HTTP/1.1"
    behind = ""

    def pass_on(self):
        if not self.path.startswith(f"{PREFIX}/"):
            return self.answer(404, {}, b"")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kept = {
            name: value
            for name, value in self.headers.items()
            if name in {"Authorization", "Content-Type", "Accept"}
        }
        request = urllib.request.Request(  # noqa: S310  our own server
            self.behind + self.path.removeprefix(PREFIX), body or None, kept, method=self.command
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return self.answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return self.answer(refused.code, refused.headers, refused.read())

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            if name not in {"Server", "Date", "Content-Length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = pass_on  # noqa: N815

    def log_message(self, *_):
        """Nothing."""


@pytest.fixture
def gateway(decant):
    handler = type("Behind", (Gateway,), {"behind": decant.url})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}{PREFIX}"
        server.shutdown()
        thread.join()


def test_everything_works_below_a_prefix(open_tab, gateway):
    tab = open_tab(gateway).sign_in()

    expect(tab.bars()).to_have_count(50)
    assert tab.page.url == f"{gateway}/#/"
    tab.bars().last.press("Enter")
    expect(tab(".proof")).to_contain_text("It adds up")
    tab.link("People").click()
    tab.link("Next page").click()
    with tab.page.expect_download():
        tab.button("NDJSON").click()
    tab.link("The API").click()
    expect(tab.title().first).to_have_text("Decant API")
    assert all(
        request.url.startswith(f"{gateway}/") for request in tab.asked if request.url.startswith("http")
    )
