"""Responses for requests that time out or fail."""

import asyncio
import logging

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from platecheck.serving import metrics
from platecheck.serving.logs import event
from platecheck.serving.problems import problem_response


class TimeoutMiddleware:
    """ASGI middleware that limits the time until a response starts.

    Sending the response is not limited here; the server closes the connections of clients that
    stop reading (protocol.py).

    Args:
        app: the wrapped application.
        request_timeout: seconds until the response must start, upload included.
        idle_timeout: seconds that an upload may pause; None for no limit.
    """

    def __init__(
        self, app: ASGIApp, *, request_timeout: float, idle_timeout: float | None = None
    ) -> None:
        self._app = app
        self._request_timeout = request_timeout
        self._idle_timeout = idle_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope["state"]["request_id"]
        uploaded, started = False, False

        async def receive_in_time() -> Message:
            nonlocal uploaded
            async with asyncio.timeout(None if uploaded else self._idle_timeout):
                message = await receive()
            uploaded = uploaded or not message.get("more_body", False)
            return message

        async def send_in_time(message: Message) -> None:
            nonlocal started
            started = True
            limit.reschedule(None)
            await send(message)

        async def fail(status: int, detail: str, headers: dict[str, str] | None = None) -> None:
            await problem_response(status, detail, request_id, headers)(scope, receive, send)

        try:
            async with asyncio.timeout(self._request_timeout) as limit:
                await self._app(scope, receive_in_time, send_in_time)
        except TimeoutError:
            metrics.REJECTED.labels("late").inc()
            if uploaded:
                await fail(503, "the request timed out", {"Retry-After": "1"})
            else:
                await fail(408, "the upload timed out")
        except ClientDisconnect:
            pass
        except Exception:
            event(logging.ERROR, "failed", exc_info=True, request_id=request_id)
            if started:
                raise
            await fail(500, "internal error; see the log of the service")
