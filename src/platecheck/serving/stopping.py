"""Stopping so that no one who has asked is left without an answer.

A connection that the system has taken for us, but that we have not accepted yet, is reset when we
stop listening, and its request is lost. So we first let no one else connect, then accept those who
wait, and only then stop listening. What has been accepted is answered (see
:class:`~platecheck.serving.protocol.PatientProtocol`).
"""

import asyncio
import ctypes
import socket
import struct
import sys
import time
from collections.abc import Iterable

import uvicorn
from uvicorn.supervisors import Multiprocess

# In which those who wait are accepted.
_SECONDS = 0.1

# Drops each TCP segment that asks for a connection: SYN is bit 1 of byte 13 of its header.
# (code, jump if true, jump if false, number) of each instruction of the classic BPF.
_NO_MORE = (
    (0x30, 0, 0, 13),  # load the byte
    (0x45, 0, 1, 2),  # is the bit set?
    (0x06, 0, 0, 0),  # then keep nothing of the segment
    (0x06, 0, 0, 0xFFFFFFFF),  # else all of it
)
_SO_ATTACH_FILTER = 26


class Server(uvicorn.Server):
    """uvicorn's server, for a process that answers by itself."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept those who wait, then go on as usual."""
        let_no_one_else_in(sockets or [])
        await asyncio.sleep(_SECONDS)
        await super().shutdown(sockets)


class Workers(Multiprocess):
    """uvicorn's supervisor of processes that answer."""

    def terminate_all(self) -> None:
        """Let the workers accept those who wait, then go on as usual."""
        let_no_one_else_in(self.sockets)
        time.sleep(_SECONDS)
        for listening in self.sockets:  # else more would connect while the workers finish
            listening.close()
        super().terminate_all()


def let_no_one_else_in(sockets: Iterable[socket.socket]) -> None:
    """Take no more connections; those that are made already can still be accepted.

    Only Linux can; elsewhere a few may be lost.
    """
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _NO_MORE))
    attached = struct.pack("HP", len(_NO_MORE), ctypes.addressof(program))
    for listening in sockets:
        try:
            listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, attached)
        except OSError:  # not allowed in this container
            return
