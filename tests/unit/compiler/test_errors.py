"""Whose error it is: TVM's are CompileErrors, those of our own code surface as they are."""

import traceback

import numpy as np
import pytest
import torch
from tvm.relax import op

from relax_functions import relax_function
from wsd.compiler import pipeline, relax_module
from wsd.compiler.dump import Dump
from wsd.compiler.passes import legalize, schedule
from wsd.compiler.pipeline import lower
from wsd.compiler.tvm_compat import calling_tvm, dlight
from wsd.errors import CompileError, UsageError
from wsd.frontend.export import trace_component
from wsd.models.architecture import EntryPointModule
from wsd.models.registry import find_family
from wsd.spec.roles import TEXT_ENCODER
from wsd.spec.tensor import TensorSpec


@pytest.fixture
def module():
    return relax_function({"x": (2, 3)}, lambda emit, x: emit(op.sin(x)))


def fail(*_given):
    return {}["planted"]


class FailingRule(dlight.base.ScheduleRule):
    def apply(self, *given):
        return fail(given)


def test_a_fault_in_a_pass_of_ours(module, monkeypatch, tmp_path):
    monkeypatch.setattr(pipeline, "channels_last", fail)
    with pytest.raises(KeyError, match="planted") as caught:
        lower(module, {}, Dump(tmp_path / "dump"))
    assert caught.value.__notes__ == ["raised in pass channels_last"]
    # What was before the fault has been written.
    assert [path.name for path in (tmp_path / "dump").iterdir()] == ["00-pack_parameters.py"]


def test_a_fault_in_a_legalizer_of_ours(module, monkeypatch):
    monkeypatch.setitem(legalize.LEGALIZERS, "relax.sin", fail)
    with pytest.raises(KeyError, match="planted") as caught:
        lower(module, {}, Dump())
    assert caught.value.__notes__ == ["raised in pass legalize_own"]


def test_a_fault_in_a_compiled_library_that_a_legalizer_calls(module, monkeypatch):
    """Its innermost frame is numpy's Cython, which has no ``.py`` file, as TVM's C++ has none."""

    def draw(*_given):
        return np.random.default_rng(0).integers(2, 1)

    monkeypatch.setitem(legalize.LEGALIZERS, "relax.sin", draw)
    with pytest.raises(ValueError, match="low >= high") as caught:
        lower(module, {}, Dump())
    assert traceback.extract_tb(caught.tb)[-1].filename.endswith(".pyx")


def test_a_fault_in_a_schedule_rule_of_ours(module, monkeypatch):
    monkeypatch.setattr(schedule, "schedule_rules", lambda: (FailingRule(),))
    with pytest.raises(KeyError, match="planted") as caught:
        lower(module, {}, Dump())
    assert caught.value.__notes__ == ["raised in pass schedule"]


def test_what_tvm_refuses_in_a_pass(module, monkeypatch):
    def refuse(builder, call):
        return builder.emit(op.matmul(call.args[0], call.args[0]))  # (2, 3) by (2, 3)

    monkeypatch.setitem(legalize.LEGALIZERS, "relax.sin", refuse)
    with pytest.raises(CompileError, match=r"TVM .* failed in pass legalize_own") as caught:
        lower(module, {}, Dump())
    assert "--dump-ir" in caught.value.hint
    assert "WSD_DEBUG=1" in caught.value.hint
    assert caught.value.__cause__ is not None


@pytest.mark.slow
def test_an_operator_that_tvm_cannot_import():
    class Bessel(torch.nn.Module):
        def forward(self, x):
            return torch.special.i0e(x)

    spec = TensorSpec("x", (2, 3))
    made = EntryPointModule("encode", TEXT_ENCODER, Bessel(), (spec,), (spec,), None)
    family = find_family("tiny-sd15")
    component = family.component(TEXT_ENCODER)
    trace = trace_component(component, made)
    entry_points = relax_module.list_entry_points(family, [], [trace])
    with pytest.raises(CompileError) as caught:
        relax_module.import_entry_points(entry_points, [trace])
    assert "import of encode (component text_encoder)" in caught.value.message
    assert "special_i0e" in caught.value.message


def test_an_error_of_wsd_stays_what_it_is():
    with pytest.raises(UsageError, match="as it is"), calling_tvm("anything"):
        raise UsageError("as it is", "and its hint")


def test_a_mistake_in_a_call_of_tvm_is_ours():
    with pytest.raises(TypeError) as caught, calling_tvm("a call"):
        relax_function(1, 2, 3)
    assert caught.value.__notes__ == ["raised in a call"]
