"""An account service: plain HTTP, nothing to install. PORT=7001 python3 account.py"""

import json
import os
import threading
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

# Accounts by issuer and subject. A real service has a database.
accounts = {}


# Where events go: the gateway's internal port with its token, or the own Dapr sidecar, which needs none:
# http://127.0.0.1:3500/v1.0/invoke/bannou-gateway/method
GATEWAY = os.environ.get("GATEWAY")
TOKEN = os.environ.get("GATEWAY_TOKEN")


def tell(client_id, event, payload):
    """Speaks first: a push to one client. For a request the response would be the client's answer."""
    request = urllib.request.Request(f"{GATEWAY}/v1/clients/{client_id}/events/{event}", json.dumps(payload).encode())
    request.add_header("content-type", "application/json")
    if TOKEN:
        request.add_header("authorization", f"Bearer {TOKEN}")
    try:
        urllib.request.urlopen(request, timeout=15).close()
    except OSError as error:
        print(f"{event}: {error}", flush=True)


class Account(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.read_body()
        if self.path != "/v1/accounts":
            return self.answer(404, {"error": f"no POST {self.path}"})
        try:
            name = json.loads(body)["name"]
        except (ValueError, KeyError, TypeError):
            name = None
        if not isinstance(name, str) or not name.strip():
            return self.answer(400, {"error": 'send {"name":"…"}'})
        account = {"id": str(uuid.uuid4()), "name": name, "made_by": "python"}
        if caller := self.caller():
            account["subject"] = caller[1]
            accounts[caller] = account
        client_id = self.headers.get("bannou-client-id")
        if GATEWAY and client_id:
            # Beside the answer: the client may not have to wait for it.
            threading.Thread(target=tell, args=(client_id, "account.welcome", {"name": name}), daemon=True).start()
        self.answer(201, account)

    def do_GET(self):
        account = accounts.get(self.caller())
        if self.path != "/v1/accounts/me":
            self.answer(404, {"error": f"no GET {self.path}"})
        elif account is None:
            self.answer(404, {"error": "no account yet: call account.create after logging in"})
        else:
            self.answer(200, account)

    def caller(self):
        """Who calls, as the gateway says; None for a client that has not logged in."""
        issuer, subject = self.headers.get("bannou-issuer"), self.headers.get("bannou-subject")
        return (unquote(issuer), unquote(subject)) if issuer and subject else None

    def read_body(self):
        # The gateway streams: bodies come in chunks, without a length. A framework does this for you.
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline() not in (b"\r\n", b"\n", b""):
            pass
        return body

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "7001"))), Account)
    print(f"account service on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
