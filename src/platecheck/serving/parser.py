"""Requests taken apart, without regard to other protocols that a client would rather speak."""

from httptools import HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LENGTH = (b"content-length", b"transfer-encoding")


class Parser:
    """httptools' parser of requests; ``Upgrade`` is ignored, as it may be (RFC 9110, section 7.8).

    httptools takes all that follows the head of such a request, its body too, for the other
    protocol. So a new parser goes on there, behind a head that tells it only how long the body is.
    """

    def __init__(self, protocol: HttpToolsProtocol) -> None:
        self._protocol = protocol
        self._goes_on = False  # what is parsed is the head for a new parser, and no request's
        self.on_body = protocol.on_body
        self._start()

    def feed_data(self, data: bytes) -> None:
        """Parse what has come.

        Raises:
            HttpParserError: it is not HTTP.
        """
        while True:
            try:
                self._parser.feed_data(data)
            except HttpParserUpgrade as upgrade:
                (parsed,) = upgrade.args
                data = self._go_on() + data[parsed:]
            else:
                return

    def should_upgrade(self) -> bool:
        return False

    def should_keep_alive(self) -> bool:
        """Whether the client may ask again on its connection."""
        return self._parser.should_keep_alive()

    def get_http_version(self) -> str:
        return self._parser.get_http_version()

    def get_method(self) -> bytes:
        return self._parser.get_method()

    def on_message_begin(self) -> None:
        if not self._goes_on:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._goes_on:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._goes_on:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._goes_on:
            self._goes_on = False
        else:
            self._protocol.on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is whole, unless it is only about to be parsed."""
        if not self._parser.should_upgrade():
            self._protocol.on_message_complete()

    def _start(self) -> None:
        self._parser = HttpRequestParser(self)
        # As uvicorn does: the first of some pipelined requests is answered where it says close.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def _go_on(self) -> bytes:
        self._start()
        self._goes_on = True
        length = [b"%s: %s\r\n" % pair for pair in self._protocol.headers if pair[0] in _LENGTH]
        return b"POST / HTTP/1.1\r\n" + b"".join(length) + b"\r\n"
