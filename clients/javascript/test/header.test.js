import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Flag,
  MAX_NUMBER,
  ProtocolError,
  decodeError,
  decodeFrame,
  encodeError,
  encodeFrame,
  flagNames,
  handleFromBytes,
  handleToBytes,
  logPosition,
} from "../src/index.js";

const HANDLE = "a1b2c3d4-e5f6-0718-293a-4b5c6d7e8f90";
const HANDLE_HEX = "a1b2c3d4e5f60718293a4b5c6d7e8f90";
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const text = (value) => new TextEncoder().encode(value);

test("frames have the bytes that the protocol gives them", () => {
  const vectors = [
    [0, 1n, "0000000000000001"],
    [Flag.ERROR, 7n, "4000000000000007"],
    [Flag.ONE_WAY, 0n, "1000000000000000"],
    [Flag.INBOUND, 0x0102030405060708n & MAX_NUMBER, "8002030405060708"],
    [Flag.INBOUND | Flag.MORE, 255n, "a0000000000000ff"],
    [Flag.INBOUND | Flag.LOGGED, (3n << 48n) | 9n, "8803000000000009"],
    [Flag.INBOUND | Flag.ERROR | Flag.LOGGED, MAX_NUMBER, "c8ffffffffffffff"],
  ];
  for (const [flags, number, id] of vectors) {
    const bytes = encodeFrame(HANDLE, flags, number, text("hi"));
    assert.equal(hex(bytes), `${HANDLE_HEX}${id}6869`);
    const back = decodeFrame(bytes);
    assert.deepEqual({ ...back, payload: hex(back.payload) }, { handle: HANDLE, flags, number, payload: "6869" });
  }
});

test("a frame is read from the middle of a larger buffer", () => {
  const frame = encodeFrame(HANDLE, Flag.MORE, 5, text("x"));
  const around = new Uint8Array(frame.length + 7);
  around.set(frame, 7);
  const back = decodeFrame(around.subarray(7));
  assert.equal(back.handle, HANDLE);
  assert.equal(back.number, 5n);
  assert.equal(hex(back.payload), "78");
});

test("what does not fit is refused", () => {
  assert.throws(() => decodeFrame(new Uint8Array(23)), ProtocolError);
  assert.throws(() => encodeFrame(HANDLE, 0, -1n), ProtocolError);
  assert.throws(() => encodeFrame(HANDLE, 0, MAX_NUMBER + 1n), ProtocolError);
  assert.throws(() => encodeFrame(HANDLE, 256, 1n), ProtocolError);
  assert.throws(() => encodeFrame("nonsense", 0, 1n), ProtocolError);
});

test("handles keep every byte, whatever their case", () => {
  assert.equal(handleFromBytes(handleToBytes(HANDLE.toUpperCase())), HANDLE);
  assert.equal(hex(handleToBytes("ffffffff-ffff-ffff-ffff-ffffffffffff")), "f".repeat(32));
});

test("error payloads are a status and a body", () => {
  assert.equal(hex(encodeError(499)), "01f3");
  assert.equal(hex(encodeError(404, text("no"))), "01946e6f");
  const { status, body } = decodeError(encodeError(503, text("busy")));
  assert.equal(status, 503);
  assert.equal(hex(body), hex(text("busy")));
  assert.equal(decodeError(new Uint8Array(1)).status, 0);
});

test("flags have names, reserved bits too", () => {
  assert.deepEqual(flagNames(0), []);
  assert.deepEqual(flagNames(0xf8), ["INBOUND", "ERROR", "MORE", "ONE_WAY", "LOGGED"]);
  assert.deepEqual(flagNames(0x81), ["INBOUND", "RESERVED(1)"]);
});

test("a logged number is a tag and an offset", () => {
  assert.deepEqual(logPosition((200n << 48n) | 77n), { tag: 200, offset: 77n });
});
