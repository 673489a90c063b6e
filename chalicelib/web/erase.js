// Erases a person: asks for confirmation, sends one request, and shows the receipt.

import { ask } from "./api.js";
import { announce, complain, element, facts, freshId, remark, report, save } from "./dom.js";
import { complaint } from "./states.js";
import { number, timestamp } from "./words.js";

export function eraseButton(uid, done) {
  const dialog = confirmation(uid, (receipt) => {
    const node = receiptOf(receipt);
    done(node);
    if (!node.isConnected) return remark(node); // the user has left the view
    node.querySelector("h2").focus();
    announce("The person is erased.");
  });
  const open = element("button", { type: "button", class: "danger", click: () => { dialog.querySelector(".said").textContent = ""; dialog.showModal(); } }, "Erase this person …");
  return element("div", { class: "erase" }, open, dialog);
}

/** An erasure cannot be stopped once sent, so its outcome is shown even if the view is gone by then. */
function confirmation(uid, done) {
  const id = freshId();
  const said = element("p", { class: "said" });
  const cancel = element("button", { type: "button", click: () => dialog.close() }, "Cancel");
  const sure = element("button", { type: "button", class: "danger", click: erase }, "Erase permanently");
  const dialog = element(
    "dialog",
    { "aria-labelledby": id },
    element("h2", { id }, "Erase this person permanently?"),
    element("p", {}, element("code", {}, uid)),
    element("p", {}, "This deletes the person’s rows, cache entry and any sealed records. A token of the id is kept, so that the next run does not store the person again. Keyed fingerprints of rejected records are kept, too. This page cannot undo it."),
    said,
    element("div", { class: "buttons" }, cancel, sure),
  );
  async function erase() {
    cancel.disabled = sure.disabled = true;
    report(said, "Erasing …");
    try {
      const { data } = await ask(`users/${uid}`, { method: "DELETE" });
      dialog.close();
      done(data);
    } catch (error) {
      complain(said, complaint(error, "erase", "the person may already be erased. Erase again to be sure."));
      if (!dialog.isConnected) remark(element("p", {}, said.textContent, " ", element("code", {}, uid)));
      else if (!dialog.open) dialog.showModal();
    } finally {
      cancel.disabled = sure.disabled = false;
      if (dialog.open) cancel.focus();
    }
  }
  return dialog;
}

function receiptOf(receipt) {
  const rows = [
    ["Erased", timestamp(receipt.erased_at)],
    ["People", number(receipt.users)],
    ["Addresses", number(receipt.addresses)],
    ["Sealed records", number(receipt.sealed_records)],
    ["Cache", receipt.cache_cleared ? "cleared" : `clearing not confirmed; expires within ${number(receipt.cache_gone_within_seconds)} s`],
    ["Erasure token", element("code", { class: "token" }, receipt.uid_token)],
    ["Related runs", receipt.run_ids.length ? receipt.run_ids.map((run) => element("a", { href: `#/runs/${run}` }, element("code", {}, run.slice(0, 8)), " ")) : "none known"],
  ];
  return element(
    "section",
    { class: "receipt" },
    element("h2", { tabindex: -1 }, "Receipt"),
    facts(rows, "facts stacked"),
    element("div", { class: "buttons" }, element("button", { type: "button", click: () => save("receipt.json", [JSON.stringify(receipt, null, 2)], "application/json") }, "Save the receipt"), element("a", { href: "#/people" }, "All people")),
  );
}
