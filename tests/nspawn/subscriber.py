"""Events of a broker on localhost -> a file of their payloads: `python subscriber.py TOPIC FILE`, until it is killed.

The broker keeps messages that come while the subscriber is away, and those that it has not acknowledged.
"""

import sys
from pathlib import Path

from paho.mqtt import client


def main(topic, path):
    with Path(path).open("ab", buffering=0) as file:
        listener = client.Client(client.CallbackAPIVersion.VERSION2, "subscriber", clean_session=False)
        listener.on_connect = lambda *_: listener.subscribe(topic, 1)
        listener.on_message = lambda _client, _data, message: file.write(message.payload + b"\n")
        listener.reconnect_delay_set(0.2, 1)
        listener.connect_async("127.0.0.1")
        listener.loop_forever(retry_first_connection=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
