"""Domain names in one form for comparing, and in both for people.

Cloudflare, a configuration and a person may each write ``münchen.example``, ``MÜNCHEN.example.`` or
``xn--mnchen-3ya.example``: one name. Compared is the ASCII form of IDNA 2008 with the mapping of UTS 46 that browsers
use, in lower case and without a final dot. Nothing here raises: what is no domain name stays as it is, in lower case.
"""

import re
from collections.abc import Callable
from fnmatch import translate

PREFIX = "xn--"
LONGEST_LABEL = 63


def canonical(name: str) -> str:
    """The one form that names are compared in.

    >>> canonical("*.MÜNCHEN.example.")
    '*.xn--mnchen-3ya.example'
    """
    if name.isascii():
        return name.rstrip(".").lower()
    import idna  # noqa: PLC0415  1.4 ms of every start, and most have no such names

    try:
        mapped = idna.uts46_remap(name, std3_rules=False, transitional=False)
    except idna.IDNAError:
        mapped = name.lower()
    return ".".join(_ascii(label) for label in mapped.rstrip(".").split("."))


def readable(name: str) -> str:
    """The name in the letters of its language.

    >>> readable("xn--mnchen-3ya.example")
    'münchen.example'
    """
    return ".".join(_letters(label) for label in canonical(name).split("."))


def both(name: str) -> str:
    """The name as people are shown it: with its ASCII form behind it where that differs.

    >>> both("münchen.example")
    'münchen.example (xn--mnchen-3ya.example)'
    >>> both("example.com")
    'example.com'
    """
    ascii_form, letters = canonical(name), readable(name)
    return letters if letters == ascii_form else f"{letters} ({ascii_form})"


def forms(name: str) -> tuple[str, ...]:
    """The forms another may know the name by, the canonical first."""
    return tuple(dict.fromkeys((canonical(name), readable(name))))


def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a name fits a pattern, in which ``*`` stands for any text; in whatever form either is written.

    Made to be asked of many thousands of names.

    >>> matcher("*.MÜNCHEN.example")("www.xn--mnchen-3ya.example")
    True
    """
    fits = [re.compile(translate(each)).match for each in {pattern.lower(), canonical(pattern)}]

    def matches(name: str) -> bool:
        lower = name.lower()
        plain = lower.isascii() and PREFIX not in lower and not lower.endswith(".")  # then it has one form
        return any(fit(form) for form in ((lower,) if plain else (lower, *forms(name))) for fit in fits)

    return matches


def _ascii(label: str) -> str:
    if label.isascii():
        return label.lower()
    import idna  # noqa: PLC0415  as above

    try:
        return idna.alabel(label).decode("ascii")
    except idna.IDNAError:  # an emoji, say: registered under IDNA 2003, and still there
        return _punycode(label)


def _punycode(label: str) -> str:
    try:
        encoded = PREFIX + label.encode("punycode").decode("ascii")
    except UnicodeError:
        return label
    return encoded if len(encoded) <= LONGEST_LABEL and " " not in label else label


def _letters(label: str) -> str:
    if not label.startswith(PREFIX):
        return label
    import idna  # noqa: PLC0415  as above

    try:
        return idna.ulabel(label)
    except (idna.IDNAError, UnicodeError):
        pass
    try:
        letters = label.removeprefix(PREFIX).encode("ascii").decode("punycode")
    except (UnicodeError, OverflowError):
        return label
    return letters if letters.isprintable() and canonical(letters) == label else label
