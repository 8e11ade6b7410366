// A clock that moves when told to, and a WebSocket whose other end is the test.
import { Client, decodeError, decodeFrame, encodeFrame } from "../src/index.js";

export class FakeClock {
  time = 0;
  timers = new Map();
  last = 0;

  now = () => this.time;

  setTimeout = (run, ms) => {
    this.timers.set(++this.last, { run, at: this.time + ms });
    return this.last;
  };

  clearTimeout = (timer) => this.timers.delete(timer);

  /** Moves on, runs what is due in order, and lets promises settle in between. */
  async advance(ms) {
    const until = this.time + ms;
    for (;;) {
      await settle();
      const due = [...this.timers].filter(([, { at }]) => at <= until).sort((a, b) => a[1].at - b[1].at)[0];
      if (!due) break;
      this.timers.delete(due[0]);
      this.time = due[1].at;
      due[1].run();
    }
    this.time = until;
    await settle();
  }
}

/** Lets everything that waits only for other promises go on. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));

/** The class to inject; every socket made is in `FakeNet.sockets`. */
export class FakeNet {
  sockets = [];

  constructor() {
    const net = this;
    this.WebSocket = class extends FakeSocket {
      constructor(url, protocols, options) {
        super(url, protocols, options);
        net.sockets.push(this);
      }
    };
  }

  get last() {
    return this.sockets.at(-1);
  }
}

class FakeSocket {
  readyState = 0;
  bufferedAmount = 0;
  protocol = "";
  sent = [];
  closedWith = undefined;

  constructor(url, protocols, options) {
    Object.assign(this, { url, protocols, options });
  }

  send(data) {
    this.sent.push(typeof data === "string" ? JSON.parse(data) : decodeFrame(data.slice()));
  }

  close(code, reason) {
    this.closedWith = { code, reason };
    this.readyState = 2;
  }

  // The gateway's side ----------------------------------------------------------------------------------------

  accept(protocol = "bannou.v1") {
    this.protocol = protocol;
    this.readyState = 1;
    this.onopen({});
  }

  control(message) {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  frame(handle, flags, number, payload = "") {
    const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
    this.onmessage?.({ data: encodeFrame(handle, flags, number, bytes).buffer });
  }

  discover(more = {}) {
    this.control({
      type: "service_discovery",
      services: { "echo.bytes": ECHO, "auth.login": LOGIN },
      events: { "game.ask": ASK },
      client_id: "slot.session.1",
      session_id: "session",
      revision: 1,
      set: "s1",
      resume: { token: "r1", window_s: 120 },
      limits: { message_bytes: 65536 },
      ping_s: 25,
      ...more,
    });
  }

  ended(code, reason = "") {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }

  /** Data frames sent so far. */
  get frames() {
    return this.sent.filter((message) => message.handle !== undefined && message.flags !== undefined);
  }
}

export const ECHO = "00000000-0000-4000-8000-000000000001";
export const LOGIN = "00000000-0000-4000-8000-000000000002";
export const ASK = "00000000-0000-4000-8000-000000000003";
export const PEER = "00000000-0000-4000-8000-000000000004";
export const OTHER = "00000000-0000-4000-8000-000000000005";

/** A client whose gateway is the test, connected. */
export async function connected(options = {}) {
  const net = new FakeNet();
  const clock = new FakeClock();
  const client = new Client("ws://gateway/connect", { WebSocket: net.WebSocket, clock, random: () => 0.5, ...options });
  const opening = client.open();
  await settle();
  net.last.accept();
  net.last.discover();
  await opening;
  return { client, net, clock, socket: net.last };
}

export const text = (bytes) => new TextDecoder().decode(bytes);

/** The status in a frame with `ERROR`. */
export const status = (frame) => decodeError(frame.payload).status;
