import json
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from watchdog.config import contents
from watchdog.config.load import ConfigError, load
from watchdog.config.schema import AccountConfig, Config, Schedule
from watchdog.config.secrets import Secret
from watchdog.model.packs import ZoneRef

Read = Callable[..., Config]
Refused = Callable[..., list[str]]
ACCOUNTS = "accounts: {main: {api_token: planted-token}}\n"
ONE_ZONE = ACCOUNTS + "zones: [{name: example.com}]\n"
ZONE_ID = "023e105f4ecef8ad9ca31a8372d0c353"
PACK_ID = "3822ff90-ea29-44df-9e55-21300bb9419b"


def token(account: AccountConfig) -> str:
    assert account.api_token is not None
    return account.api_token.get_secret_value()


def test_accounts_and_one_zone_are_enough_and_the_rest_has_the_promised_defaults(read: Read) -> None:
    config = read(ONE_ZONE)
    assert config.schedule.interval == timedelta(minutes=15)
    assert config.schedule.attention_interval == timedelta(minutes=1)
    assert config.restart.enabled is True
    assert config.restart.backoff.initial == timedelta(minutes=15)
    assert config.restart.backoff.factor == 2.0
    assert config.restart.backoff.max == timedelta(hours=24)
    assert config.restart.backoff.jitter == 0.1
    assert config.restart.max_attempts == 8
    assert config.restart.max_per_hour == 60
    assert config.web.listen == "127.0.0.1:9909"
    assert str(config.state.url) == "sqlite:////var/lib/certpack-watchdog/state.db"
    assert config.metrics.per_pack == "all"
    assert (config.log.level, config.log.format) == ("info", "auto")
    assert config.api.base_url == "https://api.cloudflare.com/client/v4"
    assert config.api.timeout == timedelta(seconds=30)
    limit = config.accounts["main"].rate_limit
    assert (limit.requests, limit.per, limit.share) == (1200, timedelta(minutes=5), 0.5)
    assert config.accounts["main"].discover is None


def test_discovery_alone_is_enough_and_an_empty_one_takes_every_zone(read: Read) -> None:
    discover = read("accounts: {main: {api_token: t, discover: {}}}").accounts["main"].discover
    assert discover is not None
    assert (discover.include, discover.exclude) == (("*",), ())


def test_a_top_level_block_whose_keys_are_commented_out_counts_as_left_out(read: Read) -> None:
    assert read(ONE_ZONE + "schedule:\n  # interval: 5m\nrestart:\n") == read(ONE_ZONE)


def test_zones_become_zone_refs_with_label_account_and_pack_keys(read: Read) -> None:
    config = read(
        "accounts: {main: {api_token: a}, other: {api_token: b}}\n"
        f"zones: [{{name: example.com, account: main}}, {{id: {ZONE_ID}, account: other, packs: [{PACK_ID.upper()}]}}]"
    )
    assert config.zone_refs() == [
        ZoneRef("main", "example.com"),
        ZoneRef("other", ZONE_ID, ZONE_ID, frozenset({PACK_ID.replace("-", "")})),
    ]


def test_with_one_account_a_zone_need_not_name_it(read: Read) -> None:
    assert read(ONE_ZONE).zones[0].account == "main"


def test_the_same_label_may_stand_in_two_accounts(read: Read) -> None:
    two = "accounts: {a: {api_token: x}, b: {api_token: y}}\n"
    assert len(read(two + "zones: [{name: x.example, account: a}, {name: x.example, account: b}]").zones) == 2


def test_a_zones_restart_keys_lie_over_the_global_ones_inside_backoff_too(read: Read) -> None:
    config = read(
        ACCOUNTS + "restart: {max_attempts: 5, backoff: {initial: 1h, factor: 3}}\n"
        "zones: [{name: a.example, restart: {enabled: false, backoff: {initial: 2h}}}, {name: b.example}]"
    )
    policy = config.zones[0].restart
    assert (policy.enabled, policy.max_attempts) == (False, 5)
    assert (policy.backoff.initial, policy.backoff.factor) == (timedelta(hours=2), 3.0)
    assert config.zones[1].restart == config.restart


def test_a_zones_backoff_is_judged_together_with_the_global_one(read: Read) -> None:
    zone = "zones: [{name: a.example, restart: {backoff: {initial: 48h}}}]\n"
    assert read(ACCOUNTS + "restart: {backoff: {max: 72h}}\n" + zone).zones[0].restart.backoff.max == timedelta(days=3)


def test_variables_are_filled_in_once_and_two_dollars_are_one(read: Read) -> None:
    config = read(
        "accounts: {main: {api_token: '${TOKEN}$$x'}}\nzones: [{name: '${SUB}.example.com', packs: '${PACKS}'}]\n"
        "schedule: {interval: '${EVERY}'}",
        TOKEN="a${SUB}$b",
        SUB="www",
        PACKS="all",
        EVERY="5m",
    )
    assert token(config.accounts["main"]) == "a${SUB}$b$x"
    assert config.zones[0].name == "www.example.com"
    assert config.schedule.interval == timedelta(minutes=5)


@pytest.mark.parametrize(("environ", "name"), [({}, "www"), ({"SUB": ""}, "www"), ({"SUB": "api"}, "api")])
def test_a_default_stands_in_for_a_variable_that_is_not_set_or_empty(
    read: Read, environ: dict[str, str], name: str
) -> None:
    config = read(ACCOUNTS + "zones: [{name: '${SUB:-www}.example.com'}]", **environ)
    assert config.zones[0].name == f"{name}.example.com"


def test_numbers_and_switches_may_come_from_variables(read: Read) -> None:
    config = read(
        ONE_ZONE + "restart: {enabled: '${ON}', max_attempts: '${MOST}', backoff: {factor: '${FACTOR:-1.5}'}}",
        ON="false",
        MOST="3",
    )
    assert (config.restart.enabled, config.restart.max_attempts, config.restart.backoff.factor) == (False, 3, 1.5)


def test_a_variable_that_holds_no_number_is_refused_without_showing_what_it_holds(refused: Refused) -> None:
    assert refused(ONE_ZONE + "restart: {max_attempts: '${MOST}'}", MOST="planted") == [
        "config.yaml:3: restart.max_attempts: must be a whole number, not `${MOST}`"
    ]


def test_a_number_in_quotes_is_still_no_number(refused: Refused) -> None:
    assert len(refused(ONE_ZONE + "restart: {max_attempts: '3'}")) == 1


def test_nothing_of_a_variable_stays_behind_in_the_values(read: Read) -> None:
    config = read(ACCOUNTS + "zones: [{name: '${NAME}'}]\nlog: {level: '${LEVEL}'}", NAME="a.example", LEVEL="debug")
    assert (type(config.zones[0].name), type(config.log.level)) == (str, str)


def test_a_variable_that_is_not_set_is_named(refused: Refused) -> None:
    assert refused(ONE_ZONE.replace("planted-token", '"${NOT_SET}"')) == [
        "config.yaml:1: accounts.main.api_token: the environment has no variable NOT_SET"
    ]


@pytest.mark.parametrize("content", ["secret", "  secret\r\n", "\ufeffsecret\n"])
def test_a_secret_file_is_read_without_the_white_space_around_it(read: Read, tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content)
    (tmp_path / "key").write_text(content)
    config = read(
        "accounts: {a: {api_token_file: '${DIR}/token'}, b: {api_email: me@example.com, api_key_file: key}}\n"
        "zones: [{name: example.com, account: a}]",
        DIR=str(tmp_path),
    )
    assert token(config.accounts["a"]) == "secret"
    key = config.accounts["b"].api_key
    assert key is not None
    assert key.get_secret_value() == "secret"


def test_a_secret_of_a_file_can_be_read_again(read: Read, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first")
    secret = read("accounts: {main: {api_token_file: token}}\nzones: [{name: example.com}]").accounts["main"].api_token
    (tmp_path / "token").write_text("second\n")
    assert secret is not None
    assert (secret.get_secret_value(), secret.reread()) == ("first", "second")


def test_a_secret_that_can_be_read_no_more_says_so_in_a_sentence(read: Read, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first")
    secret = read("accounts: {main: {api_token_file: token}}\nzones: [{name: example.com}]").accounts["main"].api_token
    (tmp_path / "token").unlink()
    assert secret is not None
    with pytest.raises(ValueError, match=r"^cannot be read: No such file or directory$"):
        secret.reread()


def test_an_oversized_secret_file_is_refused(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x" * 20_000)
    assert refused("accounts: {main: {api_token_file: token}}\nzones: [{name: example.com}]") == [
        "config.yaml:1: accounts.main.api_token_file: the file is too large to be a credential"
    ]


def test_a_pipe_to_which_nobody_writes_is_no_secret(refused: Refused, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(contents, "PATIENCE", 0.0)
    os.mkfifo(tmp_path / "token")
    [said] = refused("accounts: {main: {api_token_file: token}}\nzones: [{name: example.com}]")
    assert said.endswith(": the file cannot be read: it is a pipe, and nothing came for 0 s: name a file")


def test_a_device_is_no_secret(refused: Refused) -> None:
    assert refused("accounts: {main: {api_token_file: /dev/zero}}\nzones: [{name: example.com}]") == [
        "config.yaml:1: accounts.main.api_token_file: /dev/zero cannot be read: it is a device: name a file"
    ]


def test_a_path_that_no_file_can_have_is_refused(refused: Refused) -> None:
    assert refused('accounts: {main: {api_token_file: "a\\0b"}}\nzones: [{name: example.com}]') == [
        "config.yaml:1: accounts.main.api_token_file: the file cannot be read: not a possible file name"
    ]


def test_a_configuration_can_be_made_without_a_file_but_not_with_impossible_values() -> None:
    account = AccountConfig(api_token=Secret("planted"))
    config = Config(
        accounts={"demo": account},
        schedule=Schedule(interval=timedelta(seconds=2), attention_interval=timedelta(seconds=0.5)),
    )
    assert config.schedule.attention_interval == timedelta(milliseconds=500)
    with pytest.raises(ValidationError):
        Schedule(interval=timedelta(0))


def test_the_promised_example_of_the_documentation_is_accepted(read: Read, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("planted\n")
    config = read(
        """
accounts:
  main:
    api_token_file: token
    rate_limit: {requests: 1200, per: 5m, share: 0.5}
    discover:
      include: ["*"]
      exclude: ["*.test"]
zones:
  - name: example.com
    id: 023e105f4ecef8ad9ca31a8372d0c353
    account: main
    packs: all
    restart: {enabled: true}
schedule:
  interval: 15m
  attention_interval: 1m
restart:
  enabled: true
  backoff: {initial: 15m, factor: 2.0, max: 24h, jitter: 0.1}
  max_attempts: 8
  max_per_hour: 60
web:
  listen: 127.0.0.1:9909
state:
  url: sqlite:////var/lib/certpack-watchdog/state.db
metrics: {per_pack: all}
log: {level: info, format: auto}
api: {base_url: https://api.cloudflare.com/client/v4, timeout: 30s}
"""
    )
    assert config.zone_refs() == [ZoneRef("main", "example.com", ZONE_ID)]


def test_no_view_of_the_configuration_shows_a_credential(read: Read) -> None:
    config = read(ONE_ZONE)
    assert "planted" not in f"{config!r} {config} {config.model_dump()!r} {config.model_dump_json()}"


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / name, {})
    assert len(caught.value.problems) == 1
    assert "cannot be read: " in str(caught.value)


@pytest.mark.parametrize("listen", ["127.0.0.1:9909", "[::1]:9909", "0.0.0.0:80", "localhost:0", "127.0.0.1:65535", ""])
def test_the_listener_takes_a_host_and_a_port_or_nothing(read: Read, listen: str) -> None:
    assert read(ONE_ZONE + f"web: {{listen: '{listen}'}}").web.listen == listen


@pytest.mark.parametrize(
    "listen",
    ["9909", "localhost", "127.0.0.1:65536", "'::1:80'", "'[::1'", "'[x]:80'", "'a b:80'", "'http://x:80'", "'x:'"],
)
def test_anything_else_is_no_listener(refused: Refused, listen: str) -> None:
    [line] = refused(ONE_ZONE + f"web: {{listen: {listen}}}")
    assert line.startswith("config.yaml:3: web.listen: ")


@pytest.mark.parametrize(
    "url", ["https://api.example/v4/", "http://127.0.0.1:8080", "http://localhost:1", "'http://[::1]:1/x'"]
)
def test_the_api_is_reached_over_https_or_on_loopback(read: Read, url: str) -> None:
    assert read(ONE_ZONE + f"api: {{base_url: {url}}}").api.base_url == url.strip("'").rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example",
        "http://127.0.0.1.example",
        "https://u:p@api.example",
        "https://@api.example",
        "https://api.example?x",
        "'https://api.example/#x'",
        "ftp://localhost",
        "api.example",
        "''",
        "'https://'",
        "'https://[::1'",
        "https://x:99999",
        "https://api..example",
        f"https://{'a' * 64}.example",
        "'https://a\tb'",
        "https://bücher.example",
    ],
)
def test_any_other_api_url_is_refused(refused: Refused, url: str) -> None:
    [line] = refused(ONE_ZONE + f"api: {{base_url: {url}}}")
    assert line.startswith("config.yaml:3: api.base_url: ")


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///state.db",
        "sqlite:////var/lib/state.db",
        "postgresql://h/d",
        "postgresql://u@h1:5432,h2/d?schema=certs_2&sslmode=verify-full",
    ],
)
def test_the_state_is_a_file_or_a_database(read: Read, url: str) -> None:
    assert read(ONE_ZONE + f"state: {{url: '{url}'}}").state.url.get_secret_value() == url


def test_the_password_of_the_state_is_read_from_a_file_and_never_shown(read: Read, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://u:s3cret@h/d?sslpassword=t0o\n")
    state = read(ONE_ZONE + f"state: {{url_file: {tmp_path}/url}}").state
    assert state.url.get_secret_value() == "postgresql://u:s3cret@h/d?sslpassword=t0o"
    assert str(state.url) == "postgresql://u:***@h/d?sslpassword=***"
    assert "s3cret" not in repr(state)


def test_who_needs_no_credential_is_told_where_the_state_is_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(ONE_ZONE + "state: {url: 'postgresql://u:${PASSWORD}@h/d'}")
    config = load(tmp_path / "config.yaml", {"PASSWORD": "s3cret"}, with_secrets=False)
    assert config.state.url.get_secret_value() == "postgresql://u:s3cret@h/d"


@pytest.mark.parametrize("lease", ["1.9s", "11m"])
def test_a_lease_is_neither_short_nor_long(refused: Refused, lease: str) -> None:
    [line] = refused(ONE_ZONE + f"state: {{url: 'postgresql://h/d'}}\nreplica: {{lease: {lease}}}")
    assert line == "config.yaml:4: replica: lease must be at least 2s and at most 10m"


def test_there_are_no_replicas_on_sqlite(refused: Refused) -> None:
    [line] = refused(ONE_ZONE + "replica: {name: a}")
    assert "needs a state.url of PostgreSQL" in line


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:////",
        "sqlite:///:memory:",
        "sqlite:///a?mode=ro",
        "postgresql://h/d#x",
        "postgresql://u:s3cret%word@h/d",
        "postgresql://h/d?schema=Certs",
        "mysql://h/d",
        "state.db",
    ],
)
def test_anything_else_is_no_state(refused: Refused, url: str) -> None:
    [line] = refused(ONE_ZONE + f"state: {{url: '{url}'}}")
    assert line.startswith("config.yaml:3: state.url: ")


@pytest.mark.parametrize(
    ("setting", "accepted", "rejected"),
    [
        ("restart: {{max_attempts: {}}}", ["1", "100"], ["0", "101", "1.5", "true"]),
        ("restart: {{max_per_hour: {}}}", ["1"], ["0", "-1"]),
        ("restart: {{backoff: {{factor: {}}}}}", ["1", "1.0", "100"], ["0.99", "101", "1e999", ".nan", "true"]),
        ("restart: {{backoff: {{jitter: {}}}}}", ["0", "1"], ["-0.1", "1.01"]),
        ("restart: {{backoff: {{initial: {}}}}}", ["24h"], ["24.1h"]),
        ("schedule: {{attention_interval: {}}}", ["15m"], ["15.1m"]),
    ],
)
def test_bounds_are_where_they_are_said_to_be(
    read: Read, refused: Refused, setting: str, accepted: list[str], rejected: list[str]
) -> None:
    for value in accepted:
        read(ONE_ZONE + setting.format(value))
    for value in rejected:
        assert len(refused(ONE_ZONE + setting.format(value))) == 1


@pytest.mark.repeats
def test_five_thousand_zones_load_in_well_under_a_second(read: Read) -> None:
    zones = "".join(
        f'  - name: zone{n}.example\n    id: "{n:032x}"\n    account: main\n'
        "    packs: all\n    restart: {max_attempts: 3}\n"
        for n in range(5000)
    )
    before = time.process_time()
    assert len(read(ACCOUNTS + "zones:\n" + zones).zones) == 5000
    assert time.process_time() - before < 2.0  # a third of it on an idle machine


WORDS = st.sampled_from(
    [
        *("accounts", "zones", "restart", "backoff", "schedule", "interval", "name", "id", "packs", "account", "main"),
        *("api_token", "api_token_file", "discover", "include", "rate_limit", "per", "15m", "15", "true", "~", "all"),
        *(
            "'*'",
            "*",
            "${X}",
            "${SET}",
            "$",
            "[",
            "]",
            "{",
            "}",
            ": ",
            ", ",
            "- ",
            "\n",
            "\n  ",
            "\n    ",
            "&a ",
            "*a",
            '"',
        ),
    ]
)


@given(content=st.lists(WORDS, max_size=40).map("".join).map(str.encode) | st.binary(max_size=100))
def test_no_content_does_worse_than_a_config_error(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    try:
        load(path, {"SET": "planted"})
    except ConfigError as error:
        assert "planted" not in f"{error}{error!r}"  # noqa: PT017  both outcomes are fine


BLOCKS = ["accounts", "zones", "schedule", "restart", "web", "state", "metrics", "log", "api"]
KEYS = [
    *("main", "api_token", "api_email", "api_key", "api_token_file", "name", "id", "packs", "account"),
    *("restart", "backoff", "initial", "max", "jitter", "enabled", "discover", "include", "listen"),
]
ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["15m", "all", "", "main", "${X}", PACK_ID, "\ud7ff"]),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            below,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(data=st.dictionaries(st.sampled_from(BLOCKS), ANY, min_size=1))
def test_no_data_does_worse_than_a_config_error(
    data: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "shaped.yaml"
    path.write_text(json.dumps(data))
    try:
        load(path, {})
    except ConfigError as error:
        assert error.problems  # noqa: PT017  both outcomes are fine


def test_a_zone_may_be_named_with_a_final_dot(read: Read) -> None:
    assert read(ACCOUNTS + "zones: [{name: MÜNCHEN.example.}]").zones[0].label == "MÜNCHEN.example."


def test_a_pack_that_has_branding_may_be_named_with_or_without_the_host_that_it_adds(read: Read) -> None:
    zones = "zones: [{name: a.example, packs: [{hosts: [a.example, sni.cloudflaressl.com]}]}]"
    (zone,) = read(f"{ACCOUNTS}\n{zones}").zone_refs()
    assert zone.hosts == frozenset({("a.example",)})


def test_a_pack_may_be_named_by_its_hosts_in_any_form_and_order(read: Read) -> None:
    zones = 'zones: [{name: a.example, packs: [{hosts: ["*.A.example.", MÜNCHEN.example]}]}]'
    (zone,) = read(f"{ACCOUNTS}\n{zones}").zone_refs()
    assert (zone.packs, zone.hosts) == (frozenset(), frozenset({("*.a.example", "xn--mnchen-3ya.example")}))
