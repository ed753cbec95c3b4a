"""Restate's server: one node as its documentation runs one in production, on loopback."""
import os
import platform
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path

import process
from peer import HERE
from process import Failed

STARTING_SECONDS = 60


def free_ports(n: int) -> list[int]:
    listeners = [socket.socket() for _ in range(n)]
    for listener in listeners:
        listener.bind(("127.0.0.1", 0))
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


class RestateServer:
    """Started at the first use; `stop` ends it."""

    def __init__(self, directory: Path):
        self.directory = directory / "restate"
        self.process: process.Background | None = None

    def addresses(self) -> dict[str, str]:
        if self.process is None:
            self.start()
        return {"ingress": f"http://127.0.0.1:{self.ports[0]}",
                "admin": f"http://127.0.0.1:{self.ports[1]}"}

    def start(self) -> None:
        machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), "")
        program = (HERE / "node_modules" / "@restatedev" / f"restate-server-linux-{machine}" / "bin"
                   / "restate-server")
        self.directory.mkdir()
        self.ports = free_ports(3)
        ingress, admin, fabric = (f"127.0.0.1:{port}" for port in self.ports)
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("RESTATE_")}
        environment |= {"RESTATE_INGRESS__BIND_ADDRESS": ingress,
                        "RESTATE_ADMIN__BIND_ADDRESS": admin, "RESTATE_BIND_ADDRESS": fabric,
                        "DO_NOT_TRACK": "1"}
        self.process = process.Background(
            [str(program), "--production", "--auto-provision", "true", "--listen-mode", "tcp",
             "--no-logo", "--node-name", "bench", "--base-dir", str(self.directory)], environment)
        self.wait_until_ready(f"http://{admin}/health")

    def wait_until_ready(self, url: str) -> None:
        until = time.monotonic() + STARTING_SECONDS
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while time.monotonic() < until:
            try:
                with direct.open(url, timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise Failed(f"restate-server does not answer:\n{self.process.said()}")

    def processor_s(self) -> float:
        """User and system, so far; 0 before its start."""
        if self.process is None:
            return 0
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop()
