"""Ports for workers on this machine."""

import contextlib
import socket


def free_ports(number: int) -> list[int]:
    """All held at once: one that is free again may be given a second time."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("", 0))) for _ in range(number)]
        return [server.getsockname()[1] for server in servers]
