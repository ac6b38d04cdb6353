"""security.txt of a site: the address for reports of a vulnerability, as RFC 9116 has it."""

import os
import subprocess
import sys

import pytest

from wsd.errors import UsageError
from wsd.runtime.http_headers import SECURITY_TXT
from wsd.runtime.security_txt import make_security_txt, write_security_txt


@pytest.mark.parametrize(
    ("expires", "written"),
    [
        ("2027-11-26T00:00:00Z", "2027-11-26T00:00:00Z"),
        ("2027-11-26T02:00:00+02:00", "2027-11-26T00:00:00Z"),
    ],
)
def test_contact_and_end_are_written(tmp_path, expires, written):
    write_security_txt(tmp_path, "mailto:security@example.org", expires)
    text = (tmp_path / SECURITY_TXT).read_bytes().decode()
    assert text.splitlines() == [
        "Contact: mailto:security@example.org", f"Expires: {written}", "Preferred-Languages: en",
    ]  # fmt: skip
    assert "\r" not in text
    assert text.endswith("\n")


def test_a_site_without_a_contact_has_none(tmp_path):
    write_security_txt(tmp_path, "", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("contact", "expires"),
    [
        ("security@example.org", "2027-11-26T00:00:00Z"),
        ("http://example.org", "2027-11-26T00:00:00Z"),
        ("mailto:a@b\nPolicy: https://evil.example", "2027-11-26T00:00:00Z"),
        ("mailto:a b@example.org", "2027-11-26T00:00:00Z"),
        ("mailto:a@example.org", ""),
        ("mailto:a@example.org", "next year"),
        ("mailto:a@example.org", "2027-11-26T00:00:00"),
        ("", "2027-11-26T00:00:00Z"),
    ],
)
def test_what_the_rfc_does_not_take_is_refused(contact, expires):
    with pytest.raises(UsageError):
        make_security_txt(contact, expires)


@pytest.mark.slow
def test_the_image_calls_it_so(tmp_path):
    """As the Dockerfile does, with a fault: the build stops, and says why."""
    command = [sys.executable, "-m", "wsd.runtime.security_txt", tmp_path, "x", ""]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == 1
    assert "error: contact 'x' is no address" in done.stderr
    assert "hint: docs/hosting.md" in done.stderr
    assert not list(tmp_path.iterdir())
