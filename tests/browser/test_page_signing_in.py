"""Signing in: the key comes from a link or the form, stays in the tab, and is forgotten on signing out."""

import pytest
from playwright.sync_api import expect

from tests.integration.api_support import READ
from tests.keys import API_KEY, KEY_WITHOUT_SCOPES

REFUSED = "This key has no access: it is unknown here"


def kept(tab):
    """Everything that the browser stores persistently."""
    stores = tab.page.evaluate("JSON.stringify([{...localStorage}, document.cookie])")
    return stores, tab.page.context.cookies()


def test_a_link_signs_in_and_its_key_is_removed_from_the_address_and_sent_in_no_url(open_tab, decant):
    tab = open_tab(decant.url).sign_in()

    expect(tab.title()).to_have_text("Everything works.")
    assert tab.page.url == f"{decant.url}/#/"
    assert tab.page.evaluate("history.length") <= 2
    assert all(API_KEY not in request.url for request in tab.asked)
    assert API_KEY not in decant.server.log.read_text(encoding="utf-8")


def test_the_key_stays_in_its_tab(open_tab, decant):
    tab = open_tab(decant.url).sign_in()
    tab.page.reload()
    expect(tab.title()).to_have_text("Everything works.")

    other = open_tab(decant.url)
    other.page.goto(decant.url)

    expect(other.page.get_by_label("API key")).to_be_visible()
    expect(other(".sign-in .fine")).to_contain_text("open in a new tab asks for it again")
    assert API_KEY not in str(kept(tab))


_DENIED = """Object.defineProperty(window, "sessionStorage", {
    get() { throw new DOMException("Access is denied for this document.", "SecurityError"); },
});"""


def test_where_the_browser_denies_storage_the_key_is_kept_until_a_reload(open_tab, decant):
    tab = open_tab(decant.url)
    tab.page.add_init_script(_DENIED)
    tab.sign_in()

    expect(tab.title()).to_have_text("Everything works.")
    tab.go("#/people")
    expect(tab.rows("All people, by id").first).to_be_visible()
    tab.page.reload()
    expect(tab.page.get_by_label("API key")).to_be_visible()


def test_a_link_opened_in_an_existing_tab_signs_in_too(open_tab, decant):
    tab = open_tab(decant.url)
    tab.page.goto(f"{decant.url}/")
    expect(tab.page.get_by_label("API key")).to_be_visible()

    tab.go(f"#key={API_KEY}")

    expect(tab.title()).to_have_text("Everything works.")
    assert API_KEY not in tab.page.url


def test_a_wrong_key_in_the_link_is_reported_and_not_kept(open_tab, decant):
    tab = open_tab(decant.url)
    tab.refusals_expected = True

    tab.page.goto(f"{decant.url}/#key=guessed")

    expect(tab.page.get_by_role("alert")).to_contain_text(REFUSED)
    assert tab.page.evaluate("sessionStorage.length") == 0
    assert "guessed" not in tab.page.url


@pytest.mark.parametrize("status", [0, 503])
def test_a_key_that_cannot_be_tried_now_is_kept(open_tab, decant, status):
    tab = open_tab(decant.url)
    tab.refusals_expected = True
    tab.page.route("**/contract", lambda route: route.fulfill(status=status) if status else route.abort())

    tab.sign_in()

    expect(tab.title()).to_have_text("Everything works.")
    tab.page.reload()
    expect(tab.title()).to_have_text("Everything works.")


def test_a_link_with_a_wrong_key_does_not_sign_out_a_tab(open_tab, decant):
    tab = open_tab(decant.url).sign_in()
    tab.refusals_expected = True

    tab.go("#key=guessed")
    expect(tab.page.get_by_role("alert")).to_contain_text(REFUSED)
    tab.go("#/privacy")

    expect(tab.title()).to_have_text("Privacy")
    expect(tab.button("Sign out")).to_be_visible()


def test_the_form_accepts_only_a_key_with_the_read_scope(open_tab, decant):
    tab = open_tab(decant.url)
    tab.refusals_expected = True
    tab.page.goto(decant.url)
    field = tab.page.get_by_label("API key")
    expect(field).to_be_focused()
    assert (field.get_attribute("type"), field.get_attribute("autocomplete")) == ("password", "off")

    for wrong in ("guessed", KEY_WITHOUT_SCOPES, "ключ"):
        field.fill(wrong)
        tab.button("Sign in").click()
        expect(tab.page.get_by_role("alert")).to_contain_text(REFUSED)
        expect(field).to_be_focused()
        expect(field).to_have_attribute("aria-invalid", "true")
    field.fill(READ)
    field.press("Enter")

    expect(tab.title()).to_have_text("Everything works.")
    expect(tab.title()).to_be_focused()


def test_signing_in_says_that_it_is_in_progress(open_tab, decant):
    tab = open_tab(decant.url)
    held = []
    tab.page.route("**/contract", lambda route: held.append(route))
    tab.page.goto(decant.url)
    field = tab.page.get_by_label("API key")
    field.fill(READ)
    field.press("Enter")

    expect(tab(".sign-in .said")).to_have_text("Signing in …")
    expect(tab("#announcer")).to_contain_text("Signing in …")
    tab.first(held).continue_()
    expect(tab.title()).to_have_text("Everything works.")


def test_signing_out_forgets_the_key(tab):
    tab.button("Sign out").click()

    expect(tab.page.get_by_label("API key")).to_be_visible()
    expect(tab("#nav")).to_be_hidden()
    tab.page.reload()
    expect(tab.page.get_by_label("API key")).to_be_visible()


def test_a_key_that_is_no_longer_valid_leads_back_to_the_form(tab):
    tab.refusals_expected = True
    tab.page.evaluate("sessionStorage.setItem('decant-key', 'withdrawn')")

    tab.go("#/people")

    expect(tab.page.get_by_role("alert")).to_contain_text("This key has no access")
    tab.button("Sign in with another key").click()
    expect(tab.page.get_by_label("API key")).to_be_visible()
