"""What is late, or fails, has an answer too."""

import asyncio
import logging

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from platecheck.serving import metrics
from platecheck.serving.logs import event
from platecheck.serving.problems import problem_response

logger = logging.getLogger("platecheck.serving")


class Deadline:
    """ASGI middleware that answers for an application which does not.

    Once there is an answer, how long it takes is up to who reads it; the server closes the
    connection of a client that stops reading (protocol.py).
    """

    def __init__(self, app: ASGIApp, *, seconds: float, idle_seconds: float | None = None) -> None:
        """Wrap an application.

        Args:
            app: what answers.
            seconds: after which a request that has no answer yet gets none.
            idle_seconds: most seconds between two pieces of its body; None: any.
        """
        self._app = app
        self._seconds = seconds
        self._idle_seconds = idle_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope["state"]
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

        try:
            async with asyncio.timeout(self._seconds) as limit:
                await self._app(scope, receive_and_note, send_in_time)
        except TimeoutError:
            metrics.REJECTED.labels("late").inc()
            id_ = state["request_id"]
            late = (
                problem_response(503, "no answer in time", id_, {"Retry-After": "1"})
                if uploaded
                else problem_response(408, "the body did not come in time", id_)
            )
            await late(scope, receive, send)
        except ClientDisconnect:
            pass  # there is no one to answer
        except Exception:
            event(logger, logging.ERROR, "failed", exc_info=True, request_id=state["request_id"])
            if answering:
                raise
            failed = problem_response(
                500, "the service has a fault; it is logged", state["request_id"]
            )
            await failed(scope, receive, send)
