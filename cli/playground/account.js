// Logging in: by the demo's login service, or with a token of one's own.
import { $, h, toast } from "./dom.js";

const LOGIN = "auth.login";

export function startAccount(client, config) {
  const form = $("#login");
  const [account = { name: "", password: "" }] = config.accounts;
  /** Who this connection is, as far as the page knows. */
  let who;

  const name = h("input", { name: "name", value: account.name, "aria-label": "Name", placeholder: "name", autocomplete: "off", spellcheck: "false" });
  const password = h("input", { name: "password", type: "password", value: account.password, "aria-label": "Password", placeholder: "password", autocomplete: "off" });
  const submit = h("button", { class: "primary", type: "submit", id: "login-submit", text: "Log in" });
  const fields = h("div", { class: "account-fields" }, h("div", { class: "pair" }, name, password), submit);

  const token = h("textarea", { rows: 2, "aria-label": "A JWT", placeholder: "eyJhbGciOi…", spellcheck: "false" });
  const authenticateButton = h("button", { type: "button", class: "quiet", text: "Authenticate", onclick: () => authenticate() });
  const own = h("details", {}, h("summary", { text: "Use a token of your own" }), token, authenticateButton);

  const leave = h("button", { type: "button", class: "quiet", text: "Log out", onclick: () => logOut() });
  const greeting = h("div", { class: "greeting", hidden: true }, h("span", { class: "avatar" }), h("span", { class: "who" }), leave);
  form.append(h("h2", { text: "Account" }), greeting, fields, own);

  const draw = () => {
    greeting.hidden = who === undefined;
    fields.hidden = own.hidden = who !== undefined;
    if (who !== undefined) {
      greeting.querySelector(".avatar").textContent = who.slice(0, 1).toUpperCase();
      greeting.querySelector(".who").textContent = who;
    }
    const possible = client.state === "open" && client.services.has(LOGIN);
    submit.disabled = !possible;
    submit.title = possible ? "" : `${LOGIN} is not among the services now`;
    authenticateButton.disabled = client.state !== "open";
  };

  const logIn = async () => {
    submit.disabled = true;
    try {
      await client.call(LOGIN, { name: name.value, password: password.value });
      who = name.value;
    } catch (error) {
      const said = error.status === 401 ? "Name or password is wrong" : error.message;
      toast(said, "bad");
      password.select?.();
    }
    draw();
  };

  const authenticate = async () => {
    try {
      await client.authenticate(token.value.trim());
      who = "your token";
      token.value = "";
      toast("The token was accepted", "good");
    } catch (error) {
      toast(error.message, "bad");
    }
    draw();
  };

  /** Nothing in the protocol takes a token back: a client without one is a new connection without one. */
  const logOut = () => {
    client.setToken(undefined);
    who = undefined;
    client.close();
    client.open().catch(() => {});
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    logIn();
  });
  // A login that was called by hand, in the call panel, is one as well.
  client.on("token", () => {
    who ??= name.value || "logged in";
    draw();
  });
  client.on("closing", ({ code }) => {
    if (code === 4401) who = undefined;
  });
  client.on("discovery", draw);
  client.on("update", draw);
  client.on("state", draw);
  draw();

  return { logIn, isIn: () => who !== undefined, demoName: account.name };
}
