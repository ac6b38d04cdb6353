"""--dump-ir: one file a pass, one a shader, and a folder that held nothing before."""

import pytest
from tvm.relax import op

from relax_functions import relax_function
from wsd.compiler.dump import Dump
from wsd.compiler.pipeline import lower
from wsd.errors import UsageError
from wsd.kernels.variant import Launch, Variant


def test_one_file_a_pass(tmp_path):
    module = relax_function({"x": (64, 64)}, lambda emit, x: emit(op.nn.silu(x)))
    dump = Dump(tmp_path / "dump")
    dump.write_module("imported", module)
    lower(module, {}, dump)
    names = sorted(path.name for path in (tmp_path / "dump").iterdir())
    assert names[:4] == [
        "00-imported.py",
        "01-pack_parameters.py",
        "02-channels_last.py",
        "03-bundle_model_params.py",
    ]
    assert names[-1] == "15-schedule.py"
    assert len(names) == 16
    text = {name: (tmp_path / "dump" / name).read_text() for name in names}
    assert "R.nn.silu" in text["02-channels_last.py"]
    assert "R.nn.silu" not in text["07-legalize_ops.py"]
    assert "threadIdx.x" not in text["14-dead_function_elimination.py"]
    assert "threadIdx.x" in text["15-schedule.py"]


def test_one_file_a_shader(tmp_path):
    launches = [Launch(f"// head {n}\n", "// body\n", (1, 1, 1), ()) for n in range(3)]
    dump = Dump(tmp_path)
    dump.write_shaders({"linear_kernel": "// generated\n"})
    dump.write_variants(
        {
            "linear": [
                Variant((launches[0],), "gemm_tiled"),
                Variant((launches[1], launches[2]), "gemm_tiled"),
                Variant((), "gemm_nothing"),
            ]
        }
    )
    about = "// gemm_tiled, grid (1, 1, 1), 256 threads\n"
    found = {
        path.relative_to(tmp_path).as_posix(): path.read_text()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    assert found == {
        "shaders/linear_kernel.wgsl": "// generated\n",
        "variants/linear_kernel.0.gemm_tiled.wgsl": f"{about}// head 0\n// body\n",
        "variants/linear_kernel.1.gemm_tiled.launch0.wgsl": f"{about}// head 1\n// body\n",
        "variants/linear_kernel.1.gemm_tiled.launch1.wgsl": f"{about}// head 2\n// body\n",
    }


def test_a_folder_with_files_is_refused(tmp_path):
    Dump(tmp_path)
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(UsageError, match="is not empty"):
        Dump(tmp_path)


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_in_the_folders_place_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(UsageError, match="cannot be made"):
        Dump(tmp_path / name)


def test_nothing_is_written_unless_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dump = Dump()
    dump.write_module("imported", relax_function({"x": (4,)}, lambda emit, x: emit(op.exp(x))))
    dump.write_shaders({"a": "b"})
    assert list(tmp_path.iterdir()) == []
