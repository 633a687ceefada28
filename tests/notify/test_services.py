"""What arrives at each service that docs/alerts.md promises: Apprise as it is, real sockets and TLS, and a far end."""

import asyncio
import json
import socket
import threading
from datetime import timedelta
from urllib.parse import parse_qs

import pytest

from tests.harness.builders import T0, notice
from tests.harness.far_services import MailServer, far_services
from watchdog.model.alerts import Kind, Message, MessageStatus
from watchdog.model.reasons import Severity
from watchdog.notify.apprise import Service
from watchdog.notify.channel import Undelivered

RECORD = "_acme-challenge.shop.a_b.example TXT gobbled_EgY_DcsvDrNd54_"
LINK = "https://wiki.example/run_books/*gave_up*.md?a=b&c=d"
COMMAND = "`certpack-watchdog restart shop.example 3822ff90 --force`"
PLAIN = f"Pack <x> for *.a.example, *.b.example.\n\nTo be placed:\n  {RECORD}\nYou: run {COMMAND}.\nRunbook: {LINK}"
ALERTS = 20
MANY = f"{ALERTS} packs: {ALERTS} new\n" + "\n".join(
    f"- customer-shop-{number:02}.example: gave up after 8 restarts, since its zone left Cloudflare\n  {RECORD}"
    for number in range(ALERTS)
)


def message(body, *, title="[critical] gave_up: shop.example", severity=Severity.CRITICAL, status=MessageStatus.FIRING):
    total = ALERTS if body == MANY else 1
    return Message(
        status=status,
        reason="gave_up",
        severity=severity,
        title=title,
        body=body,
        at=T0,
        total=total,
        notices=(notice(Kind.STARTED),),
    )


def sent(url, *messages):
    service = Service(url)
    for each in messages:
        asyncio.run(service.send(each))


def why(url, each):
    with pytest.raises(Undelivered) as caught:
        sent(url, each)
    return caught.value


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return tmp_path_factory.mktemp("far")


@pytest.fixture
def far(keys, monkeypatch):
    # Apprise sleeps between two requests to Matrix, as a real server wants it.
    monkeypatch.setattr("apprise.plugins.matrix.base.NotifyMatrix.request_rate_per_sec", 0)
    with far_services(keys, monkeypatch) as services:
        services.answer = answer
        yield services


def answer(got):
    said = {
        "hooks.slack.com": b"ok",
        "org.zulipchat.com": b'{"result":"success"}',
        "api.telegram.org": b'{"ok":true,"result":{}}',
    }
    if got.path.endswith("/login"):
        return 200, {}, b'{"status":"success","data":{"authToken":"x","userId":"y"}}'
    matrix = b'{"event_id":"$1","room_id":"!room:m.example","user_id":"@bot:m.example","device_id":"d"}'
    return 200, {}, said.get(got.host, matrix if "_matrix" in got.path else b"{}")


def field(*names):
    """The text at this place of a JSON body."""

    def text(got):
        value = got.json
        for name in names:
            value = value[name]
        return value

    return text


def form(name):
    return lambda got: parse_qs(got.body.decode())[name][0]


def unescaped(text):
    """What a service that takes markup shows of a text that was escaped for it."""
    return lambda got: text(got).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


CARD = ("attachments", 0, "content", "body", 1, "text")
TOKEN = "a" * 32
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
SERVICES = {
    # name: URL, most characters of the text, the text, requests for one message
    "slack": (SLACK, 35000, unescaped(field("attachments", 0, "text")), 1),
    "discord": ("discord://123456789012345678/abcdefghijklmnopqrstuvwxyz", 2000, field("content"), 1),
    "mattermost": (f"mmost://127.0.0.1:PORT/{TOKEN[:26]}", 4000, field("text"), 1),
    "rocket.chat hook": ("rocket://webhook1/secret2@127.0.0.1:PORT", 1000, field("text"), 1),
    "rocket.chat user": ("rocket://user:pw@127.0.0.1:PORT/#ops", 1000, field("text"), 3),
    "teams": ("workflows://prod-0.westeurope.logic.azure.com/643e69f83c8944/z8fRyVvRMw", 1000, field(*CARD), 1),
    "webex": ("wxteams://" + "a" * 80, 1000, field("text"), 1),
    "google chat": ("gchat://space/key/token", 4000, field("text"), 1),
    "matrix": ("matrix://token@127.0.0.1:PORT/!room:m.example", 65000, field("body"), 3),
    "telegram": ("tgram://123456789:abcdefg_hijklmnop/12315544/", 4096, unescaped(field("text")), 1),
    "zulip": (f"zulip://bot@org/{TOKEN}/ops", 10000, form("content"), 1),
    "ntfy": ("ntfy://127.0.0.1:PORT/topic", 4096, field("message"), 1),
    "gotify": ("gotify://127.0.0.1:PORT/aaaaaaaaaaaaaaa", 32768, field("message"), 1),
    "pushover": (f"pover://{'u' * 30}@{'t' * 30}", 1024, form("message"), 1),
}
every_service = pytest.mark.parametrize("name", SERVICES)


def arrived(far, name, news):
    """The text that arrives, its most characters, and the requests of one message."""
    url, most, text, requests = SERVICES[name]
    sent(url.replace("PORT", str(far.port)), news)
    assert len(far.got) == requests
    [told] = [text(got) for got in far.got if got.body and b"gave" in got.body]
    return told, most


@every_service
def test_plain_text_arrives_as_it_was_written(far, name):
    told, _ = arrived(far, name, message(PLAIN))
    for piece in (RECORD, LINK, COMMAND, "Pack <x> for *.a.example, *.b.example."):
        assert piece in told
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    assert lines[-5:] == [line.strip() for line in PLAIN.splitlines() if line.strip()]


@every_service
def test_nobody_is_called_by_what_others_wrote_and_addresses_stay(far, name):
    said = "Last error: @everyone @Here <@42> <!channel> <users/all>, or write to ops@all.example."
    told, _ = arrived(far, name, message(said))
    assert "ops@all.example" in told
    for call in ("@everyone", "@Here", "<@42", "<!channel", "<users/"):
        assert call not in told


@every_service
def test_a_long_message_arrives_in_one_piece_and_says_how_much_it_leaves_out(far, name):
    told, most = arrived(far, name, message(MANY))
    assert len(told) <= most
    lines = told.splitlines()
    listed = sum(line.startswith("- customer-shop-") for line in lines)
    if most >= len(MANY) + 100:
        assert listed == ALERTS
    else:
        assert 0 < listed < ALERTS
        assert lines[-1] == f"… and {ALERTS - listed} more: `certpack-watchdog status`"
    written = {line.strip() for line in MANY.splitlines()}
    whole = [line.strip() for line in lines if line.strip() in written]
    assert len(whole) >= len([line for line in lines if line.strip()]) - 2  # but for the title and the last


@every_service
def test_a_service_is_led_to_fetch_no_picture(far, name):
    arrived(far, name, message(PLAIN))
    for got in far.got:
        said = got.body.decode() + json.dumps(got.headers)
        assert "caronc" not in said
        assert ".png" not in said


@pytest.mark.parametrize("status", [400, 404, 410, 413, 401, 429, 503])
@pytest.mark.parametrize("name", ["discord", "rocket.chat user", "ntfy", "pushover"])
def test_a_refusal_is_told_by_its_status_and_whether_it_can_ever_succeed(far, name, status):
    hopeless = status in {400, 404, 410, 413}
    far.answer = lambda got: answer(got) if got.path.endswith(("/login", "/logout")) else (status, {}, b"{}")
    refusal = why(SERVICES[name][0].replace("PORT", str(far.port)), message(PLAIN))
    assert str(refusal).startswith(f"the service did not accept it: HTTP {status}")
    assert refusal.hopeless is hopeless


SLACK, BOT = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", f"slack://xoxb-1234-5678-{TOKEN[:24]}/#ops"
DINGTALK, WECOM = f"dingtalk://{'a' * 64}", "wecombot://aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
FEISHU = "feishu://aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
TELEGRAM = "tgram://123456789:abcdefg_hijklmnop/12315544/"
DISCORD = f"discord://123456789012345678/{TOKEN}"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (DINGTALK, {"errcode": 310000, "errmsg": "keywords not in content"}),
        (WECOM, {"errcode": 93000, "errmsg": "invalid webhook url"}),
        (BOT, {"ok": False, "error": "is_archived"}),
        (FEISHU, {"code": 19024, "msg": "Key Words Not Found"}),
    ],
)
def test_a_refusal_in_a_success_is_none_and_is_told_in_the_services_words(far, url, said):
    far.answer = lambda _: (200, {}, json.dumps(said).encode())
    words = said.get("errmsg") or said.get("msg") or said["error"]
    assert str(why(url, message(PLAIN))) == f"the service answered, but did not accept it: {words}"


@pytest.mark.parametrize("url", [DINGTALK, WECOM])
def test_a_success_of_a_service_that_counts_its_errors_is_one(far, url):
    far.answer = lambda _: (200, {}, b'{"errcode": 0, "errmsg": "ok"}')
    sent(url, message(PLAIN))
    assert len(far.got) == 1


@pytest.mark.parametrize(
    ("url", "status", "body", "words"),
    [
        (SLACK, 410, b"channel_is_archived", "HTTP 410 Gone: channel_is_archived"),
        (SLACK, 404, b"no_service", "HTTP 404 Not Found: no_service"),
        (DISCORD, 404, b'{"message": "Unknown Webhook", "code": 10015}', "HTTP 404 Not Found: Unknown Webhook"),
        (
            TELEGRAM,
            403,
            b'{"ok": false, "description": "Forbidden: bot was blocked by the user"}',
            "HTTP 403 Forbidden: Forbidden: bot was blocked by the user",
        ),
    ],
)
def test_a_refusal_is_told_in_the_services_own_words(far, url, status, body, words):
    far.answer = lambda _: (status, {}, body)
    assert str(why(url, message(PLAIN))) == f"the service did not accept it: {words}"


@pytest.mark.parametrize(
    "words",
    [
        f"no webhook at /api/webhooks/123456789012345678/{TOKEN}",
        TOKEN.upper(),
        f"unknown: {TOKEN[:18]}/x{TOKEN}",
    ],
)
def test_words_that_hold_a_part_of_the_url_are_not_shown(far, words):
    far.answer = lambda _: (404, {}, json.dumps({"message": words}).encode())
    assert str(why(DISCORD, message(PLAIN))) == "the service did not accept it: HTTP 404 Not Found"


def test_what_may_be_a_secret_is_left_out_of_the_words(far):
    far.answer = lambda _: (404, {}, b'{"message": "not for Basic QWxhZGRpbjpvcGVuIHNlc2FtZTE= here"}')
    told = str(why(DISCORD, message(PLAIN)))
    assert told == "the service did not accept it: HTTP 404 Not Found: not for Basic … here"


@pytest.mark.parametrize(
    ("headers", "said", "seconds"),
    [
        ({}, {"message": "You are being rate limited.", "retry_after": 41.3}, 42),
        ({"retry-after": "65"}, {"retry_after": 41.3}, 65),
        ({}, {"ok": False, "description": "Too Many Requests", "parameters": {"retry_after": 35}}, 35),
        ({}, {"retry_after": "soon"}, 0),
        ({}, {"retry_after": -1}, 0),
    ],
)
def test_a_service_that_says_when_to_come_back_is_left_alone_until_then(far, headers, said, seconds):
    far.answer = lambda _: (429, headers, json.dumps(said).encode())
    assert why(DISCORD, message(PLAIN)).retry_after == timedelta(seconds=seconds)


def test_each_message_to_matrix_has_a_transaction_of_its_own(far):
    url = SERVICES["matrix"][0].replace("PORT", str(far.port))
    sent(url, message(PLAIN), message(PLAIN))
    puts = [got.path for got in far.got if got.method == "PUT"]
    assert len(puts) == len(set(puts)) == 2


def test_a_text_message_is_short_and_in_its_alphabet(far):
    far.answer = lambda _: (201, {}, b"{}")
    account = "AC" + TOKEN
    sent(f"twilio://{account}:{TOKEN}@15551234567/15557654321", message(MANY))
    [got] = far.got
    told = parse_qs(got.body.decode())["Body"][0]
    assert told.startswith("[critical] gave_up: shop.example\r\n")
    assert told.endswith(".. and 20 more: `certpack-watchdog status`")
    assert len(told) <= 160
    assert told.isascii()


def test_what_ntfy_takes_is_counted_in_bytes(far):
    body = "\n".join(f"- пример{number}.рф: не обновлён" for number in range(140))
    assert len(body) < 4096 < len(body.encode())
    told, most = arrived(far, "ntfy", message(body, title="[critical] gave_up"))
    assert len(told.encode()) <= most


# ── severity ─────────────────────────────────────────────────────────────────────────────────────────────────────

PRIORITIES = {
    "ntfy": (lambda got: got.headers.get("x-priority"), ["low", "high", "max"], None),
    "gotify": (lambda got: got.json["priority"], [2, 5, 8], 4),
    "pushover": (form("priority"), ["-1", "0", "1"], "0"),
}


@pytest.mark.parametrize("name", PRIORITIES)
def test_severity_is_the_priority_on_the_phone_and_an_end_is_none(far, name):
    priority, expected, of_end = PRIORITIES[name]
    url = SERVICES[name][0].replace("PORT", str(far.port))
    sent(url, *(message(PLAIN, severity=severity) for severity in Severity))
    assert [priority(got) for got in far.got] == expected
    sent(url, message(PLAIN, status=MessageStatus.RESOLVED))
    assert priority(far.got[-1]) == of_end


@pytest.mark.parametrize("name", PRIORITIES)
def test_a_priority_in_the_url_stands(far, name):
    url = SERVICES[name][0].replace("PORT", str(far.port))
    sent(f"{url}?priority=high", message(PLAIN, severity=Severity.INFO))
    priority, [_, _, highest], _ = PRIORITIES[name]
    assert priority(far.got[0]) == {"ntfy": "high", "gotify": highest, "pushover": highest}[name]


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "url",
    [
        f"https://discord.com/api/webhooks/123456789012345678/{TOKEN}",
        "json://127.0.0.1:1/path?retry=3",
    ],
)
def test_one_target_is_taken(url):
    asyncio.run(Service(url).check())


@pytest.mark.parametrize(
    "url",
    [
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#one/#two",
        "mailto://user:pw@mail.example?to=a@x.example,b@x.example",
        "mailto://user:pw@mail.example?to=a@x.example&cc=b@x.example",
        "mailto://user:pw@mail.example?to=a@x.example&bcc=b@x.example",
        "tgram://123456789:abcdefg_hijklmnop/1/2",
        "ntfy://ntfy.example/one/two",
    ],
)
def test_a_url_with_two_targets_is_refused_before_anything_is_sent(url):
    with pytest.raises(Undelivered, match=r"its URL names 2 targets, .* make each a destination of its own"):
        asyncio.run(Service(url).check())


@pytest.mark.parametrize(
    "url",
    [
        "https://alert.victorops.com/integrations/generic/20131114/alert/0e3c2b1a-0000-4000-8000-000000000000/route",
        f"https://api.squadcast.com/v2/incidents/api/{TOKEN}",
    ],
)
def test_an_incident_service_by_its_native_url_is_refused_too(url):
    with pytest.raises(Undelivered, match="Apprise cannot close what it opens at"):
        asyncio.run(Service(url).check())


def test_a_plug_in_that_sends_nothing_and_calls_it_a_success_is_not_believed(monkeypatch):
    monkeypatch.setattr("apprise.plugins.custom_json.NotifyJSON.send", lambda *_, **__: True)
    refusal = why("json://127.0.0.1:1/", message(PLAIN))
    assert (str(refusal), refusal.hopeless) == ("its Apprise plug-in sent nothing", True)


# ── mail ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def mail(*messages, **more):
    with MailServer(**more) as server:
        sent(f"mailto://127.0.0.1:{server.port}?from=dog@x.example&to=ops@x.example", *messages)
    return server.mails


def test_a_mail_arrives_as_plain_text_with_its_title_as_the_subject():
    [(recipients, got)] = mail(message(PLAIN))
    assert recipients == ["ops@x.example"]
    assert (got["subject"], got.get_content_type()) == ("[critical] gave_up: shop.example", "text/plain")
    assert got.get_content().splitlines() == PLAIN.splitlines()


def test_a_mail_says_how_important_it_is():
    mails = [got for _, got in mail(*(message(PLAIN, severity=severity) for severity in Severity))]
    assert [got["importance"] for got in mails] == ["low", "normal", "high"]
    assert [got["x-priority"] for got in mails] == ["5", "3", "1"]


def test_all_mails_about_one_alert_are_one_thread():
    (_, first), (_, last) = mail(message(PLAIN), message(PLAIN, status=MessageStatus.RESOLVED, title="[resolved] x"))
    thread = f"<{notice(Kind.STARTED).alert.fingerprint}@certpack-watchdog.invalid>"
    assert [first["references"], first["in-reply-to"], last["references"]] == [thread] * 3
    assert first["message-id"] != last["message-id"]


def test_a_recipient_that_is_refused_is_told():
    with MailServer(refused=("ops@x.example",)) as server:
        refusal = why(f"mailto://127.0.0.1:{server.port}?from=dog@x.example&to=ops@x.example", message(PLAIN))
    assert (str(refusal), server.mails) == ("the mail server did not accept it: 550 no such user", [])


@pytest.mark.parametrize(
    ("replies", "words"),
    [
        ({"rcpt": "451 4.7.1 Greylisted, try again later"}, "451 4.7.1 Greylisted, try again later"),
        (
            {"rcpt": "550 5.1.1 <ops@x.example>: Recipient address rejected: User unknown"},
            "550 5.1.1 <ops@x.example>: Recipient address rejected: User unknown",
        ),
        ({"mail": "530 5.7.0 Must issue a STARTTLS command first"}, "530 5.7.0 Must issue a STARTTLS command first"),
        ({"data": "552 5.3.4 not for s3cr3t-word"}, "552"),
    ],
)
def test_what_a_mail_server_says_of_a_refusal_is_told_without_the_password(replies, words):
    with MailServer(**replies) as server:
        refusal = why(f"mailto://127.0.0.1:{server.port}?from=d@x.example&to=ops@x.example&pass=s3cr3t", message(PLAIN))
    assert (str(refusal), server.mails) == (f"the mail server did not accept it: {words}", [])


def test_a_mail_server_that_breaks_off_is_told_with_what_it_said_last_and_not_as_a_refusal():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet():
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"220 mail.example at your service\r\n")
                connection.recv(1024)

        thread = threading.Thread(target=greet)
        thread.start()
        refusal = why(f"mailto://127.0.0.1:{server.getsockname()[1]}?from=d@x.example&to=o@x.example", message(PLAIN))
        thread.join(10)
    assert str(refusal) == "the mail server answered no more after: 220 mail.example at your service"


def test_a_mail_server_that_is_not_there_was_not_reached():
    refusal = why("mailto://127.0.0.1:1?from=dog@x.example&to=ops@x.example", message(PLAIN))
    assert str(refusal) == "the service was not reached, or did not accept it"
