"""ONNX files that others are measured with: weights stand in several files."""

import numpy as np
import pytest
import torch

from wsd.evaluate.onnx_export import export_denoiser


@pytest.mark.slow
def test_weights_are_shared_out_among_files(tmp_path):
    onnx = pytest.importorskip("onnx", reason="not run: the extra `compare` is not installed")
    pytest.importorskip("onnxscript", reason="not run: the extra `compare` is not installed")
    torch.manual_seed(0)
    module = torch.nn.Sequential(*(torch.nn.Linear(32, 32) for _ in range(5)))
    limit = 2 * 32 * 32 * 4
    path = tmp_path / "model.onnx"
    files = export_denoiser(module, {"latents": torch.randn(2, 32)}, path, limit)

    assert len(files) == 3
    assert sorted(tmp_path.iterdir()) == sorted([path, *files])
    assert all(0 < file.stat().st_size <= limit for file in files)
    onnx.checker.check_model(path)
    found = {
        tensor.name: onnx.numpy_helper.to_array(tensor, tmp_path)
        for tensor in onnx.load(path).graph.initializer
    }
    for name, parameter in module.named_parameters():
        np.testing.assert_array_equal(found[name], parameter.detach().numpy())


@pytest.mark.slow
def test_a_tensor_that_is_larger_than_a_file_has_its_own(tmp_path):
    pytest.importorskip("onnxscript", reason="not run: the extra `compare` is not installed")
    module = torch.nn.Sequential(*(torch.nn.Linear(32, 32) for _ in range(2)))
    files = export_denoiser(module, {"latents": torch.randn(2, 32)}, tmp_path / "model.onnx", 100)
    assert [file.stat().st_size for file in files] == [32 * 32 * 4] * 2
