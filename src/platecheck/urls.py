"""Download photos over HTTPS with size and time limits; private addresses only on request."""

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from contextlib import suppress
from urllib.parse import urljoin, urlsplit

from platecheck.errors import PhotoError

MAX_BYTES = 2**27
"""Largest photo downloaded: 128 MB."""

TIMEOUT = 30.0
"""Total time in seconds for connecting, following redirects and reading."""

MAX_REDIRECTS = 5

# IPv4 addresses embedded in IPv6, which a gateway may route to a private network.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def fetch_photo(url: str, *, allow_private: bool = False) -> bytes:
    """Download a photo. No proxy is used.

    The connection goes to the address that was checked, which defeats DNS rebinding, and every
    redirect is checked again. `allow_private` also allows ``http://`` and addresses that are not
    public.

    Raises:
        PhotoError: the URL is refused or unreachable, or the photo is too large or too slow.
    """
    deadline = time.monotonic() + TIMEOUT
    location = url
    try:
        for _ in range(MAX_REDIRECTS + 1):
            response = _get(location, url, deadline, allow_private)
            if isinstance(response, bytes):
                return response
            location = urljoin(location, response)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if time.monotonic() >= deadline:
            raise PhotoError(url, f"the download timed out after {TIMEOUT:.0f} seconds") from None
        raise PhotoError(
            url, f"cannot be fetched ({str(error) or type(error).__name__})"
        ) from error
    raise PhotoError(url, f"it is redirected more than {MAX_REDIRECTS} times")


def _get(location: str, url: str, deadline: float, allow_private: bool) -> bytes | str:
    """Return the content, or the target of a redirect."""
    parts = urlsplit(location)
    secure = parts.scheme == "https"
    if not (secure or (parts.scheme == "http" and allow_private)):
        raise PhotoError(url, "only https:// is allowed; --allow-private-urls also allows http://")
    if not parts.hostname:
        raise PhotoError(url, "the URL has no host name")
    port = parts.port or (443 if secure else 80)
    address = _resolve(parts.hostname, port, url, allow_private)
    connection = http.client.HTTPConnection(parts.hostname, port, timeout=_remaining(deadline))
    opened = socket.create_connection((address, port), timeout=_remaining(deadline))

    def stop() -> None:
        with suppress(OSError):
            opened.shutdown(socket.SHUT_RDWR)

    # The socket's own timeout restarts with every byte that a slow server sends.
    timer = threading.Timer(_remaining(deadline), stop)
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
            raise PhotoError(url, f"the server returned {response.status} {response.reason}")
        content = bytearray()
        while part := response.read1(2**16):
            content += part
            if len(content) > MAX_BYTES:
                raise PhotoError(url, f"it is larger than {MAX_BYTES // 2**20} MB")
        _remaining(deadline)
        return bytes(content)
    finally:
        timer.cancel()
        connection.close()
        opened.close()


def _remaining(deadline: float) -> float:
    if (seconds := deadline - time.monotonic()) <= 0:
        raise TimeoutError("too slow")
    return seconds


def _resolve(host: str, port: int, url: str, allow_private: bool) -> str:
    """Return the first address of a host if all its addresses are allowed."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(info[4][0]) for info in infos]
    if not allow_private and not all(map(is_public, addresses)):
        raise PhotoError(url, "its address is private; use --allow-private-urls")
    return addresses[0]


def is_public(address: str) -> bool:
    """Return whether an IP address is on the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64 or ip.sixtofour or ip.teredo:
            return False
        ip = ip.ipv4_mapped or ip
    return ip.is_global and not ip.is_multicast
