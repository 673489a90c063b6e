"""Debian's Chromium on the page, at the sizes and in the colours that it is made for.

Without a browser these tests are skipped, in one line; where CI is set they must not be.
"""

import os

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.browser.chromium import LOOKS, NAMES, find
from tests.browser.house import house, live_a_day
from tests.browser.tab import Tab

expect.set_options(timeout=10_000)


@pytest.fixture(scope="package")
def browser():
    path = find()
    if path is None:
        why = f"the page wants a browser to be tested: one of {', '.join(NAMES)}"
        pytest.fail(why) if os.environ.get("CI") == "true" else pytest.skip(why)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path)
        yield running
        running.close()


@pytest.fixture(scope="package")
def home(browser, tmp_path_factory):
    """A house after a day of runs."""
    with house(tmp_path_factory.mktemp("house")) as lived_in:
        live_a_day(lived_in)
        yield lived_in


@pytest.fixture(scope="package")
def context_of(browser):
    """The browser at a size and in a colour scheme; what it has loaded once it keeps."""
    contexts = {}

    def get(look):
        name = str(look)
        if name not in contexts:
            contexts[name] = browser.new_context(**look)
        return contexts[name]

    yield get
    for context in contexts.values():
        context.close()


@pytest.fixture(params=LOOKS)
def context(request, context_of):
    return context_of(LOOKS[request.param])


@pytest.fixture
def open_tab(context):
    """Opens tabs on a URL; in the end, nothing may have happened in any of them that should not."""
    tabs = []

    def open_(url):
        tabs.append(Tab(context, url))
        return tabs[-1]

    yield open_
    for tab in tabs:
        tab.page.close()
    assert [tab.troubles for tab in tabs if tab.troubles] == []


@pytest.fixture(scope="package")
def kept_tabs():
    """By what they look like."""
    return {}


@pytest.fixture
def tab(context, home, kept_tabs):
    """A tab that may do everything, on the first view. It stays open for the next test."""
    kept = kept_tabs.setdefault(context, None) or Tab(context, home.url)
    kept_tabs[context] = kept
    yield kept.sign_in()
    troubles = kept.forget()
    assert troubles == []
