"""What is said of a credential that others can read: by the check and the pass here, by a reload in tests/daemon."""

import json

from watchdog.simulator.scenario import Scenario

FLEET = Scenario.model_validate(
    {"tokens": [{"name": "main", "value": "simulated-token"}], "zones": [{"name": "a.example"}]}
)


def exposed(tmp_path):
    (tmp_path / "token").write_text("simulated-token")
    (tmp_path / "token").chmod(0o644)
    return {"api_token_file": "token"}


def test_a_check_warns_on_stderr_and_is_fine(command, configure, tmp_path):
    config = configure("http://127.0.0.1:1/client/v4", zones=[{"name": "a.example"}], account=exposed(tmp_path))
    done = command("check-config", "-c", config)
    assert done.code == 0
    path = f"{tmp_path}/token"
    assert done.err == f"warning: {path}: holds a credential and others can read it (mode 0644): chmod 600 {path}\n"
    (tmp_path / "token").chmod(0o600)
    assert command("check-config", "-c", config).err == ""


def test_a_pass_logs_it_once(command, cloudflare, configure, tmp_path):
    config = configure(cloudflare(FLEET), account=exposed(tmp_path))
    done = command("once", "-c", config)
    [line] = [line for line in done.lines if line["event"] == "credential_exposed"]
    told = {name: line[name] for name in ("level", "file", "mode", "remedy")}
    path = f"{tmp_path}/token"
    assert told == {"level": "warning", "file": path, "mode": "0644", "remedy": f"chmod 600 {path}"}
    assert "simulated-token" not in done.out + done.err


def test_what_only_looks_at_the_memory_warns_of_nothing(command, configure, tmp_path):
    config = configure("http://127.0.0.1:1/client/v4", zones=[{"name": "a.example"}], account=exposed(tmp_path))
    assert "credential" not in command("status", "-c", config).err


def test_a_check_warns_of_an_entry_of_no_proxy_that_means_nothing(command, configure, monkeypatch):
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "localhost,[::1,fd00::/8")
    config = configure("http://127.0.0.1:1/client/v4", zones=[{"name": "a.example"}])
    done = command("check-config", "-c", config)
    said = "warning: the environment's NO_PROXY names no host or network with [::1, which is ignored\n"
    assert (done.code, done.err) == (0, said)


def test_a_check_warns_that_ids_do_not_last_and_not_of_hosts(command, configure):
    def warned(packs):
        config = configure("http://127.0.0.1:1/client/v4", zones=[{"name": "a.example", "packs": packs}])
        done = command("check-config", "-c", config)
        assert done.code == 0
        return done.err

    assert warned([{"hosts": ["a.example"]}]) == warned("all") == ""
    assert warned(["3822ff90-ea29-44df-9e55-21300bb9419b"]).startswith("warning: zone a.example: pack ids do not last")


def test_a_check_warns_of_accounts_that_share_one_allowance(command, tmp_path):
    def warned(**accounts):
        path = tmp_path / "accounts.yaml"
        path.touch(mode=0o600)
        path.write_text(json.dumps({"accounts": accounts, "zones": [{"name": "a.example", "account": "a"}]}))
        done = command("check-config", "-c", path)
        assert done.code == 0
        return done.err

    token, other = {"api_token": "one-and-the-same"}, {"api_token": "another-one"}
    key = {"api_email": "a@example.com", "api_key": "f" * 37}
    assert warned(a=token, b=other, c=key) == ""
    said = "are of one user, whose allowance is one: together they may take 100 % of it (rate_limit.share)"
    assert warned(a=token, b=other, c=token) == f"warning: accounts a and c {said}\n"
    assert warned(a=key, b={**key, "api_email": "A@Example.com"}) == f"warning: accounts a and b {said}\n"


NOWHERE = {"api_token_file": "/nowhere/at/all"}


def test_a_check_without_secrets_reads_none(command, configure):
    config = configure("http://127.0.0.1:1/client/v4", zones=[{"name": "a.example"}], account=NOWHERE)
    assert "/nowhere/at/all cannot be read" in command("check-config", "-c", config).failed(78)
    assert command("check-config", "--without-secrets", "-c", config).code == 0


def test_a_check_without_secrets_still_finds_what_is_wrong(command, configure):
    config = configure("http://127.0.0.1:1/client/v4", zones=[], account=NOWHERE)
    said = command("check-config", "--without-secrets", "-c", config).failed(78)
    assert said == f"{config}:3: zones: nothing is watched; list zones, or add `discover: {{}}` to an account"


def test_a_check_online_wants_the_secrets(command):
    assert "--online needs the secrets" in command("check-config", "--online", "--without-secrets").failed(2)
