"""Templates: their headers, and how their output is indented and divided."""

from pathlib import Path

import pytest

import wsd.kernels
from wsd.kernels.template import BODY_MARK, indent_wgsl

TEMPLATES = Path(wsd.kernels.__file__).parent / "templates"
SHADERS = sorted(p for p in TEMPLATES.rglob("*.j2") if f"\n{BODY_MARK}\n" in p.read_text())


@pytest.mark.parametrize("path", SHADERS, ids=lambda path: str(path.relative_to(TEMPLATES)))
def test_shader_is_headed_by_what_it_computes(path):
    header = path.read_text().partition("#}")[0]
    assert header.startswith("{#\n")
    for section in ("Equation", "Operands", "Preconditions", "Roofline"):
        assert f"\n{section} " in header
    # What one workgroup computes.
    assert any(f"\n{name} " in header for name in ("Tile", "Block", "Workgroup"))


def test_every_family_of_kernels_has_shaders():
    assert {path.parent.name for path in SHADERS} == {"attention", "conv", "gemm", "reduce"}


def test_output_is_indented_by_brackets():
    messy = """
      fn main(@builtin(workgroup_id) workgroup : vec3<u32>,
  @builtin(local_invocation_index) thread : u32) {
        // A comment with ( and {.
    for (var k = 0u; k < 4u; k++) {

          let x = a[k] +
    b[k];
    if (x > 0.0f) { continue; } else {
      y = x;
    }
  }
      }
    """
    assert indent_wgsl(messy) == (
        "fn main(@builtin(workgroup_id) workgroup : vec3<u32>,\n"
        "  @builtin(local_invocation_index) thread : u32) {\n"
        "  // A comment with ( and {.\n"
        "  for (var k = 0u; k < 4u; k++) {\n"
        "    let x = a[k] +\n"
        "      b[k];\n"
        "    if (x > 0.0f) { continue; } else {\n"
        "      y = x;\n"
        "    }\n"
        "  }\n"
        "}\n"
    )
