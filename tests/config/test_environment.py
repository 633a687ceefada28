"""Claims about the way out as the environment has it: what cannot be used is said at once, and no proxy is repeated."""

import pytest

from watchdog.config.environment import check_environment

USER = "planted-user:planted-password@"


@pytest.mark.parametrize(
    "text",
    ["", "http://proxy:3128", f"http://{USER}proxy.example:3128/", "proxy:3128", f"{USER}proxy", "HTTPS://p", "http://[::1]:1"],
)  # fmt: skip
def test_a_proxy_that_speaks_http_is_fine(text):
    assert list(check_environment({"https_proxy": text, "no_proxy": "ftp://x", "PATH": "ftp://x"})) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"ftp://{USER}proxy", "must be an HTTP proxy"),
        (f"socks5://{USER}proxy:1080", "must be an HTTP proxy"),
        (f"http://{USER}proxy:x", "is no URL"),
        (f"http://{USER}proxy:99999", "is no URL"),
        (f"http://{USER}[::", "is no URL"),
        (f"http://{USER}proxy..example:3128", "is no URL"),
        (f"http://{USER}{'p' * 64}.example", "is no URL"),
        (f"http://{USER}", "names no host"),
        ("http://", "names no host"),
    ],
)
@pytest.mark.parametrize("name", ["https_proxy", "HTTP_PROXY", "All_Proxy"])
def test_any_other_is_refused_in_a_sentence_that_repeats_nothing_of_it(name, text, said):
    [sentence] = check_environment({name: text})
    assert sentence.startswith(f"the environment's {name} {said}")
    assert "planted" not in sentence


def test_each_is_told():
    assert len(list(check_environment({"http_proxy": "ftp://x", "https_proxy": "ftp://x"}))) == 2


def test_certificates_to_trust_must_be_there(tmp_path):
    (tmp_path / "empty.pem").write_text("nothing\n")
    assert list(check_environment({"SSL_CERT_FILE": ""})) == []
    [missing] = check_environment({"SSL_CERT_FILE": str(tmp_path / "nowhere.pem")})
    [empty] = check_environment({"SSL_CERT_FILE": str(tmp_path / "empty.pem")})
    assert missing == "the environment's SSL_CERT_FILE cannot be read: No such file or directory"
    assert empty == "the environment's SSL_CERT_FILE holds no certificates"
