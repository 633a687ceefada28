"""Words that were made to forge a line, a colour, a link or a field, through every door and to every place they show.

They come as Cloudflare's answers, DNS answers and rows of a state file; the names in a configuration are checked where
that is read.
"""

import asyncio
import io
import json
import logging
import re
import socket

import dns.message
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import msgspec
import pytest

from fuzz.oracles import ASKED
from tests.harness.alerting import Receiver
from tests.harness.builders import NOW, exposed, inventory, troubled, zone
from tests.harness.time import StandingClock
from tests.harness.values import replace, rows_of
from watchdog.cloudflare import wire
from watchdog.cloudflare.errors import Operation
from watchdog.cloudflare.translate import translate
from watchdog.diagnose import validation_errors
from watchdog.diagnose.message import parse
from watchdog.diagnose.responses import read
from watchdog.model.alerts import Kind, Notice, Route
from watchdog.model.clock import rfc3339
from watchdog.model.decisions import Decision, Do
from watchdog.model.event_names import EventName
from watchdog.model.events import Event
from watchdog.model.findings import Certainty, Diagnosis, Finding, FindingName
from watchdog.model.history import History
from watchdog.model.packs import ManualRecord, ZoneRef
from watchdog.model.reasons import Reason
from watchdog.model.report import next_step
from watchdog.notify.alertmanager import _alert
from watchdog.notify.apprise import Service
from watchdog.notify.messages import messages
from watchdog.notify.rules import ALL_WELL, active_alerts
from watchdog.notify.webhook import payload
from watchdog.tell.explain import explained
from watchdog.tell.gauges import Snapshot
from watchdog.tell.logs import Logs, configure
from watchdog.tell.metrics import Metrics
from watchdog.tell.overview import Overview
from watchdog.tell.status import View, lines
from watchdog.tell.systemd import Notifier

HOSTILE = {
    "escape": "x\x1b[31mred\x1b]8;;http://evil.example\x07link\x1b[2J",
    "c1": "x\x9b31mred\x9d0;title\x9c",
    "lines": "x\r\nFORGED=1\nlevel=error\x0bFORGED\x0cFORGED\x85FORGED",
    "separators": "x\u2028FORGED\u2029FORGED",
    "bidi": "x\u202egnp.exe\u2066y\u2069\u061cz\u200f",
    "invisible": "x\u200b\ufeff\U000e0041\U000e0042\ufff9y\u00ad",
    "nul": "x\x00y",
    "markup": "[red]x[/red] [link=http://evil.example]y[/link] :skull:",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>&amp;",
    "label": 'x"} 1\ncertpack_watchdog_forged{a="\\',
    "template": "{{ .Labels }} ${HOME} %(x)s {0} $(id) `id`",
    "long": "x" * 1_000_000,
    "long-lines": "x\n" * 50_000,
}


@pytest.fixture(params=HOSTILE.values(), ids=HOSTILE.keys())
def evil(request):
    return request.param


def from_cloudflare(evil):
    body = {
        "id": evil,
        "type": evil,
        "status": evil,
        "hosts": [evil, f"*.{evil}"],
        "certificate_authority": evil,
        "validation_errors": [{"message": evil}] * 3,
        "validation_method": evil,
        "validation_records": [{"txt_name": evil, "txt_value": evil}, {"cname": evil, "cname_target": evil}],
    }
    [pack], _ = wire.packs(json.dumps({"success": True, "result": [body]}).encode(), "z")
    return pack


def from_dns(evil):
    text = evil.encode("utf-8", "replace")[:5000]
    parts = [text[start : start + 250] for start in range(0, len(text), 250)]
    reply = dns.message.make_response(dns.message.make_query(ASKED, "TXT"))
    quoted = " ".join('"' + "".join(f"\\{byte:03}" for byte in part) + '"' for part in parts)
    reply.answer.append(dns.rrset.from_text(ASKED, 60, dns.rdataclass.IN, "TXT", quoted))
    reply.answer.append(dns.rrset.from_text(ASKED, 60, dns.rdataclass.IN, "CAA", f"0 issue {quoted.split()[0]}"))
    message = parse(reply.to_wire())
    said = (*read(message, dns.rdatatype.TXT, "r").values, *map(str, read(message, dns.rdatatype.CAA, "r").caa))
    assert len(said) == 2
    return [
        Finding(name=FindingName.OTHER, certainty=Certainty.CERTAIN, host="", says=text, remedy=text) for text in said
    ]


def a_row(evil):
    """A pack in trouble, with hostile words wherever a stranger can put some."""
    known, _ = troubled("p1", decision=Decision(Do.GIVE_UP, Reason.GAVE_UP))
    found = from_cloudflare(evil)
    error = translate(Operation.GET_PACK, 400, (), prefix=evil, ray=evil)
    findings = (*validation_errors.said(found.validation_errors), *from_dns(evil))
    placed = Finding(
        name=FindingName.TOKEN_MISSING,
        certainty=Certainty.LIKELY,
        host="",
        says="says",
        remedy="remedy",
        record=found.validation.tokens[0],
    )
    history = History(attempts=2, trouble_since=NOW, last_restart_at=NOW, next_restart_at=NOW, last_error=str(error))
    return replace(known, pack=found, diagnosis=Diagnosis(NOW, (*findings, placed))), history


def is_one_line_of_text(text):
    assert text.isprintable(), repr(text[:200])
    assert len(text) < 5000


def is_text(text, lines):
    """So many lines at most, each of them printable."""
    said = text.rstrip("\n").split("\n")
    assert len(said) <= lines
    assert all(line.isprintable() for line in said), repr(text[:300])
    assert len(text) < 20_000


def logged(evil, form):
    stream = io.StringIO()
    configure("debug", form, StandingClock(), stream)
    known, history = a_row(evil)
    logs = Logs(StandingClock())
    facts = (("error", history.last_error), ("status", known.pack.status), ("found", evil))
    event = Event(name=EventName.PACK_CHANGED, at=NOW, zone=ZoneRef("main", evil, evil), pack=known.pack, facts=facts)
    logs.happened(event)
    logs.failed("main", evil, evil, evil)
    logging.getLogger("library").error("%s", evil)
    return stream.getvalue()


def test_a_json_log_is_one_object_a_line(evil):
    lines = logged(evil, "json").splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["pack_changed", "api_error", "library"]
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert max(map(len, lines)) < 20_000


def test_a_console_log_is_one_plain_line_each(evil):
    is_text(logged(evil, "console"), 3)


def test_a_report_in_columns_is_a_plain_line_a_pack(evil):
    found = Overview.of(inventory(a_row(evil), zones=[zone(evil, error=evil, reason="unseen")]))
    is_text("\n".join(lines(found, View(wide=True))), 7)


def test_a_report_on_a_terminal_shows_markup_as_text_and_brings_no_escape_but_its_own(evil):
    said = list(lines(Overview.of(inventory(a_row(evil))), View(width=1000, colours=True)))
    shown = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(said))
    assert "\x1b[31m" not in "".join(said)
    assert all(line.isprintable() for line in shown.split("\n"))


@pytest.mark.parametrize("door", ["cloudflare", "state"])
def test_an_explanation_is_lines_of_text(evil, door):
    known, history = a_row(evil)
    row = {
        **inventory((known, history)).row(known, history),
        "next": next_step(known, history, NOW),
        "renewal": None,
        "validation_method": evil,
    }
    row |= {"certificate_authority": known.pack.certificate_authority}
    row["journal"] = [{"at": rfc3339(NOW), "event": evil, "reason": evil, "detail": evil}]
    if door == "state":  # another process wrote it, whatever it was
        row |= dict.fromkeys(("zone", "pack_id", "type", "status", "last_error", "next"), evil) | {"hosts": [evil]}
        row["records"] = [{"type": evil, "name": evil, "value": evil}]
        row["findings"] = [{"certainty": "likely", "host": evil, "says": evil, "remedy": evil}]
    is_text(explained(row, NOW, 110), 120)


def test_the_pages_json_carries_it_as_a_string(evil):
    known, history = a_row(evil)
    body = msgspec.json.encode(rows_of(inventory((known, history))))
    assert json.loads(body)["packs"][0]["status"] == known.pack.status
    assert len(body) < 30_000
    for text in (known.pack.status, *known.pack.hosts, *known.pack.validation_errors):
        is_one_line_of_text(text)


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
def test_metrics_hold_no_free_text_and_forge_no_sample(evil, accept):
    known, history = a_row(evil)
    metrics = Metrics("1", ["timeout"])
    metrics.called("main", "get_pack", 200, 0.1, evil[:100])
    plain = len(exposed(metrics, Snapshot(inventory=inventory(a_row("x")), accounts=()), accept)[0].splitlines())
    text = exposed(metrics, Snapshot(inventory=inventory((known, history)), accounts=()), accept)[0].decode()
    assert len(text.splitlines()) == plain
    assert "certpack_watchdog_forged" not in {line.partition("{")[0] for line in text.splitlines()}
    assert 'status="other"' in text


def an_alert(evil):
    found = active_alerts(inventory(a_row(evil)), ALL_WELL, NOW, NOW)
    return next(alert for alert in found.alerts.values() if alert.reason is Reason.GAVE_UP)


def a_message(evil):
    [message] = messages([Notice(Kind.STARTED, an_alert(evil))], "ops", Route(), NOW)
    return message


def test_a_message_has_no_more_lines_than_it_would_have_anyway(evil):
    harmless, message = a_message("x"), a_message(evil)
    is_one_line_of_text(message.title)
    is_text(message.body, 25)
    assert len(message.body.split("\n")) <= len(harmless.body.split("\n")) + 6
    assert len(message.body) <= 3500


def test_a_webhook_and_an_alertmanager_get_printable_strings(evil):
    alert = an_alert(evil)
    for posted in (payload(a_message(evil)), _alert(alert, NOW, NOW)):
        for text in strings(posted):
            assert all(line.isprintable() for line in text.split("\n")), repr(text[:200])
        assert len(msgspec.json.encode(posted)) < 60_000


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)


@pytest.mark.parametrize(("format_", "raw"), [("html", "<script>"), ("text", None)])
def test_a_service_that_shows_html_gets_it_escaped(format_, raw):
    with Receiver() as hook:
        url = f"json://127.0.0.1:{hook.port}/?format={format_}"
        asyncio.run(Service(url).send(a_message(HOSTILE["html"])))
    [got] = hook.got
    assert raw is None or raw not in got.json["message"]
    assert "script" in got.json["message"]


def test_systemd_is_told_one_state(evil, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}).send(STATUS=evil, WATCHDOG=1)
        told = manager.recv(65536).decode()
    status, kept_alive = told.split("\n")
    assert status.startswith("STATUS=")
    assert status.isprintable()
    assert kept_alive == "WATCHDOG=1"
    assert len(told) < 4096  # systemd takes no more


@pytest.mark.parametrize("word", ["escape", "c1", "lines", "separators", "bidi", "invisible", "nul"])
def test_a_record_to_be_copied_holds_nothing_that_hides(word):
    found = from_cloudflare(HOSTILE[word])
    for record in (*found.validation.tokens, *found.validation.delegations):
        assert isinstance(record, ManualRecord)
        is_one_line_of_text(f"{record.name} {record.value}")
