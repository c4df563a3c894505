"""A PostgreSQL server of a test that is killed and started again, and a line to it that can lose an answer."""

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil


class Postmaster:
    """The server that listens at an address."""

    def __init__(self, address: str) -> None:
        """``address``: `host:port`, as `postgres_server` yields it."""
        self.port = int(address.rpartition(":")[2])
        self.process = self._process()
        self.command = self.process.cmdline()

    def kill(self) -> None:
        """Kill it with all its processes, as the end of its machine would."""
        family = [self.process, *self.process.children(recursive=True)]
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(family, timeout=60)

    def start(self) -> None:
        """Start it again, and wait until it answers."""
        folder = self.command[self.command.index("-D") + 1]
        program = str(Path(self.command[0]).with_name("pg_ctl"))
        as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        options = " ".join(self.command[self.command.index("-h") :])
        start = [*as_user, program, "-D", folder, "-w", "-l", f"{folder}/../log", "-o", options, "start"]
        subprocess.run(start, check=True, capture_output=True, cwd="/")
        self.process = self._process()

    def _process(self) -> psutil.Process:
        for each in psutil.process_iter(["cmdline"]):
            command = each.info["cmdline"] or []
            if "-D" in command and "-p" in command and command[command.index("-p") + 1] == str(self.port):
                return each
        raise AssertionError(f"no PostgreSQL server at port {self.port}")


class Line:
    """A line to a server, which can lose an answer."""

    def __init__(self, server: str, address: str) -> None:
        """Both as `host:port`: of the server, and where the line begins."""
        self.server, self.address = server, address
        self._lost = b""

    def lose_answer_to(self, words: bytes) -> None:
        """Break the connection that next sends these words: the server does what they say, but its answer is lost."""
        self._lost = words

    @property
    def has_lost(self) -> bool:
        """True once the answer is lost."""
        return not self._lost

    def forward(self, client: socket.socket) -> None:
        """Serve one connection."""
        host, _, port = self.server.rpartition(":")
        with client, socket.create_connection((host, int(port))) as server:
            back = threading.Thread(target=self._forward_answers, args=(server, client), daemon=True)
            back.start()
            while data := _received(client):
                if self._lost and self._lost in data:
                    self._lost = b""
                    with contextlib.suppress(OSError):
                        client.shutdown(socket.SHUT_WR)
                    server.sendall(data)
                    back.join()
                    return
                server.sendall(data)

    def _forward_answers(self, server: socket.socket, client: socket.socket) -> None:
        while data := _received(server):
            try:
                client.sendall(data)
            except OSError:
                return


@contextlib.contextmanager
def line_to(server: str) -> Iterator[Line]:
    """A line to the server at `host:port`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        line = Line(server, f"127.0.0.1:{listener.getsockname()[1]}")

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=line.forward, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield line
        listener.shutdown(socket.SHUT_RDWR)


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1 << 16)
    except OSError:
        return b""
