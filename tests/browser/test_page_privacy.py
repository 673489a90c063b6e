"""The contract, the keys and the risk, as the API reports them."""

from playwright.sync_api import expect

CAPTION = "What happens to each field"


def test_every_field_of_the_contract_is_shown_with_its_treatment_and_column(tab, decant):
    contract = decant.server.get_json("/contract")
    tab.link("Privacy").click()

    rows = tab.rows(CAPTION)
    expect(rows).to_have_count(len(contract["fields"]))
    shown = {row.locator("th").inner_text(): row.locator("td").all_inner_texts() for row in rows.all()}
    words = {"token": "keyed token", "generalise": "generalised", "keep": "kept", "drop": "dropped"}
    for field in contract["fields"]:
        happens, stored = shown[field["path"]]
        assert words[field["treatment"]] in happens
        assert (field["column"] or "nothing") in stored
        assert field["note"] in stored
    expect(tab("main")).to_contain_text(contract["hash"])


def test_the_keys_in_use_and_the_risk_are_shown(tab, decant):
    tab.link("Privacy").click()
    stats = decant.server.get_json("/stats")

    expect(tab.rows("Tokens by key version")).to_contain_text(["People, version 1"])
    expect(tab("main")).not_to_contain_text("can be removed from the setting")
    expect(tab("main")).to_contain_text(f"k = {stats['risk']['k_anonymity']}")
    expect(tab("main")).to_contain_text(f"{stats['risk']['groups']:,} groups")
