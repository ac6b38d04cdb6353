"""``--kernels``: names of variants, and the earlier modes with a notice."""

import pytest

from wsd.cli.main import main
from wsd.kernels.choice import LEGACY_KERNEL_MODES
from wsd.kernels.registry import variant_names


@pytest.fixture
def bench(capsys, tmp_path):
    """Run ``wsd bench`` on a folder that is no bundle; return what goes to standard error."""

    def run(kernels):
        assert main(["bench", str(tmp_path), "--kernels", kernels]) == 2
        return capsys.readouterr().err

    return run


@pytest.mark.parametrize("option", ["auto", "generated", "gemm_tiled_f32,attention_flash"])
def test_names_are_accepted_without_a_notice(bench, option):
    error = bench(option)
    assert "warning" not in error
    assert "holds no models" in error


@pytest.mark.parametrize("mode", LEGACY_KERNEL_MODES)
def test_earlier_modes_are_accepted_and_the_names_to_give_are_said(bench, mode):
    error = bench(mode)
    assert f"warning: --kernels {mode} is deprecated" in error
    assert f"--kernels {','.join(LEGACY_KERNEL_MODES[mode])}" in error
    assert "holds no models" in error


def test_an_unknown_name_is_refused_with_the_known_ones(bench):
    error = bench("gemm_tiled_f32,gemm_tiled_f8")
    assert error.startswith("error: no kernel variant is called 'gemm_tiled_f8'")
    assert ", ".join(variant_names()) in error
    assert "holds no models" not in error


def test_the_help_lists_every_name(capsys):
    main(["bench", "--help"])
    text = capsys.readouterr().out
    assert [name for name in variant_names() if name not in text] == []
