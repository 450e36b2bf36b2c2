"""The outside world's web server and browser.  The server says to each client from which address it came.

python -m tests.sandbox.web serve PORT…
python -m tests.sandbox.web get URL [SECONDS]     prints the page; exit status 1 if there is none
"""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import urlopen


class Page(BaseHTTPRequestHandler):
    """The one page there is."""

    def do_GET(self) -> None:
        client = self.client_address[0]
        page = f"hello {client}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)
        print(f"page for {client} on port {self.server.server_address[1]}", flush=True)

    def log_message(self, *_: object) -> None:
        """Say nothing more."""


def serve(ports: list[str]) -> None:
    servers = [ThreadingHTTPServer(("", int(port)), Page) for port in ports]
    for server in servers:
        threading.Thread(target=server.serve_forever).start()
    print("listening", flush=True)


def get(url: str, seconds: str = "120") -> int:
    try:
        with urlopen(url, timeout=float(seconds)) as answer:
            print(answer.read().decode(), end="")
    except OSError as error:
        print(f"{url}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2:])
    else:
        sys.exit(get(*sys.argv[2:]))
