"""The API as a program asks it: pages of rows, names that are checked, and a document that says what there is."""

import asyncio
from datetime import timedelta

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.builders import NOW, inventory, pack, troubled, zone
from tests.harness.values import replace, rows_of
from watchdog.config.durations import parse_duration
from watchdog.model.decisions import Decision, Do
from watchdog.model.history import JournalLine
from watchdog.model.reasons import Reason
from watchdog.tell.fleet import Fleet, Fleets
from watchdog.tell.pages import application, routed
from watchdog.tell.query import Refused, cursor
from watchdog.tell.sources import Situation, Sources

GAVE_UP = Decision(Do.GIVE_UP, Reason.GAVE_UP)
LOST = zone("lost.example", error="list_packs: HTTP 502", reason="unseen")
FLEET = inventory(
    pack("aaaa1111", zone="a.example"),
    pack("aaaa2222", zone="a.example"),
    troubled("bbbb3333", zone="b.example"),
    troubled("cccc4444", zone="c.example", account="partner", decision=GAVE_UP),
    zones=[zone("a.example"), zone("b.example"), zone("c.example", "partner"), LOST],
)
LINE = JournalLine(
    at=NOW,
    event="restart_sent",
    account="main",
    zone="b.example",
    zone_id="id-of-b.example",
    pack_id="bbbb3333",
    reason="restarted",
    detail="attempt=1",
)


class Journal:
    """Answers with these lines, and remembers what it was asked."""

    def __init__(self, *lines, broken=False):
        self.lines, self.broken, self.asked = lines, broken, []

    async def __call__(self, query):
        self.asked.append(query)
        if self.broken:
            raise Refused("journal_unreadable", "the journal cannot be read now: the disk is gone", 503)
        known = [line for line in enumerate(self.lines, 1) if query.before is None or line[0] < query.before]
        return known[::-1][: query.most]


def sources_of(found=FLEET, journal=None):
    fleet = Fleet(found)

    async def latest():
        return fleet

    return Sources(
        healthy=lambda: (True, "ok"),
        ready=None,
        metrics=lambda _: ([b"metric 1\n"] * 100, "text/plain; version=1.0.0"),
        fleet=latest,
        alerts=lambda: {"alerts": []},
        events=journal or Journal(),
        situation=lambda: Situation(version="1.2.3", loaded_at=NOW, last_pass=None),
        now=lambda: NOW,
        duration=parse_duration,
    )


def asking(found=FLEET, journal=None):
    """``ask(path, …)``: a request to the pages of this fleet."""
    app = application(sources_of(found, journal))

    def ask(path, **options):
        async def once():
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.get(path, **options)

        return asyncio.run(once())

    return ask


@pytest.fixture(scope="module")
def ask():
    return asking()


def ids(answer):
    return [row["pack_id"] for row in answer.json()["packs"]]


# ── packs ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_packs_come_in_the_order_of_account_zone_and_id(ask):
    assert ids(ask("/api/v1/packs")) == ["aaaa1111", "aaaa2222", "bbbb3333", "cccc4444"]


def test_the_row_of_a_pack_is_that_of_every_other_report(ask):
    assert ask("/api/v1/packs").json()["packs"] == msgspec.to_builtins(rows_of(FLEET)["packs"])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("account=partner", ["cccc4444"]),
        ("zone=a.example", ["aaaa1111", "aaaa2222"]),
        ("zone=A.Example", ["aaaa1111", "aaaa2222"]),
        ("zone=*.example&status=active", ["aaaa1111", "aaaa2222"]),
        ("zone=?.example&needs_person=true", ["cccc4444"]),
        ("needs_person=false", ["aaaa1111", "aaaa2222", "bbbb3333"]),
        ("status=validation_timed_out", ["bbbb3333", "cccc4444"]),
        ("decision=wait", ["bbbb3333"]),
        ("reason=gave_up", ["cccc4444"]),
        ("reason=expired", []),
        ("zone=nothing*", []),
    ],
)
def test_packs_are_chosen_by_what_they_are(ask, query, found):
    assert ids(ask(f"/api/v1/packs?{query}")) == found


def test_the_zones_of_an_answer_are_those_of_its_packs(ask):
    assert [row["zone"] for row in ask("/api/v1/packs?reason=gave_up").json()["zones"]] == ["c.example"]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_page_by_page_every_pack_is_seen_once(ask, limit):
    seen, place = [], ""
    while True:
        answer = ask(f"/api/v1/packs?limit={limit}{place}")
        assert len(ids(answer)) <= limit
        seen += ids(answer)
        if (following := answer.json()["next"]) is None:
            break
        place = f"&after={following}"
    assert seen == ["aaaa1111", "aaaa2222", "bbbb3333", "cccc4444"]


def test_without_a_limit_a_hundred_rows_come():
    ask = asking(inventory(*(pack(f"p{number:04}") for number in range(101))))
    answer = ask("/api/v1/packs")
    assert (len(ids(answer)), answer.json()["next"] is None) == (100, False)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("state=active", "account, zone, status, decision, reason, needs_person, limit, after"),
        ("status=Active", "active, backup_issued"),
        ("decision=stop", "restart, wait, give_up, leave"),
        ("reason=tired", "validation_timed_out, "),
        ("needs_person=yes", "true, false"),
        ("limit=0", "1 to 1000"),
        ("limit=1001", "1 to 1000"),
        ("limit=ten", "1 to 1000"),
        ("after=nonsense", "no `next` of an answer before"),
        ("after=W10", "no `next` of an answer before"),
        ("account=mian", "known are: main, partner"),
        ("zone=a.exmaple", "did you mean a.example"),
        ("zone=zzzzzzzz", "/api/v1/zones lists them"),
        ("zone=", "1 to 255 characters"),
        ("limit=1&limit=2", "given twice"),
    ],
)
def test_what_is_not_known_is_refused_with_a_sentence_that_names_what_is(ask, query, named):
    answer = ask(f"/api/v1/packs?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error"}
    assert named in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/zones?status=active",
        "/api/v1/events?pack=1",
        "/api/v1/alerts?all=1",
        "/api/v1/openapi.json?x=1",
        "/api/v1/packs/id-of-a.example/aaaa1111?x=1",
    ],
)
def test_every_path_refuses_parameters_it_does_not_have(ask, path):
    assert (ask(path).status_code, ask(path).json()["error"]["code"]) == (400, "unknown_parameter")


def test_a_status_that_is_new_may_be_asked_for_once_a_pack_has_it():
    ask = asking(inventory(pack("pppp", "quantum_entangled")))
    assert ids(ask("/api/v1/packs?status=quantum_entangled")) == ["pppp"]


# ── one pack ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_pack_is_its_row_and_what_happened_to_it():
    journal = Journal(LINE)
    row = asking(journal=journal)("/api/v1/packs/id-of-b.example/bbbb3333").json()
    events = row.pop("events")
    assert row == msgspec.to_builtins(rows_of(FLEET)["packs"][2])
    assert [(event["event"], event["detail"]) for event in events] == [("restart_sent", "attempt=1")]
    assert (journal.asked[0].zone_id, journal.asked[0].pack) == ("id-of-b.example", "bbbb3333")


@pytest.mark.parametrize("name", ["aaaa1", "AAAA1111", "aaaa-1111"])
def test_a_pack_may_be_named_by_how_its_id_begins_and_in_any_spelling(ask, name):
    assert ask(f"/api/v1/packs/id-of-a.example/{name}").json()["pack_id"] == "aaaa1111"


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("id-of-a.example/aaaa", 400, "aaaa1111, aaaa2222"),
        ("id-of-a.example/aaa", 400, "at least 4 characters"),
        ("id-of-a.example/bbbb3333", 404, "no such pack"),
        ("id-of-z.example/aaaa1111", 404, "no such zone"),
    ],
)
def test_a_pack_that_cannot_be_told_is_refused_with_why(ask, path, status, says):
    answer = ask(f"/api/v1/packs/{path}")
    assert answer.status_code == status
    assert says in answer.json()["error"]["message"]


def test_an_id_that_is_the_beginning_of_another_names_its_own_pack():
    ask = asking(inventory(pack("aaaa"), pack("aaaab")))
    assert ask("/api/v1/packs/id-of-example.com/aaaa").json()["pack_id"] == "aaaa"


MUNICH = "xn--mnchen-3ya.example"
FORMS = [MUNICH, "XN--MNCHEN-3YA.Example", f"{MUNICH}.", "münchen.example", "MÜNCHEN.example.", "*ünchen*"]


@pytest.mark.parametrize("label", [MUNICH, "münchen.example", "München.example."])
@pytest.mark.parametrize("asked", FORMS)
def test_a_zone_is_found_by_any_form_of_its_name_in_whatever_form_it_is_configured(label, asked):
    ask = asking(inventory(pack("aaaa1111", zone=label), pack("bbbb1111", zone="b.example"), zones=[zone(label)]))
    assert ids(ask("/api/v1/packs", params={"zone": asked})) == ["aaaa1111"]
    assert [each["zone"] for each in ask("/api/v1/zones", params={"zone": asked}).json()["zones"]] == [label]


# ── zones and events ─────────────────────────────────────────────────────────────────────────────────────────────


def test_zones_are_all_there_also_those_that_were_not_seen(ask):
    rows = {row["zone"]: row for row in ask("/api/v1/zones").json()["zones"]}
    assert list(rows) == ["a.example", "b.example", "lost.example", "c.example"]
    assert (rows["a.example"]["packs"], rows["lost.example"]["last_error"]) == (2, "list_packs: HTTP 502")


def test_zones_come_in_pages_too(ask):
    first = ask("/api/v1/zones?limit=3").json()
    assert [row["zone"] for row in ask(f"/api/v1/zones?after={first['next']}").json()["zones"]] == ["c.example"]


def test_events_are_the_journal_newest_first_and_go_on_where_they_ended():
    lines = [replace(LINE, detail=f"attempt={number}") for number in range(5)]
    ask = asking(journal=Journal(*lines))
    first = ask("/api/v1/events?limit=3").json()
    second = ask(f"/api/v1/events?limit=3&after={first['next']}").json()
    told = [event["detail"] for answer in (first, second) for event in answer["events"]]
    assert (told, second["next"]) == ([f"attempt={number}" for number in (4, 3, 2, 1, 0)], None)


@pytest.mark.parametrize(
    ("since", "start"),
    [
        ("12h", NOW - timedelta(hours=12)),
        ("1h30m", NOW - timedelta(minutes=90)),
        ("2026-11-24T10:00:00Z", NOW.replace(hour=10, microsecond=0)),
        ("2026-11-24T12:00:00%2B02:00", NOW.replace(hour=10, microsecond=0)),
    ],
)
def test_events_begin_at_a_time_or_so_long_ago(since, start):
    journal = Journal()
    asking(journal=journal)(f"/api/v1/events?since={since}&zone=*.example")
    assert (journal.asked[0].since, journal.asked[0].zone) == (start, "*.example")


@pytest.mark.parametrize(
    "since", ["yesterday", "12", "-3h", "2026-13-40T00:00:00Z", "2026-11-24Tnoon", "0001-01-01T00:00:00%2B14:00"]
)
def test_another_since_is_refused(ask, since):
    assert ask(f"/api/v1/events?since={since}").status_code == 400


@pytest.mark.parametrize("number", [-1, 2**63, 10**40])
def test_no_line_of_the_journal_has_a_number_that_no_database_holds(ask, number):
    assert ask(f"/api/v1/events?after={cursor(number)}").status_code == 400


def test_a_journal_that_cannot_be_read_is_said_and_no_empty_answer():
    answer = asking(journal=Journal(broken=True))("/api/v1/events")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "journal_unreadable")


# ── every answer ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_has_not_changed_is_not_sent_again(ask):
    first = ask("/api/v1/packs")
    again = ask("/api/v1/packs", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])


def test_what_has_changed_is_sent(ask):
    first = ask("/api/v1/packs?needs_person=false")
    assert ask("/api/v1/packs", headers={"if-none-match": first.headers["etag"]}).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/packs", "/metrics"])
def test_answers_come_compressed_to_whoever_takes_that(ask, path):
    plain = ask(path, headers={"accept-encoding": "identity"})
    packed = ask(path, headers={"accept-encoding": "gzip"})
    assert ("content-encoding" in plain.headers, packed.headers["content-encoding"]) == (False, "gzip")
    assert packed.content == plain.content  # httpx has unpacked it
    assert int(packed.headers["content-length"]) < len(plain.content)


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/", "/api/v2/packs"])
def test_what_is_not_there_is_an_error_in_json_under_the_api(ask, path):
    answer = ask(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


@given(st.text(st.characters(codec="utf-8"), max_size=20), st.sampled_from(["zone", "account", "after", "since", "x"]))
def test_whatever_is_asked_is_answered_or_refused_as_json(name, value):
    answer = ASK("/api/v1/events", params={value: name})
    assert answer.status_code in {200, 400}
    assert isinstance(answer.json(), dict)


ASK, SOURCES = asking(), sources_of()


# ── the document ─────────────────────────────────────────────────────────────────────────────────────────────────


def described():
    return ASK("/api/v1/openapi.json").json()


def resolved(schema, document):
    if "$ref" in schema:
        return resolved(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    merged = {"properties": dict(schema.get("properties", {})), "required": list(schema.get("required", []))}
    for part in schema.get("allOf", ()):
        inner = resolved(part, document)
        merged["properties"] |= inner["properties"]
        merged["required"] += inner["required"]
    return {**schema, **merged}


def conforms(value, schema, document):
    """Whether an answer is what the document says, as far as this document goes: types, enums and required names."""
    schema = resolved(schema, document)
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}
    if "enum" in schema:
        assert value in schema["enum"]
    if "type" in schema:
        allowed = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        assert isinstance(value, tuple(kinds[kind] for kind in allowed)), (value, schema)
    if isinstance(value, dict) and schema["properties"]:
        assert set(value) == set(schema["properties"])
        for name, inner in value.items():
            conforms(inner, schema["properties"][name], document)
    if isinstance(value, list):
        for inner in value:
            conforms(inner, schema["items"], document)


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/api/v1/packs", "/api/v1/packs"),
        ("/api/v1/packs/id-of-b.example/bbbb3333", "/api/v1/packs/{zone_id}/{pack_id}"),
        ("/api/v1/zones", "/api/v1/zones"),
        ("/api/v1/events", "/api/v1/events"),
        ("/api/v1/alerts", "/api/v1/alerts"),
        ("/api/v1/silences", "/api/v1/silences"),
    ],
)
def test_every_answer_is_as_the_document_says(path, template):
    document = described()
    answer = asking(journal=Journal(LINE))(path)
    schema = document["paths"][template]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    conforms(answer.json(), schema, document)


def test_the_document_tells_of_every_path_of_the_api():
    there = {route.path for route in routed(SOURCES).routes}
    assert set(described()["paths"]) == {path for path in there if path.startswith("/api/")}


def test_the_document_names_the_parameters_that_are_taken():
    named = {each["name"] for each in described()["paths"]["/api/v1/packs"]["get"]["parameters"]}
    assert named == {"account", "zone", "status", "decision", "reason", "needs_person", "limit", "after"}


# ── large fleets ─────────────────────────────────────────────────────────────────────────────────────────────────


class Making:
    """Makes fleets that take ``took`` seconds by a clock of its own."""

    def __init__(self, took):
        self.now, self.took, self.made = 100.0, took, 0
        self.fleets = Fleets(self.take, lambda: self.now)

    def take(self):
        self.made += 1
        self.now += self.took
        return FLEET

    async def asked_after(self, seconds):
        """How many fleets were made in all, once somebody has asked so long after the last time."""
        self.now += seconds
        await self.fleets.latest()
        await asyncio.sleep(0)
        making = self.fleets._making  # noqa: SLF001  what goes on behind
        if making is not None:
            await making
        return self.made

    def story(self, *pauses):
        async def told():
            return [await self.asked_after(pause) for pause in pauses]

        return asyncio.run(told())


def test_a_small_fleet_is_made_anew_for_whoever_asks_a_second_later():
    assert Making(0.001).story(0, 0.5, 1.1, 0.1, 1.1) == [1, 1, 2, 2, 3]


def test_a_large_fleet_costs_those_who_keep_asking_a_twentieth_of_a_core_at_most():
    making = Making(0.5)
    making.story(*[1] * 100)
    assert making.made * 0.5 <= (making.now - 100) / 20 + 2 * 0.5


def test_a_large_fleet_is_answered_at_once_from_the_last_one_while_the_next_is_made():
    async def told():
        making = Making(0.5)
        first = await making.fleets.latest()
        making.now += 30
        second = await making.fleets.latest()
        making.now += 61
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
        making.now += 61
        return first is second, (await making.fleets.latest()) is second

    assert asyncio.run(told()) == (True, False)


def test_no_method_of_the_api_is_anything_but_get():
    assert {method for path in described()["paths"].values() for method in path} == {"get"}


def test_who_needs_a_person_is_found_page_by_page():
    ask = asking(inventory(*(troubled(name, decision=GAVE_UP) for name in ("pppp2222", "pppp1111")), pack("pppp3333")))
    first = ask("/api/v1/packs?needs_person=true&limit=1")
    rest = ask("/api/v1/packs", params={"needs_person": "true", "after": first.json()["next"]})
    assert (ids(first), ids(rest), rest.json()["next"]) == (["pppp1111"], ["pppp2222"], None)
