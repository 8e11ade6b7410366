"""A service written with the official Dapr Python SDK, by the documentation of its FastAPI extension.

    python sdk.py [--port 0] [--name sdk]      prints `listening PORT` when it takes requests; loopback only

Its endpoints are those of README.md beside this file; `/call` is the one that `plain.mjs` does not have: it invokes another
app by the SDK's own client, through this service's sidecar (`DAPR_HTTP_PORT`, `DAPR_GRPC_PORT`, `DAPR_API_TOKEN` in the
environment, as `dapr run` sets them). `APP_API_TOKEN`, when set, is asked for as Dapr's documentation has it: the header
`dapr-api-token`, else 401.
"""

import argparse
import asyncio
import base64
import json
import os
import socket
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Annotated

import uvicorn
from dapr.clients import DaprClient
from dapr.ext.fastapi import DaprApp
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

CHUNK = 16 * 1024
MAX_KEYS = 10_000


def token_checked(dapr_api_token: Annotated[str | None, Header()] = None) -> None:
    token = os.environ.get("APP_API_TOKEN")
    if token is not None and dapr_api_token != token:
        raise HTTPException(401, "the app API token is missing or wrong")


app = FastAPI(dependencies=[Depends(token_checked)])
dapr_app = DaprApp(app)  # adds what a sidecar asks an SDK application for: /dapr/subscribe
name = "sdk"
counts: OrderedDict[str, int] = OrderedDict()
seen = {"started": 0, "finished": 0, "cancelled": 0}


class Dropped(Exception):
    """Raised inside an answer's body: uvicorn closes the connection in the middle of it."""


async def told(request: Request) -> dict:
    """What an endpoint is told: the JSON of the body, else the query string."""
    body = await request.body()
    if body:
        try:
            return json.loads(body)
        except ValueError:
            return {}
    return {k: int(v) if v.isdigit() else v for k, v in request.query_params.items()}


async def watched(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Counts how an answer that takes its time ended: a test sees here that a cancel reached the service."""
    seen["started"] += 1
    whole = False
    try:
        async for part in parts:
            yield part
        whole = True
    finally:
        seen["finished" if whole else "cancelled"] += 1


@app.api_route("/echo", methods=["GET", "POST", "PUT", "DELETE"])
async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type=request.headers.get("content-type", "application/octet-stream"))


@app.api_route("/request", methods=["GET", "POST", "PUT", "DELETE"])
@app.api_route("/request/{rest:path}", methods=["GET", "POST", "PUT", "DELETE"])
async def described(request: Request) -> dict:
    headers: dict[str, list[str]] = {}
    for key, value in request.headers.raw:
        headers.setdefault(key.decode().lower(), []).append(value.decode("latin-1"))
    body = base64.b64encode(await request.body()).decode()
    return {
        "service": name,
        "method": request.method,
        "path": request.scope["raw_path"].decode("latin-1"),
        "query": request.url.query,
        "headers": headers,
        "body": body,
    }


@app.api_route("/answer", methods=["GET", "POST", "PUT", "DELETE"])
async def answer(request: Request) -> Response:
    want = await told(request)
    body = want.get("body", "")
    headers = {"content-type": "application/json"} | want.get("headers", {})
    return Response(body if isinstance(body, str) else json.dumps(body), want.get("status", 200), headers)


@app.api_route("/slow", methods=["GET", "POST"])
async def slow(request: Request) -> Response:
    ms = (await told(request)).get("ms", 1000)
    seen["started"] += 1
    # Starlette does not end a handler whose caller has gone; the connection has to be asked.
    gone = asyncio.create_task(departed(request))
    done, _ = await asyncio.wait({gone}, timeout=ms / 1000)
    gone.cancel()
    seen["cancelled" if done else "finished"] += 1
    return JSONResponse({"waited_ms": ms})


async def departed(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


@app.get("/count")
async def count_of(key: str) -> dict:
    return {"key": key, "count": counts.get(key, 0)}


@app.post("/count")
async def count(request: Request) -> Response:
    want = await told(request)
    key = str(want.get("key"))
    counts[key] = counts.get(key, 0) + 1
    if len(counts) > MAX_KEYS:
        counts.popitem(last=False)
    then = want.get("then", 200)
    if then == "drop":
        return StreamingResponse(dropping(1), headers={"content-length": "2"})
    return JSONResponse({"key": key, "count": counts[key]}, status_code=then)


@app.api_route("/big", methods=["GET", "POST"])
async def big(request: Request) -> Response:
    want = await told(request)
    size = want.get("bytes", 0)

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, size, CHUNK):
            yield b"x" * min(CHUNK, size - start)

    headers = {} if want.get("chunked", False) else {"content-length": str(size)}
    return StreamingResponse(parts(), media_type="application/octet-stream", headers=headers)


@app.api_route("/stream", methods=["GET", "POST"])
async def stream(request: Request) -> Response:
    want = await told(request)

    async def parts() -> AsyncIterator[bytes]:
        for i in range(want.get("parts", 3)):
            if i > 0:
                await asyncio.sleep(want.get("ms", 10) / 1000)
            yield f"part {i}\n".encode()

    return StreamingResponse(watched(parts()), media_type="text/plain")


@app.api_route("/endless", methods=["GET", "POST"])
async def endless(request: Request) -> Response:
    want = await told(request)

    async def parts() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * want.get("bytes", CHUNK)
            await asyncio.sleep(want.get("ms", 0) / 1000)

    return StreamingResponse(watched(parts()), media_type="application/octet-stream")


async def dropping(size: int) -> AsyncIterator[bytes]:
    yield b"x" * size
    raise Dropped


@app.api_route("/drop", methods=["GET", "POST"])
async def drop(request: Request) -> Response:
    want = await told(request)
    size = want.get("bytes", 1)
    headers = {} if want.get("chunked", False) else {"content-length": str(size * 2)}
    return StreamingResponse(dropping(size), media_type="application/octet-stream", headers=headers)


@app.post("/call")
async def call(request: Request) -> Response:
    want = await request.json()

    def invoke():
        with DaprClient() as client:
            return client.invoke_method(
                want["app"],
                want["method"],
                data=json.dumps(want.get("data")),
                content_type="application/json",
                http_verb=want.get("verb", "POST"),
            )

    answered = await asyncio.to_thread(invoke)
    return Response(answered.data, answered.status_code or 200, media_type=answered.content_type)


@app.get("/seen")
async def what_was_seen() -> dict:
    return seen


@app.get("/healthz")
async def healthz() -> dict:
    return {"ok": True}


class Announcing(uvicorn.Server):
    """Says where it listens once it does: before that a connection would be refused."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets is not None
        print(f"listening {sockets[0].getsockname()[1]}", flush=True)


def main() -> None:
    global name
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--name", default=name)
    args = parser.parse_args()
    name = args.name
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", args.port))
    # A dropped connection is one of the endpoints here, so uvicorn's tracebacks about it would only be noise.
    Announcing(uvicorn.Config(app, log_level="critical")).run(sockets=[listener])


if __name__ == "__main__":
    main()
