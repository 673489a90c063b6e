"""`make screenshots`: takes the README's pictures of the running page after a day of runs."""

import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from local.folders import ROOT
from tests.browser.chromium import LOOKS, find
from tests.browser.decant import simulate_a_day, start_decant
from tests.browser.tab import Tab

IMAGES = ROOT / "docs" / "images"


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        start_decant(Path(folder)) as decant,
        sync_playwright() as playwright,
    ):
        simulate_a_day(decant)
        for person in decant.server.get_json("/users?limit=6")["items"]:
            for _ in range(8):  # otherwise the cache would have no hits to show
                decant.server.get_json(f"/users/{person['uid']}")
        with playwright.chromium.launch(executable_path=find()) as browser:
            for name, look in LOOKS.items():
                tab = Tab(browser.new_context(**look), decant.url).sign_in()
                expect(tab.bars()).to_have_count(50)
                expect(tab(".figures")).to_contain_text("reads since this server started")
                tab.page.mouse.move(0, 0)
                picture = IMAGES / f"page-{name}.png"
                tab.page.screenshot(path=picture, full_page=True)
                print(f"{picture.relative_to(Path.cwd())}: {picture.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
