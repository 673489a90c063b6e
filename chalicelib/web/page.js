// The page's entry point: signs the user in, and routes to a view.

import { fill } from "./dom.js";
import { watchHealth } from "./health.js";
import { close, route } from "./router.js";
import { forget, keep, key, takeFromAddress } from "./session.js";
import { signInForm, whyNot } from "./signin.js";
import { loading } from "./states.js";

const main = document.getElementById("main");
const forSignedIn = ["nav", "leave"].map((id) => document.getElementById(id));

async function begin() {
  const brought = takeFromAddress();
  if (brought === null) return key() ? enter({ first: true }) : askForKey("");
  const reason = await whyNot(brought);
  if (reason) return askForKey(reason);
  keep(brought);
  return enter({ first: true });
}

function enter(how) {
  for (const node of forSignedIn) node.hidden = false;
  route(main, how);
}

function askForKey(reason) {
  close();
  for (const node of forSignedIn) node.hidden = true;
  signInForm(main, reason, (apiKey) => { keep(apiKey); enter(); });
}

addEventListener("hashchange", () => {
  if (location.hash.startsWith("#key=")) begin();
  else if (key()) enter();
});
document.getElementById("leave").addEventListener("click", () => {
  forget();
  askForKey("");
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
document.querySelector(".foot p").append(` Times are in ${Intl.DateTimeFormat().resolvedOptions().timeZone}.`);
watchHealth();
fill(main, loading("the page"));
begin();
