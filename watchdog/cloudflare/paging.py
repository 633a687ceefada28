"""All pages of one list, until the last: whatever a server says of them, this ends. ``client`` alone calls it."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from watchdog.cloudflare.envelope import PageInfo
from watchdog.cloudflare.errors import CloudflareFault, Operation

PER_PAGE = 50
"""Packs and zones per page: the most Cloudflare allows for both lists."""

USUAL_PER_PAGE = 20
"""Items of a page where its size was not asked for (API reference). So many may be a whole page of a server that did
not heed what was asked, and says nothing of pages."""

MOST_PAGES = 2_000
"""A list that is longer than this (100,000 items) is not a list but a fault."""


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


Listed = TypeVar("Listed", bound=_HasId)


async def read_all(
    operation: Operation, page_of: Callable[[str], Awaitable[tuple[list[Listed], PageInfo]]]
) -> list[Listed]:
    """All items of a list, each once, by its id. ``page_of`` reads the page that a query names.

    An item that goes meanwhile moves each after it one place ahead, and so one of them from a page that is not read yet
    to one that is. Therefore a list whose number of items changes while it is read is read once more. Raises
    ``CloudflareFault`` where the list does not end.
    """
    found, counts = await _read(operation, page_of)
    if len(counts) > 1:
        found, _ = await _read(operation, page_of)
    return found


async def _read(
    operation: Operation, page_of: Callable[[str], Awaitable[tuple[list[Listed], PageInfo]]]
) -> tuple[list[Listed], set[int | None]]:
    """Read pages until the last that ``result_info`` names (else a short one), or one that brings nothing new.

    Gives the items, and the numbers of all items that the pages told.

    Whether every zone honours ``page`` is not certain, so a reader that waits for an empty page may never end. A page
    may look short because an item of it was no pack at all, so the number of pages is believed before it.
    """
    found: dict[str, Listed] = {}
    counts: set[int | None] = set()
    largest = 0
    for page in range(1, MOST_PAGES + 1):
        items, info = await page_of(f"page={page}&per_page={PER_PAGE}")
        counts.add(info.total_count)
        before = len(found)
        for item in items:
            found.setdefault(item.id, item)
        largest = max(largest, len(items))
        if _is_last(page, len(items), largest, info) or len(found) == before:
            return list(found.values()), counts
        if len(found) > MOST_PAGES * PER_PAGE:
            break
    raise CloudflareFault(operation, "malformed", f"{operation}: the list does not end after {page} pages")


def _is_last(page: int, items: int, largest: int, info: PageInfo) -> bool:
    """``largest`` is the most items that a page had so far."""
    if info.total_pages is not None and info.total_pages > 0:
        return page >= info.total_pages
    if info.per_page:
        return items < info.per_page
    return items < largest or (items < PER_PAGE and items != USUAL_PER_PAGE)
