from collections.abc import Callable

from watchdog.config.changes import changes, needs_restart
from watchdog.config.schema import Config

Read = Callable[..., Config]
ACCOUNTS = "accounts: {main: {api_token: planted-token}}\n"
ONE_ZONE = ACCOUNTS + "zones: [{name: example.com}]\n"
ZONE_ID = "023e105f4ecef8ad9ca31a8372d0c353"


def lines(old: Config, new: Config) -> list[str]:
    return [str(change) for change in changes(old, new)]


def test_the_same_file_changes_nothing(read: Read) -> None:
    assert lines(read(ONE_ZONE), read(ONE_ZONE)) == []


def test_a_setting_is_shown_as_operators_write_it(read: Read) -> None:
    new = read(ONE_ZONE + "schedule: {interval: 5m}\nrestart: {enabled: false}\nweb: {listen: ''}\n")
    assert lines(read(ONE_ZONE), new) == [
        "schedule.interval: 15m → 5m",
        "restart.enabled: true → false",
        'web.listen: 127.0.0.1:9909 → ""',
    ]


def test_a_credential_is_only_said_to_have_changed(read: Read) -> None:
    old, new = read(ONE_ZONE), read(ONE_ZONE.replace("planted-token", "another-secret"))
    assert lines(old, new) == ["accounts.main.api_token: secret → changed"]


def test_a_credential_of_another_kind_is_not_shown_either(read: Read) -> None:
    new = read("accounts: {main: {api_email: me@example.com, api_key: planted-key}}\nzones: [{name: example.com}]")
    assert lines(read(ONE_ZONE), new) == [
        "accounts.main.api_token: secret → absent",
        "accounts.main.api_email: absent → me@example.com",
        "accounts.main.api_key: absent → secret",
    ]


def test_destinations_are_told_apart_by_name_and_never_shown(read: Read) -> None:
    alerts = "alerts: {{destinations: [{{name: ops, url: 'slack://planted', min_severity: {}}}{}]}}\n"
    old = read(ONE_ZONE + alerts.format("info", ""))
    new = read(ONE_ZONE + alerts.format("critical", ", {name: hook, webhook: 'https://planted.example/'}"))
    assert lines(old, new) == [
        "alerts.destinations[ops].min_severity: info → critical",
        "alerts.destinations[hook]: absent → present",
    ]
    other = read(ONE_ZONE + alerts.format("info", "").replace("slack://planted", "slack://other"))
    assert lines(old, other) == ["alerts.destinations[ops].url: secret → changed"]
    assert lines(old, read(ONE_ZONE)) == ["alerts.destinations[ops]: present → absent"]


def test_an_added_zone_is_one_line_wherever_it_stands(read: Read) -> None:
    more = ACCOUNTS + "zones: [{name: first.example}, {name: example.com}]"
    assert lines(read(ONE_ZONE), read(more)) == ["zones[first.example]: absent → present"]
    assert lines(read(more), read(ONE_ZONE)) == ["zones[first.example]: present → absent"]


def test_an_added_account_is_one_line(read: Read) -> None:
    two = "accounts: {main: {api_token: planted-token}, other: {api_token: x}}\n"
    new = read(two + "zones: [{name: example.com, account: main}]")
    assert lines(read(ONE_ZONE), new) == ["accounts.other: absent → present"]


def test_zones_that_follow_the_global_policy_do_not_repeat_its_change(read: Read) -> None:
    zones = ACCOUNTS + "zones: [{name: a.example}, {name: b.example, restart: {max_attempts: 3}}]\n"
    assert lines(read(zones), read(zones + "restart: {max_attempts: 5}")) == ["restart.max_attempts: 8 → 5"]


def test_a_zones_own_change_is_listed_under_its_label(read: Read) -> None:
    new = read(ACCOUNTS + f"zones: [{{name: example.com, id: {ZONE_ID}, restart: {{backoff: {{initial: 1h}}}}}}]")
    assert lines(read(ONE_ZONE), new) == [
        f"zones[example.com].id: absent → {ZONE_ID}",
        "zones[example.com].restart.backoff.initial: 15m → 1h",
    ]


def test_a_label_that_two_accounts_share_is_told_apart(read: Read) -> None:
    two = "accounts: {a: {api_token: x}, b: {api_token: y}}\n"
    old = read(two + "zones: [{name: x.example, account: a}]")
    new = read(two + "zones: [{name: x.example, account: a}, {name: x.example, account: b}]")
    assert lines(old, new) == ["zones[b/x.example]: absent → present"]


def test_the_order_of_packs_is_no_change(read: Read) -> None:
    first, second = "3822ff90-ea29-44df-9e55-21300bb9419b", "4822ff90-ea29-44df-9e55-21300bb9419b"
    zone = ACCOUNTS.replace("{", "{{").replace("}", "}}") + "zones: [{{name: example.com, packs: [{}, {}]}}]"
    assert lines(read(zone.format(first, second)), read(zone.format(second, first))) == []


def test_only_the_state_the_listener_and_the_server_need_a_restart(read: Read) -> None:
    new = read(
        ONE_ZONE
        + "state: {url: 'sqlite:///x.db'}\nweb: {listen: ''}\nlog: {level: debug}\napi: {timeout: 1s, base_url: 'http://127.0.0.1:1'}"
    )
    assert sorted(needs_restart(read(ONE_ZONE), new)) == ["api.base_url", "state.url", "web.listen"]
    assert needs_restart(new, new) == []
