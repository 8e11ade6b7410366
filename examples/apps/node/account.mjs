// An account service: plain HTTP, nothing to install. PORT=7001 node account.mjs
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";

/** Accounts by issuer and subject. A real service has a database. */
const accounts = new Map();

/**
 * Where events go: the gateway's internal port with its token, or the own Dapr sidecar, which needs none:
 * http://127.0.0.1:3500/v1.0/invoke/bannou-gateway/method
 */
const { GATEWAY, GATEWAY_TOKEN } = process.env;

/** Speaks first: a push to one client. For a request the response would be the client's answer. */
async function tell(clientId, event, payload) {
  if (!GATEWAY || !clientId) return;
  const headers = { "content-type": "application/json" };
  if (GATEWAY_TOKEN) headers.authorization = `Bearer ${GATEWAY_TOKEN}`;
  const url = `${GATEWAY}/v1/clients/${clientId}/events/${event}`;
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(payload) });
  if (!response.ok) console.error(`${event}: ${response.status} ${await response.text()}`);
}

/** Who calls, as the gateway says; undefined for a client that has not logged in. */
function caller({ headers }) {
  const { "bannou-issuer": issuer, "bannou-subject": subject } = headers;
  return issuer && subject ? { key: `${issuer}\n${subject}`, subject: decodeURIComponent(subject) } : undefined;
}

async function readJson(request) {
  let text = "";
  for await (const part of request) text += part;
  return JSON.parse(text);
}

async function answer(request) {
  const who = caller(request);
  switch (`${request.method} ${request.url}`) {
    case "POST /v1/accounts": {
      const { name } = await readJson(request).catch(() => ({}));
      if (typeof name !== "string" || !name.trim()) return [400, { error: 'send {"name":"…"}' }];
      const account = { id: randomUUID(), name, subject: who?.subject, made_by: "node" };
      if (who) accounts.set(who.key, account);
      tell(request.headers["bannou-client-id"], "account.welcome", { name }).catch((error) => console.error(error.message));
      return [201, account];
    }
    case "GET /v1/accounts/me": {
      const account = who && accounts.get(who.key);
      return account ? [200, account] : [404, { error: "no account yet: call account.create after logging in" }];
    }
    default:
      return [404, { error: `no ${request.method} ${request.url}` }];
  }
}

const server = createServer(async (request, response) => {
  const [status, body] = await answer(request).catch((error) => [500, { error: error.message }]);
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
});

server.listen(Number(process.env.PORT ?? 7001), "127.0.0.1", () => {
  console.log(`account service on http://127.0.0.1:${server.address().port}`);
});
