"""Write the security.txt of a site, which says to whom a vulnerability is reported.

https://www.rfc-editor.org/rfc/rfc9116. Whoever runs a site knows the address and for how long it
holds, so both are arguments of ``python -m wsd.runtime.security_txt SITE CONTACT EXPIRES``; a site
without an address has no such file.
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from wsd.errors import UsageError, WsdError
from wsd.runtime.http_headers import SECURITY_TXT

_CONTACT = re.compile(r"(https://|mailto:|tel:)[!-~]+")
_HINT = "docs/hosting.md shows the build arguments SECURITY_CONTACT and SECURITY_EXPIRES"


def make_security_txt(contact: str, expires: str) -> str:
    """Return the text of a security.txt.

    Args:
        contact: an address that begins with ``https://``, ``mailto:`` or ``tel:``.
        expires: when the text is no longer to be believed, such as ``2027-11-26T00:00:00Z``.

    Raises:
        UsageError: if one of them is not what RFC 9116 asks for.
    """
    if _CONTACT.fullmatch(contact) is None:
        raise UsageError(
            f"contact {contact!r} is no address with https:, mailto: or tel: before it", _HINT
        )
    try:
        until = datetime.fromisoformat(expires)
        if until.tzinfo is None:
            raise ValueError("no time zone")
    except ValueError as error:
        raise UsageError(f"time {expires!r} is not as in 2027-11-26T00:00:00Z", _HINT) from error
    end = until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"Contact: {contact}\nExpires: {end}\nPreferred-Languages: en\n"


def write_security_txt(site: Path, contact: str, expires: str) -> None:
    """Write a site's security.txt; nothing if there is no contact.

    Raises:
        UsageError: as :func:`make_security_txt`.
    """
    if not contact and not expires:
        return
    text = make_security_txt(contact, expires)
    path = site / SECURITY_TXT
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    try:
        write_security_txt(Path(sys.argv[1]), *sys.argv[2:4])
    except WsdError as failure:
        sys.exit(f"error: {failure.message}\nhint: {failure.hint}")
