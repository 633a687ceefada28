"""What is told of a name whose DNS fails: broken signatures, circles of aliases, servers that do not answer. Pure.

Since 2026-03-15 every public certificate authority validates DNSSEC in all that it looks up (CA/Browser Forum, SC-085):
broken signatures, seen by two resolvers that have nothing to do with each other and that answer once checking is
disabled, are certain to make a validation fail. What one resolver sees may be its own trouble.
"""

from collections.abc import Sequence

from watchdog.diagnose.resolvers import operator
from watchdog.diagnose.responses import BROKEN, MOST_LINKS, TOLD, Answer, ResponseStatus
from watchdog.model.findings import Certainty, Finding, FindingName

WITNESSES = 2
"""Independent resolvers that must see the same before a restart is held."""


def noted(answer: Answer) -> str:
    """How a resolver failed, in a word and with its own explanation."""
    return f"{answer.status}{f' ({answer.note})' if answer.note else ''}"


def bogus(host: str, name: str, answers: Sequence[Answer]) -> Finding | None:
    """What is told of broken signatures at a name, if any resolver sees them."""
    seen = [answer for answer in answers if answer.status is ResponseStatus.BOGUS]
    if not seen:
        return None
    witnesses = {operator(answer.resolver) for answer in seen if answer.confirmed}
    doubted = any(answer.validated and answer.status in TOLD for answer in answers)
    sure = Certainty.CERTAIN if len(witnesses) >= WITNESSES and not doubted else Certainty.LIKELY
    said = "; ".join(f"{answer.resolver} says {noted(answer)}" for answer in seen[:3])
    via = next((f" (an alias, in the end of {answer.chain[-1]})" for answer in seen if answer.chain), "")
    says = f"DNSSEC of {name}{via} is broken: {said}."
    if sure is Certainty.CERTAIN:
        says += " Every certificate authority validates since 2026-03-15, so each will refuse."
    elif doubted:
        says += " Another resolver finds the signatures good."
    remedy = "Mend the signatures, or take the DS record off the parent zone (at the registrar) until they are."
    remedy += (  # findings/powerdns-keeps-a-broken-signature-for-an-hour.sh
        " Resolvers see that once the DS record's time is over; PowerDNS Recursor keeps broken keys for up to an hour"
        " (rec_control wipe-cache makes it forget)."
    )
    return Finding(name=FindingName.DNSSEC_BOGUS, certainty=sure, host=host, says=says, remedy=remedy)


def circle(host: str, name: str, answers: Sequence[Answer]) -> Finding | None:
    """What is told of aliases that lead nowhere, if there are such."""
    looped = next((answer for answer in answers if answer.status is ResponseStatus.LOOP), None)
    if looped is None:
        return None
    path = (name, *looped.chain)
    closed = path[-1] in path[:-1]
    shown = path[path.index(path[-1]) :] if closed else path[:4]
    if closed:
        says = f"The CNAME records of {name} go round in a circle: {' → '.join(shown)}."
    else:
        says = f"The CNAME records of {name} lead on through {MOST_LINKS} names or more: {' → '.join(shown)} → …"
    remedy = f"Point the CNAME record of {shown[0]} at a name that has an address, or remove it."
    return Finding(name=FindingName.CNAME_LOOP, certainty=Certainty.LIKELY, host=host, says=says, remedy=remedy)


def broken(answers: Sequence[Answer]) -> Answer | None:
    """The first answer that is none, though the resolver works."""
    return next((answer for answer in answers if answer.status in BROKEN), None)


def everywhere(answers: Sequence[Answer]) -> bool:
    """Whether a name's DNS fails for every resolver, of two operators at least, and so for its authority too.

    What fails at the end of an alias is somebody else's, and may be there once it is needed.
    """
    broken = all(answer.status in BROKEN and not answer.chain for answer in answers)
    return broken and len({operator(answer.resolver) for answer in answers}) >= WITNESSES


def failing(name: str, answer: Answer) -> str:
    """The name that fails: the last of the aliases, where the first is not it."""
    return f"{answer.chain[-1]}, where the alias {name} ends," if answer.chain else name
