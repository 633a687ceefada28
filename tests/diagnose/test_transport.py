"""Which questions share a socket, and that each gets its own answer all the same."""

import asyncio
import socket
from datetime import timedelta

from tests.harness.dns import NOW, DnsLoop, Responder
from watchdog.diagnose.lookup import FailedBefore, Lookups
from watchdog.diagnose.transport import TOGETHER, Way, question

RESOLVER = ("127.0.0.53", 1)
RECORDS = {"a.example.com": ["TXT a"], "b.example.com": ["TXT b"], "example.com": ["SOA"], ".": ["NS a.root"]}


class Observed(DnsLoop):
    """Notes by which socket each question goes."""

    def __init__(self, responder):
        super().__init__()
        self.responders[RESOLVER] = responder
        self.sockets = []

    async def sock_sendall(self, sock, data):
        self.sockets.append(sock)
        await super().sock_sendall(sock, data)


def observed(tell, responder=None, timeout=timedelta(seconds=1)):
    """What ``tell`` gives when it is handed the lookups, and the sockets that questions went by."""
    loop = Observed(responder or Responder(RECORDS))

    async def whole():
        lookups = Lookups([RESOLVER], timeout, FailedBefore(lambda: NOW))
        return await tell(lookups)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(whole()), loop.sockets


async def both(lookups):
    await lookups.ask(".", "NS")  # before it has answered, a resolver is asked little
    await asyncio.sleep(2 * TOGETHER)
    return await asyncio.gather(lookups.ask("a.example.com", "TXT"), lookups.ask("b.example.com", "TXT"))


def test_questions_that_are_asked_at_once_share_a_socket():
    _, (*_, first, second) = observed(both)
    assert first is second


def test_a_question_that_is_asked_a_moment_later_has_another_socket():
    async def one_by_one(lookups):
        await lookups.ask("a.example.com", "TXT")
        await asyncio.sleep(2 * TOGETHER)
        await lookups.ask("b.example.com", "TXT")

    _, sockets = observed(one_by_one)
    assert sockets[-1] not in sockets[:-1]


def test_questions_that_got_no_answer_are_asked_again_each_by_a_socket_of_its_own():
    _, (*_, at_first, too, again, once_more) = observed(both, Responder(RECORDS, {"example.com": "drop"}))
    assert at_first is too
    assert len({at_first, again, once_more}) == 3


def test_of_questions_that_share_a_socket_each_gets_its_own_answer_in_whatever_order_they_come():
    class Backwards(Responder):
        def answer(self, wire, way):
            self.takes /= 2
            return super().answer(wire, way)

    ((first,), (second,)), (*_, asked, too) = observed(both, Backwards(RECORDS))
    assert asked is too
    assert (first.values, second.values) == (("a",), ("b",))


def test_where_nothing_listens_all_that_share_the_socket_hear_of_it_at_once():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        nobody = gone.getsockname()

    async def asked():
        way = Way(nobody)
        both = (way.ask(question(name, "TXT"), 60.0) for name in ("a.example.com", "b.example.com"))
        return await asyncio.gather(*both, return_exceptions=True)

    assert [type(said) for said in asyncio.run(asked())] == [ConnectionRefusedError] * 2
