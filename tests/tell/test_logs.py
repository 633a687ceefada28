"""Lines that a machine can read and a person can bear, whatever they are told."""

import json
import logging
import os
import re
from contextlib import suppress
from io import StringIO
from pathlib import Path

import pytest
import structlog

from tests.harness.builders import NOW, Terminal, pack
from tests.harness.time import StandingClock
from watchdog.model.event_names import EventName
from watchdog.model.events import Event
from watchdog.model.packs import Pack, ZoneRef
from watchdog.model.reasons import Reason
from watchdog.model.report import PassReport
from watchdog.model.text import clean
from watchdog.tell.logs import LONGEST, Logs, configure

ZONE = ZoneRef("main", "example.com", "023e105f4ecef8ad9ca31a8372d0c353")
HOSTILE = "one\r\ntwo\x00 \x1b[31mred\x1b[0m \x1b]0;title\x07\u202eevil\u2028three \x9b2J"
SENT = Event(
    name=EventName.RESTART_SENT,
    at=NOW,
    zone=ZONE,
    pack=pack()[0].pack,
    reason=Reason.RESTARTED,
    facts=(("attempt", 2), ("next_restart_at", NOW), ("status", "initializing"), ("error", "")),
)


@pytest.fixture
def clock():
    return StandingClock()


@pytest.fixture
def logging_to(clock):
    """``logging_to(stream, level, form)``: the process's logging, set up for this test alone."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []  # pytest's own would be closed

    def build(stream, level="info", form="json"):
        configure(level, form, clock, stream)
        return Logs(clock)

    yield build
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def lines(logging_to):
    """``lines(tell, level)``: what ``tell(logs)`` writes, as parsed JSON."""

    def read(tell, level="info"):
        stream = Terminal()
        tell(logging_to(stream, level))
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    return read


@pytest.fixture
def shown(logging_to):
    """``shown(tell, form)``: what ``tell(logs)`` writes on a terminal (or another ``stream``), as it is."""

    def read(tell, form="console", stream=None):
        stream = stream or Terminal()
        tell(logging_to(stream, form=form))
        return stream.getvalue()

    return read


def test_a_line_is_one_json_object_that_begins_with_time_level_and_event(lines):
    (line,) = lines(lambda logs: logs.happened(SENT))
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert (line["level"], line["event"]) == ("info", "restart_sent")


def test_times_are_rfc_3339_in_utc(lines):
    (line,) = lines(lambda logs: logs.happened(SENT))
    assert line["timestamp"] == "2026-11-24T12:00:00.123Z"
    assert line["next_restart_at"] == "2026-11-24T12:00:00Z"


def test_a_line_about_a_pack_names_account_zone_pack_and_reason(lines):
    (line,) = lines(lambda logs: logs.happened(SENT))
    assert line == {
        "timestamp": "2026-11-24T12:00:00.123Z",
        "level": "info",
        "event": "restart_sent",
        "account": "main",
        "zone": "example.com",
        "zone_id": ZONE.id,
        "pack_id": "p1",
        "reason": "restarted",
        "attempt": 2,
        "next_restart_at": "2026-11-24T12:00:00Z",
        "status": "initializing",
    }


def test_what_is_not_known_is_left_out(lines):
    nameless = Event.zone_unseen(ZoneRef("main", "example.com"), NOW, Reason.UNSEEN, "x")
    (line,) = lines(lambda logs: logs.happened(nameless))
    assert line.keys() & {"zone_id", "pack_id"} == set()


def test_a_pack_of_which_only_the_id_is_known_is_named(lines):
    event = Event(name=EventName.RESTART_FAILED, at=NOW, zone=ZONE, reason=Reason.OUTCOME_UNKNOWN)
    (line,) = lines(lambda logs: logs.happened(event, pack_id="p9"))
    assert line["pack_id"] == "p9"


def test_a_pass_is_one_line_of_counts(lines):
    (line,) = lines(lambda logs: logs.passed(PassReport(NOW, zones=3, unseen=1, seconds=1.23456)))
    assert line["event"] == "pass_completed"
    assert (line["zones"], line["unseen"], line["packs"], line["seconds"]) == (3, 1, 0, 1.235)
    assert "dry_run" not in line


def test_a_dry_pass_says_so(lines):
    (line,) = lines(lambda logs: logs.passed(PassReport(NOW, dry_run=True)))
    assert line["dry_run"] is True


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_only_what_is_severe_enough_is_written(lines, level):
    levels = ["debug", "info", "warning", "error"]

    def tell(logs):
        for each in levels:
            logs.write(EventName.STOPPING, each)

    assert [line["level"] for line in lines(tell, level)] == levels[levels.index(level) :]


def test_text_from_outside_is_one_clean_line(lines):
    hostile = Pack(id=HOSTILE, zone_id=ZONE.id, type="advanced", status=HOSTILE, hosts=(HOSTILE,))
    facts = (("error", HOSTILE), ("changes", [HOSTILE]))
    (line,) = lines(
        lambda logs: logs.happened(Event(name=EventName.PACK_CHANGED, at=NOW, zone=ZONE, pack=hostile, facts=facts))
    )
    expected = clean(HOSTILE)
    assert (line["pack_id"], line["error"], line["changes"]) == (expected, expected, [expected])
    assert expected.isprintable()
    assert expected.startswith("one two red")


def test_text_from_outside_is_cut(lines):
    (line,) = lines(lambda logs: logs.failed("main", "get_pack", "http_502", "x" * 1_000_000))
    assert len(line["error"]) == LONGEST
    assert line["error"].endswith("…")


def test_a_list_is_cut_like_any_field_and_says_how_many_are_left_out(lines):
    sent = [f"{number:04}-{'f' * 35}" for number in range(500)]
    (line,) = lines(lambda logs: logs.write(EventName.ALERT_SENT, fingerprints=sent))
    *kept, last = line["fingerprints"]
    assert kept == sent[: len(kept)]
    assert last == f"and {500 - len(kept)} more"
    assert LONGEST - len(sent[0]) - len("and 500 more") < len("".join(line["fingerprints"])) <= LONGEST


def test_a_list_that_fits_is_whole(lines):
    sent = ["f" * (LONGEST // 2)] * 2
    (line,) = lines(lambda logs: logs.write(EventName.ALERT_SENT, fingerprints=sent))
    assert line["fingerprints"] == sent


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (EventName.RESTART_HELD, {"error": "x" * 3_000, "found": "y" * 3_000, "records": "z" * 9_000}),
        (EventName.ALERT_FAILED, {"zones": ["z" * 60] * 10, "fingerprints": ["f" * 40] * 500, "error": "x" * 3_000}),
        (EventName.CONFIG_RELOADED, {"changes": ["c" * 100] * 1_000}),
    ],
)
def test_a_line_is_shorter_than_what_readers_of_logs_break_in_two(lines, event, fields):
    (line,) = lines(lambda logs: logs.write(event, account="main", zone="z" * 253, zone_id=ZONE.id, **fields))
    assert len(json.dumps(line)) < 8_000


def test_no_escape_reaches_a_terminal(shown):
    text = shown(lambda logs: logs.failed("main", "get_pack", "http_502", HOSTILE))
    assert len(text.splitlines()) == 1
    assert "red" in text
    assert set(re.findall(r"\x1b[^m]*m", text)) == set(re.findall(r"\x1b\[[0-9;]+m", text)), "colours of ours alone"
    assert not re.search(r"\x1b\[31m(?=red)|[\x00-\x09\x0b-\x1a\x1c-\x1f\x9b\u202e\u2028]", text)


def test_people_read_no_zone_ids_but_machines_do(shown):
    assert ZONE.id not in shown(lambda logs: logs.happened(SENT))
    assert ZONE.id in shown(lambda logs: logs.happened(SENT), "json")


def test_a_line_for_people_is_the_time_of_day_the_event_and_its_fields(shown):
    assert shown(lambda logs: logs.happened(SENT), stream=StringIO()) == (
        "12:00:00 [info     ] restart_sent      account=main zone=example.com pack_id=p1 reason=restarted attempt=2 "
        "next_restart_at=2026-11-24T12:00:00Z status=initializing\n"
    )


@pytest.mark.parametrize(("form", "coloured"), [("auto", True), ("console", True), ("json", False)])
def test_a_terminal_gets_colours_unless_json_is_wanted(shown, form, coloured):
    assert ("\x1b[" in shown(lambda logs: logs.happened(SENT), form)) is coloured


def test_a_pipe_gets_json_by_itself(logging_to):
    reader, writer = os.pipe()
    with os.fdopen(reader) as read, os.fdopen(writer, "w") as write:
        logging_to(write, form="auto").write(EventName.STOPPING)
        assert json.loads(read.readline())["event"] == "stopping"


def test_the_same_failure_again_within_a_minute_is_only_counted(lines, clock):
    def tell(logs):
        for _ in range(5):
            logs.failed("main", "list_packs", "timeout", "no answer")
            clock.advance(seconds=10)
        logs.failed("main", "list_packs", "http_502", "another failure")
        logs.failed("other", "list_packs", "timeout", "another account")
        clock.advance(seconds=10)
        logs.failed("main", "list_packs", "timeout", "a minute later")

    found = lines(tell)
    assert [(line["error"], line.get("repeated")) for line in found] == [
        ("no answer", None),
        ("another failure", None),
        ("another account", None),
        ("a minute later", 4),
    ]
    assert {line["event"] for line in found} == {"api_error"}
    assert found[0].items() >= {"account": "main", "operation": "list_packs", "error_code": "timeout"}.items()


def test_what_a_library_warns_of_is_a_line_like_the_others(lines):
    (line,) = lines(lambda _: logging.getLogger("aiohttp.client").warning("odd: %s", HOSTILE))
    assert (line["event"], line["level"], line["logger"]) == (EventName.LIBRARY, "warning", "aiohttp.client")
    assert line["message"] == clean(f"odd: {HOSTILE}")
    assert list(line)[:3] == ["timestamp", "level", "event"]


def test_the_same_words_of_a_library_are_written_once_a_minute_and_other_words_at_once(lines):
    def tell(_):
        record = logging.makeLogRecord({"name": "asyncio", "levelno": logging.ERROR, "levelname": "ERROR"})
        raised = (OSError, OSError(24, "Too many open files"), None)
        for second, words, cause in (
            *((number / 100, "cannot accept", raised) for number in range(500)),
            (59.9, "cannot accept", raised),
            (60, "cannot accept", raised),
            (61, "cannot accept", None),
            (62, "something else", raised),
            (-3600, "something else", raised),  # the clock was set back
        ):
            record.created, record.msg, record.exc_info = 1e9 + second, words, cause
            logging.getLogger("asyncio").handle(record)

    found = [(line["message"], line.get("error", "")) for line in lines(tell)]
    error = "OSError: [Errno 24] Too many open files"
    assert found == [
        ("cannot accept", error),
        ("cannot accept", error),
        ("cannot accept", ""),
        ("something else", error),
        ("something else", error),
    ]


def test_what_a_library_chats_about_is_not_written_even_at_debug(lines):
    assert lines(lambda _: logging.getLogger("apscheduler").info("Scheduler started"), "debug") == []


def test_a_librarys_traceback_is_one_line_that_shows_places_and_no_values(lines):
    def fail():
        secret = "planted-secret"
        raise ValueError(f"two\nlines of {len(secret)}")

    def tell(_):
        try:
            fail()
        except ValueError:
            logging.getLogger("asyncio").exception("Task exception was never retrieved")

    (line,) = lines(tell)
    assert line["error"] == "ValueError: two lines of 14"
    assert [frame.rpartition(" ")[2] for frame in line["frames"]] == ["tell", "fail"]
    assert "planted" not in json.dumps(line)


def test_a_reader_who_has_gone_stops_nothing(logging_to):
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    logging_to(stream).happened(SENT)
    logging.getLogger("asyncio").warning("nobody reads this")
    with suppress(BrokenPipeError):
        stream.close()


def test_a_full_disk_stops_nothing(logging_to):
    stream = Path("/dev/full").open("w")  # noqa: SIM115  closing it fails too
    logging_to(stream).happened(SENT)
    with suppress(OSError):
        stream.close()


@pytest.fixture
def journal(tmp_path, monkeypatch, logging_to):
    """``journal(tell, fits=…)``: what ``tell(logs)`` writes to a stream that is, or is not, systemd's journal."""

    def read(tell, *, fits=True, form="json"):
        path = tmp_path / "journal"
        with path.open("w") as stream:
            status = os.fstat(stream.fileno())
            monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino + (not fits)}")
            tell(logging_to(stream, "debug", form))
        return path.read_text().splitlines()

    return read


@pytest.mark.parametrize("form", ["json", "console"])
def test_the_journal_is_told_the_priority_of_each_line(journal, form):
    def tell(logs):
        logs.write(EventName.STARTED)
        logs.write(EventName.ALERT_FAILED)
        logs.write(EventName.GAVE_UP)
        logging.getLogger("a.library").error("gone")

    assert [line[:3] for line in journal(tell, form=form)] == ["<6>", "<4>", "<3>", "<3>"]


def test_behind_its_priority_a_line_is_what_it_is_elsewhere(journal):
    (line,) = journal(lambda logs: logs.happened(SENT))
    assert json.loads(line.removeprefix("<6>"))["event"] == "restart_sent"


def test_a_stream_that_is_not_the_journal_gets_no_priorities(journal):
    (line,) = journal(lambda logs: logs.write(EventName.STOPPED), fits=False)
    assert json.loads(line)["event"] == "stopped"
