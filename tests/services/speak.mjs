// The same as speak.py in Node, with amqplib. `reply_to` is a queue that the broker names where the user may have one
// (`"queue": true`), else `amq.rabbitmq.reply-to`.
//
//   AMQP_URL=amqp://… node speak.mjs [--port 0] [--host 127.0.0.1]      prints `listening PORT` when it takes orders
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import amqp from "amqplib";

const { values: flags } = parseArgs({ options: { port: { type: "string", default: "0" }, host: { type: "string", default: "127.0.0.1" } } });
const url = process.env.AMQP_URL;
const userId = decodeURIComponent(new URL(url).username);

const say = async ({ key, headers, body, answers: wanted = 1, wait_ms = 20_000, queue = false }) => {
  const connection = await amqp.connect(url);
  try {
    const channel = await connection.createConfirmChannel();
    const answers = [];
    const correlationId = randomUUID();
    let enough = () => {};
    let returned = false;
    channel.on("return", () => { returned = true; });
    const options = { userId, headers, mandatory: true };
    if (wanted > 0) {
      const replyTo = queue ? (await channel.assertQueue("", { exclusive: true })).queue : "amq.rabbitmq.reply-to";
      await channel.consume(replyTo, (message) => {
        if (message?.properties.correlationId !== correlationId) return;
        answers.push({ headers: message.properties.headers, body: message.content.toString("base64") });
        if (answers.length >= wanted) enough();
      }, { noAck: true });
      Object.assign(options, { replyTo, correlationId });
    }
    // What nothing takes is returned before it is confirmed.
    await new Promise((resolve, reject) => {
      channel.publish("bannou.clients", key, Buffer.from(body, "base64"), options, (error) => (error ? reject(error) : resolve()));
    });
    if (!returned && answers.length < wanted) {
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, wait_ms);
        enough = () => { clearTimeout(timer); resolve(); };
      });
    }
    return { returned, answers };
  } finally {
    await connection.close();
  }
};

const server = createServer(async (req, res) => {
  let [status, told] = [200, null];
  try {
    const parts = [];
    for await (const part of req) parts.push(part);
    told = await say(JSON.parse(Buffer.concat(parts).toString()));
  } catch (error) {
    [status, told] = [500, { error: String(error) }];
  }
  res.writeHead(status, { "content-type": "application/json" });
  res.end(JSON.stringify(told));
});
server.listen(Number(flags.port), flags.host, () => console.log(`listening ${server.address().port}`));
