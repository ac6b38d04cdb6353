"""``tools.check_wgsl`` finds what is wrong with a shader, and looks at every kernel."""

import json
import re

import pytest

from marks import some_of
from matches import write_problem
from tools.check_wgsl import (
    Shader,
    describe_fault,
    find_faults,
    list_page_shaders,
    list_problems,
    list_shaders,
    problem_of_key,
)
from wsd.kernels.problem import AttentionProblem, Conv2d, GemmProblem, NormSumsProblem
from wsd.kernels.registry import KINDS
from wsd.kernels.tuning.table import problem_key, tuned_problem_keys
from wsd.kernels.variant import FEATURES

BUFFER = "@group(0) @binding(0) var<storage, read_write> x : array<{}>;\n"
MAIN = "@compute @workgroup_size(64) fn main() {{ x[0] = {}; }}\n"
VALID = BUFFER.format("f32") + MAIN.format("1.0f")
I8 = BUFFER.format("i8") + MAIN.format("i8(1)")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "features", "line", "message"),
    some_of([
        (VALID.replace("x[0]", "y[0]"), (), 2, "unresolved value 'y'"),
        (VALID.replace("1.0f", "true"), (), 2, "cannot assign 'bool' to 'f32'"),
        (I8, (), 1, "'i8'"),
        ("enable chromium_experimental_subgroup_matrix;\n" + I8, FEATURES, 2, "i8 cannot be used"),
        (BUFFER.format("bool") + MAIN.format("true"), (), 1, "non-host-shareable"),
        # The variant must declare what its shader enables.
        ("enable f16;\n" + VALID, (), 1, "f16"),
        ("enable subgroups;\n" + VALID, ("shader-f16",), 1, "subgroups"),
        # Faults of the pipeline have no line.
        (VALID.replace("64", "512"), (), 0, "512"),
        ("var<workgroup> tile : array<vec4<f32>, 1025>;\n"
         + VALID.replace("1.0f", "tile[0].x"), (), 0, "16400"),
    ], 3),
)  # fmt: skip
def test_a_fault_is_found_at_its_line(code, features, line, message):
    valid = Shader("valid", VALID, (), pipeline=True)
    shader = Shader("faulty", code, features, pipeline=True)
    faults = find_faults([valid, shader, valid])
    assert (faults[0].shader, faults[0].line) == (shader, line)
    assert {fault.shader.name for fault in faults} == {"faulty"}
    assert message in faults[0].message


@pytest.mark.slow
def test_a_fault_of_a_template_is_reported_with_file_and_line(tmp_path):
    [*_, shader] = list_shaders([AttentionProblem(1, 4096, 4096, 8, 40, 0.1)])
    faulty = Shader(shader.name, shader.code.replace("row_scale[row]", "row_scale[rwo]", 1))
    [fault] = find_faults([faulty])
    said = describe_fault(fault, tmp_path)
    file, line, message, name = re.fullmatch(
        r"(\S+):(\d+):\d+: (unresolved value 'rwo')\n.*\n  in (attention_flash.*)", said
    ).groups()
    assert message
    assert "head_dim=40" in name
    [path] = tmp_path.iterdir()
    assert file == str(path)
    assert "row_scale[rwo]" in path.read_text().splitlines()[int(line) - 1]


def test_the_problems_of_the_tables_of_matches_are_checked(tmp_path):
    conv = Conv2d(1, 8, 8, 32, 8, 8, 3, 1, 1)
    wanted = [
        GemmProblem(64, 96, 288, "int8", conv),
        AttentionProblem(2, 77, 77, 12, 64, 0.125, causal=True),
        NormSumsProblem(2, 64, 32, 10, True),
    ]
    table = {"matched": [{"problem": write_problem(problem)} for problem in wanted]}
    (tmp_path / "matches-some-tvm-1.json").write_text(json.dumps({"w8a16": table}))
    assert list(list_problems(tmp_path))[:3] == wanted


@pytest.mark.full
@pytest.mark.slow
def test_every_kind_of_variant_and_problem_is_checked(tmp_path):
    problems = list(list_problems(tmp_path))
    assert {type(p) for p in problems} == {GemmProblem, AttentionProblem, NormSumsProblem}
    shaders = list_shaders(problems)
    assert {shader.name.split(",")[0] for shader in shaders} == {kind.name for kind in KINDS}
    assert len({(shader.code, shader.features) for shader in shaders}) == len(shaders)


def test_every_key_of_the_tuning_table_is_checked_as_a_problem():
    keys = tuned_problem_keys()
    assert keys
    assert [problem_key(problem_of_key(key)) for key in keys] == keys
    with pytest.raises(ValueError, match="conv3 1x1x1"):
        problem_of_key("conv3 1x1x1")


@pytest.mark.slow
def test_the_pages_own_shaders_have_no_faults():
    shaders = list_page_shaders()
    assert "add_low_rank.wgsl" in {shader.name for shader in shaders}
    assert find_faults(shaders) == []
