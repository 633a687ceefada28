"""A chat on loopback that takes Mattermost's incoming webhooks: what people would read there is kept in ``texts``."""

import contextlib
import json
from collections.abc import AsyncIterator, Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from watchdog.simulator.server import served

HOOK = "x4kr8pw1otdn5ecjqz7h3mgy6a"
"""The secret part of the webhook's address: any is taken."""


class Chat:
    """One channel of a chat. ``heard`` is called with each text as it comes in."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.heard: Callable[[str], None] = lambda _: None

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Take messages, in the running loop; gives the Apprise URL to send them to."""
        async with served(self._app, "127.0.0.1", 0) as server:
            yield f"mmost://127.0.0.1:{server.port}/{HOOK}"

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        text = json.loads(await Request(scope, receive).body())["text"]
        self.texts.append(text)
        await PlainTextResponse("ok")(scope, receive, send)
        self.heard(text)
