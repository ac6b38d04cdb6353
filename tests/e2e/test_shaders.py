"""Every generated shader, parsed and validated by the browser's own compiler."""

import pytest

from pages import in_page


@pytest.mark.full
def test_every_shader_is_valid(page, origin, library):
    page.goto(origin + "blank.html")
    assert len(library.shaders) > 100
    assert in_page(page, "checkShaders", library.shaders) == []


def test_an_invalid_shader_is_found(page, origin):
    page.goto(origin + "blank.html")
    broken = "@group(0) @binding(0) var<storage> x : array<i8>;"
    assert in_page(page, "checkShaders", {"broken": broken})
