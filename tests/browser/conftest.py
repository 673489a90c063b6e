"""Debian's Chromium on the page, in all window sizes and colour schemes that the page supports.

Without a browser these tests are skipped with one line; where CI is set, they must not be.
"""

import os

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.browser.chromium import LOOKS, NAMES, find
from tests.browser.decant import simulate_a_day, start_decant
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
def decant(browser, tmp_path_factory):
    """A Decant after a day of runs."""
    with start_decant(tmp_path_factory.mktemp("decant")) as started:
        simulate_a_day(started)
        yield started


@pytest.fixture(scope="package")
def context_of(browser):
    """A browser context for a window size and colour scheme; it is reused, with its cache."""
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
    """Opens tabs on a URL; fails at the end of the test if any of them noted trouble."""
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
    """The open tabs, by window size and colour scheme."""
    return {}


@pytest.fixture
def tab(context, decant, kept_tabs):
    """A tab with all scopes, on the first view. It stays open for the next test."""
    kept = kept_tabs.setdefault(context, None) or Tab(context, decant.url)
    kept_tabs[context] = kept
    yield kept.sign_in()
    troubles = kept.forget()
    assert troubles == []
