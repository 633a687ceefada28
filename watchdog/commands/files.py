"""The files an operator installs beside the program: found in the wheel or in a checkout, and laid out in a folder.

The places are those of the checkout, so that the commands of docs/deploy.md hold in the folder too. Nothing is made up
here and nothing is overwritten. Called by the command ``files``.
"""

from pathlib import Path

SHIPPED = ("config.example.yaml", "deploy", "docs", "systemd")
"""What is shipped. In a wheel it lies in ``watchdog/files`` (see force-include in pyproject.toml)."""

RUNBOOKS = "docs/runbooks/"
"""How these files name the folder of the runbooks."""


class CannotLayOut(Exception):
    """One sentence: what is there already, or cannot be written."""


def lay_out(folder: Path, runbooks: str = "") -> int:
    """Write all of it below ``folder``, which is made where it is missing; return the number of files.

    ``runbooks`` is the URL under which people find the runbooks: the example, rules and manifests then name each page
    there, as ``runbook_url`` in place of ``runbook``. Raises ``CannotLayOut``; where it names a file that is there
    already, nothing was written.
    """
    root = _root()
    files = [path for name in SHIPPED for path in _below(root / name)]
    for path in files:
        target = folder / path.relative_to(root)
        if target.exists() or target.is_symlink():
            raise CannotLayOut(f"{target} is there already: name another folder, as nothing is overwritten")
    if folder.exists() and not folder.is_dir():
        raise CannotLayOut(f"{folder} is a file: name a folder, which need not be there yet")
    for path in files:
        place = path.relative_to(root)
        text = path.read_bytes()
        if runbooks and place.parts[0] != "docs":
            text = text.replace(b"runbook: ", b"runbook_url: ")
            text = text.replace(RUNBOOKS.encode(), f"{runbooks.rstrip('/')}/".encode())
        try:
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            with (folder / place).open("xb") as target_file:
                target_file.write(text)
        except OSError as error:
            raise CannotLayOut(f"{folder / place} cannot be written: {error.strerror}") from None
    return len(files)


def _root() -> Path:
    package = Path(__file__).parents[1]
    inside = package / "files"
    return inside if inside.is_dir() else package.parent


def _below(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(found for found in path.rglob("*") if found.is_file())
