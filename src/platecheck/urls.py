"""Photos from the web: https alone, within limits, and never from a network's inside unasked."""

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from contextlib import suppress
from urllib.parse import urljoin, urlsplit

from platecheck.errors import PhotoError

LARGEST = 2**27
"""Bytes of a photo: 128 MB."""

SECONDS = 30.0
"""That connecting, following redirects and reading may take, all together."""

REDIRECTS = 5

# Addresses of IPv4 written in IPv6, which a gateway may lead to a network's inside.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def fetch_photo(url: str, *, allow_private: bool = False) -> bytes:
    """Bring what is at a URL; whether it is a photo shows as it is decoded.

    The address that was looked at is the one that is connected to, so that a name that stands for
    another one a moment later changes nothing; every redirect is looked at anew. No proxy is used.

    Args:
        url: begins with ``https://``.
        allow_private: also ``http://``, and addresses that are not public.

    Raises:
        PhotoError: it is refused, cannot be reached, or is too large or too slow.
    """
    deadline = time.monotonic() + SECONDS
    at = url
    try:
        for _ in range(REDIRECTS + 1):
            found = _get(at, url, deadline, allow_private)
            if isinstance(found, bytes):
                return found
            at = urljoin(at, found)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if time.monotonic() >= deadline:
            raise PhotoError(url, f"it did not arrive within {SECONDS:.0f} seconds") from None
        raise PhotoError(
            url, f"cannot be fetched ({str(error) or type(error).__name__})"
        ) from error
    raise PhotoError(url, f"it is redirected more than {REDIRECTS} times")


def _get(at: str, url: str, deadline: float, allow_private: bool) -> bytes | str:
    parts = urlsplit(at)
    secure = parts.scheme == "https"
    if not (secure or (parts.scheme == "http" and allow_private)):
        raise PhotoError(url, "only https:// is opened; --allow-private-urls also opens http://")
    if not parts.hostname:
        raise PhotoError(url, "the address names no machine")
    port = parts.port or (443 if secure else 80)
    address = _address(parts.hostname, port, url, allow_private)
    connection = http.client.HTTPConnection(parts.hostname, port, timeout=_left(deadline))
    opened = socket.create_connection((address, port), timeout=_left(deadline))

    def stop() -> None:
        with suppress(OSError):
            opened.shutdown(socket.SHUT_RDWR)

    # A server that sends a byte now and then never runs into the socket's own timeout.
    timer = threading.Timer(_left(deadline), stop)
    timer.start()
    try:
        if secure:
            context = ssl.create_default_context()
            opened = context.wrap_socket(opened, server_hostname=parts.hostname)
        connection.sock = opened
        host = parts.netloc.rpartition("@")[2]
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"Host": host, "User-Agent": "platecheck", "Accept": "image/*, */*;q=0.5"}
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        if response.status in (301, 302, 303, 307, 308):
            return response.headers.get("Location") or ""
        if response.status != 200:
            raise PhotoError(url, f"the server answers {response.status} {response.reason}")
        content = bytearray()
        while part := response.read1(2**16):
            content += part
            if len(content) > LARGEST:
                raise PhotoError(url, f"it is larger than {LARGEST // 2**20} MB")
        _left(deadline)
        return bytes(content)
    finally:
        timer.cancel()
        connection.close()
        opened.close()


def _left(deadline: float) -> float:
    if (left := deadline - time.monotonic()) <= 0:
        raise TimeoutError("too slow")
    return left


def _address(host: str, port: int, url: str, allow_private: bool) -> str:
    """The first address of a name, if all of them may be connected to."""
    found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if not allow_private and not all(map(is_public, found)):
        raise PhotoError(
            url, "its address is not a public one; --allow-private-urls opens it all the same"
        )
    return found[0]


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64 or ip.sixtofour or ip.teredo:
            return False
        ip = ip.ipv4_mapped or ip
    return ip.is_global and not ip.is_multicast
