"""The documents' pictures of the page: every state at three sizes, shown, and small."""

import importlib.util

import pytest
from PIL import Image

from wsd.util.files import REPOSITORY

DOCS = REPOSITORY / "docs"
IMAGES = DOCS / "images" / "page"
MOST_BYTES = 3_000_000


@pytest.fixture(scope="module")
def pictures():
    """Return docs/pictures.py, which takes them."""
    spec = importlib.util.spec_from_file_location("pictures", DOCS / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_there_is_a_picture_of_every_state_at_every_size(pictures):
    assert len(set(pictures.STATES)) == len(pictures.STATES) > 20
    assert {path.name for path in IMAGES.iterdir()} == {
        f"{state}-{size}.webp" for state in pictures.STATES for size in pictures.SIZES
    }
    for path in IMAGES.iterdir():
        size = pictures.SIZES[path.stem.rpartition("-")[2]]
        with Image.open(path) as picture:
            assert picture.size == (size.width, size.height), path.name


def test_pictures_of_the_page_are_small():
    assert sum(path.stat().st_size for path in IMAGES.iterdir()) < MOST_BYTES


def test_every_state_is_listed_and_every_error_is_shown(pictures):
    page, troubleshooting = (
        (DOCS / f"{name}.md").read_text(encoding="utf-8") for name in ("page", "troubleshooting")
    )
    for state in pictures.STATES:
        for size in pictures.SIZES:
            assert f"[{size}](images/page/{state}-{size}.webp)" in page, state
    for error in ("insecure", "no-webgpu", "no-adapter", "no-room", "lost", "fetch", "damaged"):
        assert f"](images/page/{error}-phone.webp)" in troubleshooting, error
