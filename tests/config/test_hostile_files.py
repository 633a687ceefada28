"""A configuration costs little to refuse, however large and however wrong it is."""

import time

import pytest

from watchdog.config.document import MAX_BYTES, MOST_PROBLEMS
from watchdog.config.load import ConfigError, load

MANY = MOST_PROBLEMS * 20
MAIN = "accounts:\n  main: {api_token: t}\n"
ONLY_SO_MANY = f"config.yaml: has more than {MOST_PROBLEMS} faults; the others are not looked for"


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\n" * MANY,
        "".join(f"{n}: 1\n" for n in range(MANY)),
        "".join(f"key{n}: 1\n" for n in range(MANY)),
        MAIN + "zones:\n" + "- {naem: e.com}\n" * MANY,
        MAIN + "zones:\n" + "- e.com\n" * 11_000,
        MAIN + "zones:\n" + "- {name: e.com}\n" * MANY,
        MAIN + "zones: [" + "'$'," * MANY + "]\n",
        MAIN + "zones: [" + "'${NONE}'," * MANY + "]\n",
        MAIN
        + "  other: {api_token: t}\nzones:\n"
        + "".join(f"- {{name: z{n}.com, account: o}}\n" for n in range(MANY)),
    ],
    ids=["twice", "numbers", "unknown", "misspelt", "words", "zones", "dollars", "variables", "accounts"],
)
def test_no_more_than_so_many_faults_are_told_of_one_file(refused, text):
    told = refused(text)
    assert len(told) <= MOST_PROBLEMS + 1
    assert told[-1] == ONLY_SO_MANY


def test_a_file_that_is_wrong_ten_thousand_times_over_is_told_so_and_not_taken_apart(refused):
    assert refused(MAIN + "zones:\n" + "- e.com\n" * 11_000) == [ONLY_SO_MANY]


def test_exactly_so_many_faults_are_all_told(refused):
    told = refused(MAIN + "zones:\n- {name: e.com}\n" + "".join(f"key{n}: 1\n" for n in range(MOST_PROBLEMS)))
    assert len(told) == MOST_PROBLEMS
    assert ONLY_SO_MANY not in told


def test_text_that_aliases_repeat_counts_each_time(refused):
    text = 'a: &a "' + "x" * 100_000 + '"\nb: [' + "*a," * 50 + "]\n"
    assert refused(text) == ["config.yaml:2: is larger than 4 MiB once its aliases are expanded"]


def test_a_list_that_many_zones_share_by_alias_is_fine(read):
    packs = ",".join(f"'{n:032x}'" for n in range(300))
    zones = "".join(f"- {{name: z{n}.com, packs: *p}}\n" for n in range(50))
    config = read(f"{MAIN}zones:\n- {{name: e.com, packs: &p [{packs}]}}\n{zones}")
    assert {len(zone.packs) for zone in config.zones} == {300}


def test_variables_cannot_make_a_file_larger_than_a_file_may_be(refused):
    text = MAIN + "zones: [" + "'${BIG}'," * 50 + "]\n"
    assert refused(text, BIG="x" * 100_000)[-1] == (
        "config.yaml: is larger than 4 MiB once its variables are filled in"
    )


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 1_000_000,
        "{" * 1_000_000,
        "".join(" " * n + "a:\n" for n in range(1000)),
        "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1},' * 9}]\n" for n in range(1, 30)),
        "a: " + "b c " * 500_000,
        "#\n" * 1_000_000,
        "---\n" * 1_000_000,
        "a: 1\n" * 100_000 + "\x07",
        "x" * (MAX_BYTES + 1),
    ],
    ids=["brackets", "braces", "steps", "laughs", "words", "comments", "documents", "bell", "large"],
)
def test_what_was_made_to_exhaust_a_parser_is_refused_within_a_second_of_work(refused, text):
    began = time.process_time()
    assert len(refused(text)) <= MOST_PROBLEMS + 1
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "content", [b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"a: \xed\xa0\x80", b"a: \x1b[31m\n", b"? |\n"]
)
def test_bytes_that_are_no_configuration_are_refused_in_a_sentence(tmp_path, content):
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert all(line.isprintable() for line in str(caught.value).splitlines())
