"""Open pages without a browser: `python -m bench.page_reader PORT COUNT` reads their live messages until stdin ends.

It prints a line when all are open, and at the end the number of messages about steps that came. It loads nothing that
is large, as it shares the machine with what is measured.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys

REQUEST = b"GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


def main() -> int:
    """Run as this process."""
    port, count = map(int, sys.argv[1:])
    chosen = selectors.DefaultSelector()
    chosen.register(sys.stdin, selectors.EVENT_READ)
    for _ in range(count):
        page = socket.create_connection(("127.0.0.1", port))
        page.sendall(REQUEST)
        page.recv(4096)  # the headers
        chosen.register(page, selectors.EVENT_READ)
    print("open", flush=True)
    steps = 0
    while True:
        for key, _ in chosen.select():
            if key.fileobj is sys.stdin:
                print(steps)
                return 0
            steps += os.read(key.fd, 1 << 16).count(b"event: step\n")


if __name__ == "__main__":
    raise SystemExit(main())
