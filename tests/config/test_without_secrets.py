"""Claims about a configuration for those who only read the state: no secret is looked for, and all else is held to."""

import pytest

from watchdog.config.load import ConfigError, load

ACCOUNT = "accounts: {main: {api_token_file: '${CREDENTIALS_DIRECTORY}/token'}}\n"
ZONES = "zones: [{name: example.com}]\n"


@pytest.fixture
def loaded(tmp_path):
    def read(text, warn=lambda _: None):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return load(path, {}, warn, with_secrets=False)

    return read


@pytest.mark.parametrize(
    "account",
    [
        "{api_token_file: '${CREDENTIALS_DIRECTORY}/token'}",
        "{api_token_file: /nowhere/at/all}",
        "{api_token: '${TOKEN}'}",
        "{api_email: ops@example.com, api_key_file: /nowhere/at/all}",
    ],
)
def test_a_credential_that_cannot_be_read_here_is_no_fault(loaded, account):
    assert [*loaded(f"accounts: {{main: {account}}}\n{ZONES}").accounts] == ["main"]


def test_destinations_whose_secrets_are_elsewhere_are_no_fault(loaded):
    destinations = "[{name: a, url_file: /nowhere}, {name: b, webhook: '${HOOK}', secret_file: /nowhere}]"
    more = f"alerts: {{heartbeat_url: '${{URL}}', destinations: {destinations}}}\n"
    assert len(loaded(ACCOUNT + ZONES + more).alerts.destinations) == 2


def test_a_secret_that_was_not_read_is_never_taken_for_one(loaded):
    token = loaded(ACCOUNT + ZONES).accounts["main"].api_token
    with pytest.raises(LookupError):
        token.get_secret_value()


def test_an_account_without_any_credential_is_still_refused(loaded):
    with pytest.raises(ConfigError, match="has no credentials"):
        loaded("accounts: {main: {}}\n" + ZONES)


def test_whatever_is_no_secret_is_still_checked(loaded):
    with pytest.raises(ConfigError, match="the environment has no variable FOLDER"):
        loaded(ACCOUNT + ZONES + "state: {url: 'sqlite:///${FOLDER}/state.db'}\n")


def test_nobody_is_warned_of_a_secret_that_was_not_read(loaded):
    warned = []
    loaded("accounts: {main: {api_token: planted}}\n" + ZONES, warn=warned.append)
    assert warned == []
