"""The published models: traced at full size, without their weights."""

import math
import resource

import pytest

from marks import some_of
from wsd.compiler.cache import library_key
from wsd.frontend.entry_points import make_entry_point, make_entry_points
from wsd.frontend.export import trace_component
from wsd.models.instantiate import build_skeleton
from wsd.models.registry import FAMILIES
from wsd.models.schedulers import describe_noise_schedule, describe_schedulers
from wsd.spec.roles import VAE_DECODER, VAE_ENCODER

# Counted by their publishers. SDXL's first encoder goes without its last layer and norm.
PARAMETERS = {
    ("sd15", "text_encoder"): 123_060_480,
    ("sd15", "unet"): 859_520_964,
    ("sdxl", "text_encoder"): 123_060_480 - 7_087_872 - 2 * 768,
    ("sdxl", "text_encoder_2"): 694_659_840,
    ("sdxl", "unet"): 2_567_463_684,
    # Five more channels that the first convolution takes, of 3x3 weights each.
    ("sd15-inpaint", "unet"): 859_520_964 + 5 * 9 * 320,
    ("sdxl-inpaint", "unet"): 2_567_463_684 + 5 * 9 * 320,
    # Two tables of 384 positions in the place of one of 384x384.
    ("sd35-medium", "transformer"): 2_243_171_520 + 2 * 384 * 768,
    ("sd35-medium", "text_encoder_3"): 4_762_310_656,
}
# Of the VAE without its decoder, and without the convolution before it.
ENCODER = 83_653_863 - 49_490_179 - 20


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("family", "name"),
    [
        pytest.param(*pair, marks=pytest.mark.exhaustive if "inpaint" in pair[0] else ())
        for pair in PARAMETERS
    ],
)
def test_full_size_components_are_traced(family, name):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    component = next(c for c in FAMILIES[family].components if c.id == name)
    size = FAMILIES[family].sizes[0]
    made = make_entry_point(FAMILIES[family], component, build_skeleton(component), size)
    trace = trace_component(component, made)
    assert (
        sum(math.prod(parameter.shape) for parameter in trace.parameters)
        == PARAMETERS[family, name]
    )
    # Weights would be gigabytes; names and shapes are not.
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mib < 700


@pytest.mark.full
def test_the_encoder_is_traced_at_full_size():
    family = FAMILIES["sd15"]
    component = family.component(VAE_DECODER)
    made = make_entry_points(family, component, build_skeleton(component), [(512, 768)])
    whole = next(entry for entry in made if entry.role == VAE_ENCODER)
    assert whole.outputs[0].shape == (1, 8, 96, 64)
    trace = trace_component(component, whole)
    assert sum(math.prod(parameter.shape) for parameter in trace.parameters) == ENCODER


def test_distilled_models_share_the_library_of_their_teacher():
    for teacher, student in (("sd15", "sd15-lcm"), ("sdxl", "sdxl-turbo")):
        size = [(512, 512)]
        assert library_key(FAMILIES[teacher], size, "f16") == library_key(
            FAMILIES[student], size, "f16"
        )
    assert library_key(FAMILIES["sd15"], size, "f16") != library_key(FAMILIES["sdxl"], size, "f16")
    assert library_key(FAMILIES["sd15"], size, "f16") != library_key(FAMILIES["sd15"], size, "f32")


@pytest.mark.parametrize(
    ("name", "scheduler"),
    some_of(
        [("sd15-lcm", "lcm"), ("sd15", "pndm"), ("sdxl-turbo", "euler_a"), ("sdxl", "euler")], 2
    ),
)
def test_published_schedulers_are_understood(name, scheduler):
    assert describe_schedulers(FAMILIES[name].scheduler).default == scheduler
    assert len(describe_noise_schedule(FAMILIES[name].scheduler).alphas_cumprod) == 1000
