"""A way to Cloudflare that a test makes as a transport of httpx, in place of sockets."""

import asyncio

import httpx

from watchdog.cloudflare.http import Broken, NotSent, Request, Response, read_headers


class OverHttpx(httpx.AsyncBaseTransport):
    """A subclass answers requests of httpx, and fails as httpx does."""

    async def ask(self, request: Request, seconds: float) -> Response:
        async with asyncio.timeout(seconds):
            return await self._ask(request)

    async def _ask(self, request: Request) -> Response:
        raw = [line.split(b": ", 1) for line in request.headers.lines.split(b"\r\n") if line]
        host = next(value for name, value in raw if name == b"host").decode()
        url = f"http://{host}{request.target}"
        asked = httpx.Request(request.method, url, headers=[(n, v) for n, v in raw], content=request.content)
        try:
            answer = await self.handle_async_request(asked)
            body = b"".join([piece async for piece in answer.stream])
        except (httpx.ConnectError, httpx.ProxyError) as error:
            raise NotSent(str(error)) from error.__cause__
        except httpx.TimeoutException as error:
            raise TimeoutError(str(error)) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Broken(str(error)) from error.__cause__
        return Response(answer.status_code, read_headers(answer.headers.raw), body)
