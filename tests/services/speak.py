"""A service that speaks first over RabbitMQ, with pika and what the protocol says: nothing of Bannou's.

    AMQP_URL=amqp://… python speak.py [--port 0]      prints `listening PORT` when it takes orders; loopback only

`POST /say` with `{"key", "headers": {}, "body": base64, "answers": 1, "wait_ms": 20000}` publishes to `bannou.clients` as the URL's
user, with `amq.rabbitmq.reply-to` and a `correlation_id` when answers are wanted, and tells what came of it:
`{"returned": bool, "answers": [{"headers", "body": base64}]}`, those with its own `correlation_id` alone.
"""

import argparse
import base64
import json
import os
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pika
from pika.exceptions import UnroutableError

PARAMETERS = pika.URLParameters(os.environ["AMQP_URL"])


def say(order: dict) -> dict:
    connection = pika.BlockingConnection(PARAMETERS)
    try:
        channel = connection.channel()
        channel.confirm_delivery()
        answers: list[dict] = []
        correlation_id = str(uuid.uuid4())

        def answered(_channel, _method, properties, body) -> None:
            if properties.correlation_id == correlation_id:
                answers.append({"headers": properties.headers, "body": base64.b64encode(body).decode()})

        wanted = order.get("answers", 1)
        properties = pika.BasicProperties(user_id=PARAMETERS.credentials.username, headers=order["headers"])
        if wanted:
            channel.basic_consume("amq.rabbitmq.reply-to", answered, auto_ack=True)
            properties.reply_to = "amq.rabbitmq.reply-to"
            properties.correlation_id = correlation_id
        try:
            channel.basic_publish("bannou.clients", order["key"], base64.b64decode(order["body"]), properties, mandatory=True)
        except UnroutableError:
            return {"returned": True, "answers": []}
        give_up = time.monotonic() + order.get("wait_ms", 20_000) / 1000
        while len(answers) < wanted and time.monotonic() < give_up:
            connection.process_data_events(time_limit=0.1)
        return {"returned": False, "answers": answers}
    finally:
        connection.close()


class Orders(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        try:
            status, told = 200, say(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        except Exception as error:
            status, told = 500, {"error": repr(error)}
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    server = ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Orders)
    print(f"listening {server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
