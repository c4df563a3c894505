"""An HTTP proxy that passes every request on, and loses some of the answers: as a server does that is killed."""

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

PASSED_ON = ("content-type", "accept", "content-range")
HOPS = ("transfer-encoding", "connection", "content-length", "content-encoding", "server", "date")
"""Headers that are of one connection."""


@contextmanager
def lossy_proxy(server: str, loses: Callable[[int, str], bool]) -> Iterator[tuple[str, list[str]]]:
    """A proxy of the HTTP server at an address: its own address, and the requests whose answer was lost, as they come.

    ``loses``: gets a request's number and its text, `POST /path`; True if its answer is to be lost.
    """
    numbers, lost = itertools.count(), []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() in PASSED_ON}
            answer = requests.request(self.command, server + self.path, data=body, headers=headers, timeout=60)
            request = f"{self.command} {self.path.partition('?')[0]}"
            if loses(next(numbers), request):
                lost.append(request)
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name.lower() not in HOPS:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on  # noqa: N815 (http.server's names)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        proxy.daemon_threads = True
        thread = threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_address[1]}", lost
        finally:
            proxy.shutdown()
            thread.join()
