"""Where a history plays: time, a loop that can be killed, and everything outside of the process, with its faults.

Nothing here is the daemon's: it gets a clock, a ticker, dice and three networks (Cloudflare, people, DNS). All of them
live on one number of seconds that no process owns, so they go on while none runs.
"""

import asyncio
import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx

from tests.harness.cloudflare_client import InProcess
from tests.harness.dns import DnsLoop, Responder
from tests.harness.time import SealedLoop
from watchdog.cloudflare.http import NotSent

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
BOOT = "the machine was not booted anew"


class Time:
    """Seconds that have gone by, and how far the machine's own wall clock is off."""

    def __init__(self):
        self.seconds = 0.0
        self.wrong = timedelta(0)
        self.broken = None  # the first law that was broken; raised where no handler of the daemon can catch it
        self._true = self.seconds, START

    def true(self):
        if self._true[0] != self.seconds:  # it is asked many times at a moment
            self._true = self.seconds, START + timedelta(seconds=self.seconds)
        return self._true[1]


class TrueClock:
    """Cloudflare's: nobody sets it."""

    def __init__(self, time):
        self._time = time

    def now(self):
        return self._time.true()

    def monotonic(self):
        return self._time.seconds

    async def sleep(self, delay):
        await asyncio.sleep(delay.total_seconds())


class MachineClock(TrueClock):
    """The daemon's: an administrator or NTP may set it by hours."""

    boot = BOOT

    def now(self):
        return self._time.true() + self._time.wrong


class Killed(BaseException):
    """SIGKILL."""


@contextmanager
def no_fault_of(world):
    """A defect of the simulation, or of a law, must not pass for a fault of the ``world``."""
    try:
        yield
    except Exception as defect:
        world.broken = world.broken or defect
        raise


class MortalLoop(SealedLoop, DnsLoop):
    """Ends in the middle of everything once ``doom`` more turns have been made."""

    def __init__(self, time):
        self._seconds = time
        self.doom = None
        self.resolver = None
        super().__init__()
        self.set_exception_handler(self._failed)

    @property
    def simulated(self):
        return self._seconds.seconds

    @simulated.setter
    def simulated(self, _):
        """The first value is the parent's; time goes on."""

    def time(self):
        return self._seconds.seconds

    def look(self, timeout, _):
        """Nothing comes on sockets: all networks are simulated."""
        if timeout is None:
            raise RuntimeError("nothing is under way and nobody sleeps")
        self._seconds.seconds += timeout
        if self._seconds.broken is not None:
            raise self._seconds.broken
        if self.doom is not None:
            self.doom -= 1
            if self.doom < 0:
                self.doom = None
                raise Killed
        return ()

    def _failed(self, _, context):
        """What nobody waits for must not fail unseen."""
        error = context.get("exception")
        if self._seconds.broken is None and not isinstance(error, Killed):
            self._seconds.broken = error or RuntimeError(context["message"])

    def ask(self, _, question):
        return self.resolver.reply(question)

    def takes(self, _):
        return 0.0

    async def sock_sendall(self, sock, data):
        with no_fault_of(self._seconds):
            await super().sock_sendall(sock, data)


class Resolver:
    """DNS: every name is there, and no token ever is. Something may be wrong with it for a while."""

    def __init__(self, world):
        records = {".": ["NS a.root.test."]}
        for zone in world.zones.values():
            records[zone.name] = ["SOA . . 1 2 3 4 5", "NS a.root.test.", "A 192.0.2.1"]
            records |= {host: ["A 192.0.2.1"] for pack in zone.packs for host in pack.hosts}
        self._names = tuple(zone.name for zone in world.zones.values())
        self.responder = Responder(records)
        self.dead = False
        self._said = {}  # a question but for its number: the answer; while nothing changes

    def befall(self, odd):
        """Something is wrong from now on, until ``recover``."""
        self._said.clear()
        if odd == "dead":
            self.dead = True
        elif odd == "caa":
            for name in self._names:
                self.responder.records[name].append('CAA 0 issue "nobody.test"')
        else:
            self.responder.odd["."] = odd

    def recover(self):
        """All is well with DNS."""
        self._said.clear()
        self.dead = False
        self.responder.odd.clear()
        for name in self._names:
            records = self.responder.records[name]
            records[:] = [record for record in records if not record.startswith("CAA")]

    def reply(self, data):
        if self.dead:
            return None
        number, question = data[:2], data[2:]
        if question in self._said:
            return number + self._said[question]
        answer = self.responder.answer(data, "udp")
        if answer is not None and answer.startswith(number):
            self._said[question] = answer[2:]
        return answer


class Ticker:
    """Ticks at once and every period, by the loop's time."""

    def __init__(self, period, tick):
        self._period, self._tick, self._timer = period, tick, None

    def start(self):
        self.tick_now()

    def retune(self, period):
        if period != self._period:
            self._period = period
            self._wind()

    def tick_now(self):
        self._wind()
        self._tick()

    def stop(self):
        if self._timer is not None:
            self._timer.cancel()

    def _wind(self):
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(self._period.total_seconds(), self.tick_now)


class Wire(InProcess):
    """The way to Cloudflare: tells ``laws`` of every request before it arrives, and of what came back."""

    def __init__(self, world, laws, life):
        super().__init__(world)
        self._laws, self._life = laws, life
        self.dead = False
        self.unreachable = False

    async def answer(self, asked):
        if self.dead or self.unreachable:
            raise NotSent("nobody is there") from ConnectionRefusedError("connection refused")
        with no_fault_of(self._laws.time):
            noted = self._laws.asked(self._life, asked)
        try:
            said = await super().answer(asked)
        except BaseException:
            self._laws.answered(noted, 0, b"")
            raise
        with no_fault_of(self._laws.time):
            self._laws.answered(noted, said.status, said.body)
        return said


class People(httpx.AsyncBaseTransport):
    """Everyone who is told: a webhook, an Alertmanager, a heartbeat. Each can be down, slow, or lose its answers."""

    def __init__(self, time):
        self._time = time
        self.down = set()
        self.forgetful = set()  # takes a message and breaks off before it says so
        self.slow = {}
        self.got = []  # (seconds, host, method, body)
        self.senders = []  # of each of those, which life sent it
        self.dead = False

    async def handle_async_request(self, request, life=0):
        host = request.url.host
        if self.dead or host in self.down:
            raise httpx.ConnectError("nobody is there")
        body = await request.aread()
        if host in self.slow:
            await asyncio.sleep(self.slow[host])
        self.got.append((self._time.seconds, host, request.method, body))
        self.senders.append(life)
        if host in self.forgetful:
            raise httpx.ReadError("the connection broke")
        return httpx.Response(200, stream=httpx.ByteStream(b""))

    def letters(self, host="hook.test"):
        """The messages of the webhook, in the order in which they came."""
        return [json.loads(body) for _, to, _, body in self.got if to == host and body]


class FromProcess(httpx.AsyncBaseTransport):
    """The way to people from one process among several."""

    def __init__(self, people, life):
        self._people, self._life = people, life
        self.dead = False

    async def handle_async_request(self, request):
        if self.dead:
            raise httpx.ConnectError("nobody is there")
        return await self._people.handle_async_request(request, self._life)
