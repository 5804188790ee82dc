"""Addresses to listen on."""

import ipaddress
import socket
from typing import Any

from platecheck.errors import SettingsError


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there.

    Raises:
        SettingsError: there is no such address.
    """
    return all(
        ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback
        for *_, address in addresses(host, 0)
    )


def addresses(host: str, port: int) -> list[tuple[Any, ...]]:
    """What a host name and a port mean to a socket, as `socket.getaddrinfo`.

    Raises:
        SettingsError: nothing.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{host}: no such address to listen on") from error
    return list(found)
