"""A secret in the configuration, in every place and spelling, right and wrong: no complaint repeats any of it."""

import json

import pytest
import yaml

from tests.harness.canaries import CANARIES, PLANTED, SIGNING, TOKEN, leaks, reprs, secret_fields
from watchdog.config import reading
from watchdog.config.changes import changes
from watchdog.config.json_schema import json_schema
from watchdog.config.load import ConfigError, load

KEYS = sorted(key for _, key in PLANTED)


def configuration(**planted):
    """A whole configuration with a canary wherever a secret can be; ``planted`` by key are others in their place."""
    values = {key: planted.get(key, value) for (_, key), value in PLANTED.items()}
    accounts = {
        "main": {"api_token": values["api_token"]},
        "old": {"api_email": "ops@example.com", "api_key": values["api_key"]},
    }
    destinations = [
        {"name": "service", "url": values["url"]},
        {"name": "am", "alertmanager": values["alertmanager"]},
        {"name": "hook", "webhook": values["webhook"], "secret": values["secret"]},
        {"name": "pager", "pagerduty": values["pagerduty"], "pagerduty_url": "http://localhost:1"},
    ]
    return {
        "accounts": accounts,
        "zones": [{"name": "a.example", "account": "main"}],
        "alerts": {"heartbeat_url": values["heartbeat_url"], "destinations": destinations},
    }


def block_of(data, key):
    """The block of the configuration that holds this secret."""
    for block in (*data["accounts"].values(), data["alerts"], *data["alerts"]["destinations"]):
        if key in block:
            return block
    raise AssertionError(key)


@pytest.fixture
def read(tmp_path):
    """``read(data, **environ)``: as ``check-config`` does."""

    def once(data, name="config.yaml", **environ):
        path = tmp_path / name
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        return load(path, environ)

    return once


def shown_by(error):
    return {"sentences": str(error), "repr": repr(error) + repr(error.problems), "core": reprs(error)}


def test_every_secret_of_the_schema_has_a_canary_and_may_be_in_a_file():
    fields = set(secret_fields())
    assert set(PLANTED) == fields
    keys = {(name, key) for name, block in json_schema()["$defs"].items() for key in block["properties"]}
    assert {(name, key) for name, key in keys if (name, f"{key}_file") in keys} == fields | {("State", "url")}


def test_no_two_canaries_and_no_two_ends_of_them_are_the_same():
    ends = [end for value in CANARIES.values() for end in (value[:8], value[-8:])]
    assert len(set(ends)) == len(ends) == 2 * len(CANARIES)
    for value in CANARIES.values():
        for spelling in (value, value[:8], json.dumps(value), value.encode().hex()):
            assert leaks(text=f"x{spelling}y")


@pytest.mark.parametrize("spelling", ["inline", "environment", "file"])
def test_a_configuration_shows_no_secret_however_it_was_given(read, tmp_path, spelling):
    data, environ = configuration(), {}
    for key in KEYS:
        block = block_of(data, key)
        if spelling == "environment":
            environ[key.upper()], block[key] = block[key], f"${{{key.upper()}}}"
        elif spelling == "file":
            (tmp_path / key).write_text(f"{block.pop(key)}\n")
            block[f"{key}_file"] = key
    config = read(data, **environ)
    assert config.accounts["main"].api_token.get_secret_value() == TOKEN
    other = read(configuration(api_token="another-token", url="ntfy://another"), name="other.yaml")
    assert (
        leaks(
            core=reprs(config),
            dumped=repr(config.model_dump()) + config.model_dump_json(),
            changed=repr([str(change) for change in changes(config, other)]),
            back=repr([str(change) for change in changes(other, config)]),
        )
        == set()
    )


WRONG = {
    "in a list": lambda value: [value],
    "as a key": lambda value: {value: value},
    "in a block": lambda value: {"value": value},
    "with a line break": lambda value: f"{value}\nx-injected: yes",
    "with a return": lambda value: f"{value}\r\nx-injected: yes",
    "with letters beyond ASCII": lambda value: f"{value[:20]}ü\x7f{value[20:]}",
    "with spaces": lambda value: f" {value} {value}",
    "with a dollar": lambda value: f"$x{value}",
    "with an unknown variable": lambda value: f"{value}${{NO_SUCH_VARIABLE}}",
    "with a NUL": lambda value: f"{value}\0",
    "a URL without a host": lambda value: f"https://{value.partition('@')[0]}:@/",
    "a URL with a port that is none": lambda value: f"https://{value.rpartition('/')[2]}@h:{value[-8:]}/",
    "a scheme of its own": lambda value: f"{value.partition('://')[2] or value}://x y",
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("key", KEYS)
def test_a_wrong_secret_is_refused_without_being_repeated(read, key, wrong):
    data = configuration()
    place = block_of(data, key)
    place[key] = WRONG[wrong](place[key])
    try:
        shown = {"read": reprs(read(data))}
    except ConfigError as error:
        shown = shown_by(error)
    assert leaks(**shown) == set()


MISPLACED = {
    "its path": lambda key, value: {f"{key}_file": value},
    "its path, absolute": lambda key, value: {f"{key}_file": f"/{value}"},
    "both": lambda key, value: {key: value, f"{key}_file": value},
    "a misspelt key": lambda key, value: {key.replace("_", "-") + "s": value},
    "a key": lambda key, value: {value: key},
    "a key with its value": lambda key, value: {f"{key}:{value}": None},
}


@pytest.mark.parametrize("how", MISPLACED)
@pytest.mark.parametrize("key", KEYS)
def test_a_secret_in_the_wrong_place_is_refused_without_being_repeated(read, key, how):
    data = configuration()
    place = block_of(data, key)
    place.update(MISPLACED[how](key, place.pop(key)))
    with pytest.raises(ConfigError) as refused:
        read(data)
    assert leaks(**shown_by(refused.value)) == set()


FILES = {
    "with a line break inside": f"{TOKEN}\n{TOKEN}\n".encode(),
    "with letters beyond ASCII": f"{TOKEN}\u00fc".encode(),
    "in another encoding": f"{TOKEN}\u00fc".encode("latin-1"),
    "in UTF-16": TOKEN.encode("utf-16"),
    "with a header": f"{TOKEN}\r\nx-injected: 1".encode(),
    "too large": TOKEN.encode() * 1000,
    "as an assignment": f"API_TOKEN={TOKEN} # the token".encode(),
}


@pytest.mark.parametrize("how", FILES)
def test_a_file_that_holds_no_credential_is_refused_without_what_it_holds(read, tmp_path, how):
    (tmp_path / "token").write_bytes(FILES[how])
    data = configuration()
    data["accounts"]["main"] = {"api_token_file": "token"}
    with pytest.raises(ConfigError) as refused:
        read(data)
    assert leaks(**shown_by(refused.value)) == set()


@pytest.mark.parametrize(
    "text",
    [
        f"accounts: {{main: {{api_token: {TOKEN}\nzones: [",
        f"accounts: {{main: {{api_token:{TOKEN}}}}}\nzones: [{{name: a.example}}]\n",
        f"accounts: {{main: {{api_token: !{TOKEN} x}}}}\n",
        f"accounts: {{main: {{api_token: *{TOKEN}}}}}\n",
        f"accounts: {{main: &{TOKEN} {{api_token: x}}, other: *{TOKEN}x}}\n",
        f"accounts: {{{TOKEN}: {{api_token: '{TOKEN}', api_token: '{TOKEN}'}}}}\n",
        f"{TOKEN}\n",
        f"- {TOKEN}\n",
        f"accounts: {TOKEN}\n",
        f"accounts: {{main: {TOKEN}}}\n",
        f"accounts: [{TOKEN}]\nzones: {TOKEN}\n",
        f'accounts: {{main: {{api_token: "{TOKEN}\\q"}}}}\n',
        f"accounts: {{main: {{api_token: '{TOKEN}\t\n",
        f"<<: {{{TOKEN}: 1}}\n",
        f"? [{TOKEN}]\n: x\n",
        f"alerts: {{destinations: [{{name: '{SIGNING}/', webhook: [{SIGNING}], secret: {{a: {SIGNING}}}}}]}}\n",
        f"alerts: {{destinations: {SIGNING}, heartbeat_url: [{SIGNING}]}}\n",
        f"alerts: {SIGNING}\n",
        f"restart: {{enabled: {TOKEN}}}\nschedule: {{interval: {TOKEN}}}\nlog: {{level: {TOKEN}}}\n",
        f"diagnosis: {{resolvers: [{TOKEN}]}}\nweb: {{listen: {TOKEN}}}\nstate: {{url: {TOKEN}}}\n",
        f"api: {{base_url: 'https://user:{TOKEN}@api.example/'}}\n",
        f"zones: [{{name: {TOKEN}, id: {TOKEN}, account: {TOKEN}, packs: [{TOKEN}]}}]\n",
    ],
)  # fmt: skip
def test_a_file_that_is_not_a_configuration_is_refused_without_what_it_holds(read, text):
    with pytest.raises(ConfigError) as refused:
        read(text)
    assert leaks(**shown_by(refused.value)) == set()


def test_a_yaml_without_its_part_in_c_keeps_nothing_of_a_file_that_it_cannot_read(read, monkeypatch):
    monkeypatch.setattr(reading, "PARSER", yaml.SafeLoader)
    with pytest.raises(ConfigError) as refused:
        read(f'accounts: {{main: {{api_token: "{TOKEN}\\q"}}}}\n')
    assert leaks(**shown_by(refused.value)) == set()


def test_the_schema_knows_no_secret(read):
    read(configuration())
    assert leaks(schema=json.dumps(json_schema())) == set()
