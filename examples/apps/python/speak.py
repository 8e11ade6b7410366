"""Asks a client something, over RabbitMQ: pip install pika; python3 speak.py CLIENT_ID [BROKER_URL]

With --push it only tells the client something, and waits for the receipt.
"""

import json
import sys
import uuid

import pika

args = [arg for arg in sys.argv[1:] if arg != "--push"]
if not args:
    sys.exit(__doc__)
client_id = args[0]
url = args[1] if len(args) > 1 else "amqp://guest:guest@127.0.0.1:5672"
event, payload = ("match_found", {"match": "m1", "status": "found"}) if "--push" in sys.argv else ("ready_check", {"match": "m1", "answer_within_s": 10})

parameters = pika.URLParameters(url)
channel = pika.BlockingConnection(parameters).channel()
asked = str(uuid.uuid4())


def answered(channel, method, properties, body):
    """The first status for a correlation_id counts."""
    if properties.correlation_id == asked:
        print(properties.headers["bannou-status"], body.decode())
        channel.stop_consuming()


# Direct reply-to: the answer comes on this channel, no queue is needed.
channel.basic_consume("amq.rabbitmq.reply-to", answered, auto_ack=True)
channel.confirm_delivery()
try:
    channel.basic_publish(
        "bannou.clients",
        client_id,  # the routing key: one client; or tier.<name>, subject.<hash>, all
        json.dumps(payload).encode(),
        pika.BasicProperties(
            user_id=parameters.credentials.username,  # the broker checks it; the exposure's `senders` must name it
            reply_to="amq.rabbitmq.reply-to",
            correlation_id=asked,
            message_id=asked,  # a repeat of ours is dropped
            headers={"bannou-service": "game", "bannou-event": event},
        ),
        mandatory=True,  # comes back when the gateway of this client is gone
    )
except pika.exceptions.UnroutableError:
    sys.exit("404 nobody is there: its gateway is gone")
channel.start_consuming()
