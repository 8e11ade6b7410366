// Wires the page: one client, and panels that each know only the client and each other's few functions.
import { Client } from "./client/index.js";
import { startAccount } from "./account.js";
import { startCalls } from "./call.js";
import { startChat } from "./chat.js";
import { startConnection } from "./connection.js";
import { startEvents } from "./events.js";
import { startKeys } from "./keys.js";
import { startMedia } from "./media.js";
import { startServices } from "./services.js";
import { startTabs } from "./tabs.js";
import { startWire } from "./wire.js";

/** What the page works with when nobody serves a configuration. */
const DEFAULTS = { connect: "/connect", media: undefined, accounts: [], examples: {}, events: {} };
/** A page that is left open should come back whenever its gateway does. */
const A_DAY_MS = 24 * 60 * 60 * 1000;

async function readConfig() {
  try {
    const response = await fetch("playground/config.json", { cache: "no-store", signal: AbortSignal.timeout(3000) });
    if (response.ok) return { ...DEFAULTS, ...(await response.json()) };
  } catch {
    // The page works without it.
  }
  return DEFAULTS;
}

const config = await readConfig();
const client = new Client(new URL(config.connect, location.href).href, { connectTimeout: A_DAY_MS });

startWire(client);
const tabs = startTabs();
const calls = startCalls(client, config);
const services = startServices(client, config, {
  chosen: (name, write) => {
    tabs.show("call");
    calls.choose(name, write);
  },
});
const account = startAccount(client, config);
startEvents(client, config, { tabs });
startChat(client, { tabs, account });
startMedia(client, config, { account });
const connection = startConnection(client, calls);
startKeys({ tabs, services, calls, connection });

client.open().catch(() => {});
