import os
import re
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from watchdog.config import contents, reading
from watchdog.config.document import MAX_BYTES, DocumentError, dotted
from watchdog.config.reading import read_document

STAR = (
    'file.yaml:1: a key must be plain text; an unquoted * begins a YAML alias: quote a pattern, as in "*.example.com"'
)
TAGGED = "file.yaml:1: YAML tags (words that begin with `!`) are not read here; quote the value"
PARSERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if hasattr(yaml, "CSafeLoader") else [])]


@pytest.fixture(params=PARSERS, ids=lambda parser: parser.__name__)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PARSER", request.param)


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "file.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(folder: Path, content: str | bytes) -> str:
    with pytest.raises(DocumentError) as caught:
        read_document(written(folder, content))
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("off", "off"),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-3", -3),
        ("012", 12),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2026-11-24", "2026-11-24"),
        ("0x1f", "0x1f"),
        (".inf", ".inf"),
        ("9" * 65, "9" * 65),
        ('"12"', "12"),
        ("'true'", "true"),
        ("|-\n  12", "12"),
    ],
)
def test_a_scalar_means_what_yaml_1_2_says(tmp_path: Path, scalar: str, value: Any) -> None:
    data = read_document(written(tmp_path, f"key: {scalar}\n")).data
    assert data == {"key": value}
    assert type(data["key"]) is type(value)


@pytest.mark.usefixtures("parser")
def test_every_key_and_item_has_its_line(tmp_path: Path) -> None:
    read = read_document(written(tmp_path, "a:\n  b: [1,\n    2]\n# …\nc: {d: e}\n"))
    assert read.data == {"a": {"b": [1, 2]}, "c": {"d": "e"}}
    assert read.lines == {("a",): 1, ("a", "b"): 2, ("a", "b", 0): 2, ("a", "b", 1): 3, ("c",): 5, ("c", "d"): 5}
    assert read.line_of(("c", "missing", "deeper")) == 5
    assert read.line_of(("missing",)) == 1


def test_an_alias_repeats_its_anchor_and_has_its_own_line(tmp_path: Path) -> None:
    read = read_document(written(tmp_path, "a: &x {b: [1]}\nc:\n  d: *x\n"))
    assert read.data["c"]["d"] == {"b": [1]}
    assert read.line_of(("c", "d", "b", 0)) == 3


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    assert read_document(written(tmp_path, b"\xef\xbb\xbfa: 1\n")).data == {"a": 1}


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "file.yaml: is empty"),
        ("---\n", "file.yaml: is empty"),
        ("~\n", "file.yaml: is empty"),
        ("text\n", "file.yaml:1: must hold keys and values at its top level; as in `key: value`"),
        ("a: 1\n---\nb: 2\n", "file.yaml:2: holds a second document; one file is one document: remove the `---`"),
        ("a: 1\nb: 2\na: 3\n", "file.yaml:3: a: is given twice, first in line 1"),
        (b"a: 1\nb: \xff\n", "file.yaml:2: is not UTF-8 text"),
        ("a: 1\nb: \0\n", "file.yaml:2: holds a control character"),
        ("a: &x [*x]\n", "file.yaml:1: an alias (`*`) repeats the block it stands in, without end"),
        ("{a: 1}: 2\n", "file.yaml:1: a key must be plain text; quote a value that begins with `{` or `[`"),
        ("*x : 1\n", STAR),
        ("!x a: 1\n", "file.yaml:1: YAML tags (words that begin with `!`) are not read here; quote the key"),
        ("&x a: 1\n", "file.yaml:1: a key cannot carry an anchor (`&`)"),
        ("a: !!python/name:os.system 1\n", TAGGED),
        ("a: !!str 1\n", TAGGED),
    ],
)  # fmt: skip
def test_a_file_that_is_no_plain_mapping_is_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    assert refusal(tmp_path, content) == message


def test_what_could_be_read_beside_a_duplicate_comes_with_the_refusal(tmp_path: Path) -> None:
    with pytest.raises(DocumentError) as caught:
        read_document(written(tmp_path, "a: 1\na: {b: 2}\nc: 3\n"))
    assert caught.value.document is not None
    assert caught.value.document.data == {"a": 1, "c": 3}


def test_a_file_of_the_largest_size_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    assert read_document(written(tmp_path, "a: 1\n" + "#" * (MAX_BYTES - 5))).data == {"a": 1}
    assert refusal(tmp_path, "a: 1\n" + "#" * (MAX_BYTES - 4)) == "file.yaml: is larger than 4 MiB"


def test_a_bomb_of_aliases_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "holds more than 500,000 values once its aliases are expanded" in refusal(tmp_path, "\n".join(lines))


def test_depth_is_bounded_with_and_without_aliases(tmp_path: Path) -> None:
    assert read_document(written(tmp_path, f"a: {'[' * 40}{']' * 40}")).data
    assert "nested deeper than 40 levels" in refusal(tmp_path, f"a: {'[' * 41}{']' * 41}")
    deepest = refusal(tmp_path, f"a: {'[' * 100_000}")
    assert re.search("nested deeper than 40 levels|exceeded maximum nesting depth", deepest)  # PyYAML 6.0.4 has its own
    ladder = ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 1000))]
    assert "nested deeper than 40 levels once its aliases are expanded" in refusal(tmp_path, "\n".join(ladder))


def test_a_pipe_to_which_nobody_writes_is_refused_and_not_waited_for(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(contents, "PATIENCE", 0.0)
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(DocumentError, match=r"pipe\.yaml: cannot be read: it is a pipe, and nothing came"):
        read_document(tmp_path / "pipe.yaml")


def test_a_pipe_that_holds_a_configuration_is_read_to_its_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    writer = threading.Thread(target=(tmp_path / "pipe.yaml").write_text, args=("a: [" + "1, " * 100_000 + "2]",))
    writer.start()
    found = read_document(tmp_path / "pipe.yaml").data
    writer.join()
    assert len(found["a"]) == 100_001


def test_a_device_is_refused() -> None:
    with pytest.raises(DocumentError, match=r"^/dev/zero: cannot be read: it is a device: name a file$"):
        read_document(Path("/dev/zero"))


@pytest.mark.parametrize("path", ["missing.yaml", ".", "no\0name"])
def test_what_cannot_be_opened_is_refused_in_one_sentence(tmp_path: Path, path: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_document(tmp_path / path)
    assert ": cannot be read: " in str(caught.value)
    assert len(caught.value.problems) == 1


def test_paths_are_shown_dotted_and_cut_where_a_secret_may_begin() -> None:
    assert dotted(("zones", 3, "restart")) == "zones[3].restart"
    assert dotted(("accounts", "main", "api_token:secret")) == "accounts.main.api_token:…"
    assert dotted(("accounts", "x" * 40)) == "accounts.…"
    assert dotted(("a\nb",)) == "…"


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text("abc:-*&!{}[]#'\" \n", max_size=8),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=3), below, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=60)
@given(data=st.dictionaries(st.text("abcxyz", min_size=1, max_size=4), PLAIN, min_size=1, max_size=4))
def test_what_pyyaml_writes_is_read_back(data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = written(tmp_path_factory.getbasetemp(), yaml.safe_dump(data, default_flow_style=None))
    assert read_document(path).data == data


@given(content=st.binary(max_size=200) | st.text("abc:-*&!{}[]#'\"|>%@ \t\n\0\x85\u2028", max_size=80).map(str.encode))
def test_no_content_does_worse_than_a_refusal(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        read = read_document(written(tmp_path_factory.getbasetemp(), content))
    except DocumentError as error:
        assert all("\n" not in str(problem) for problem in error.problems)  # noqa: PT017  both outcomes are fine
    else:
        assert isinstance(read.data, dict)
