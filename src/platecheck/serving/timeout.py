"""What is late, or fails, has an answer too."""

import asyncio
import logging

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from platecheck.serving import metrics
from platecheck.serving.logs import event
from platecheck.serving.problems import problem_response


class TimeoutMiddleware:
    """ASGI middleware that answers for an application which does not.

    A request that has no answer after some seconds gets none. Once there is an answer, how long it
    takes is up to who reads it; the server closes the connection of a client that stops reading
    (protocol.py).
    """

    def __init__(self, app: ASGIApp, *, seconds: float, idle_seconds: float | None = None) -> None:
        self._app = app
        self._seconds = seconds
        self._idle_seconds = idle_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope["state"]["request_id"]
        uploaded, answering = False, False

        async def receive_and_note() -> Message:
            nonlocal uploaded
            async with asyncio.timeout(None if uploaded else self._idle_seconds):
                message = await receive()
            uploaded = uploaded or not message.get("more_body", False)
            return message

        async def send_in_time(message: Message) -> None:
            nonlocal answering
            answering = True
            limit.reschedule(None)
            await send(message)

        async def fail(status: int, detail: str, headers: dict[str, str] | None = None) -> None:
            await problem_response(status, detail, request_id, headers)(scope, receive, send)

        try:
            async with asyncio.timeout(self._seconds) as limit:
                await self._app(scope, receive_and_note, send_in_time)
        except TimeoutError:
            metrics.REJECTED.labels("late").inc()
            if uploaded:
                await fail(503, "no answer in time", {"Retry-After": "1"})
            else:
                await fail(408, "the body did not come in time")
        except ClientDisconnect:
            pass  # there is no one to answer
        except Exception:
            event(logging.ERROR, "failed", exc_info=True, request_id=request_id)
            if answering:
                raise
            await fail(500, "the service has a fault; it is logged")
