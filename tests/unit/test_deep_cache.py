"""Cached deep features: which predictions run the whole UNet, and what the others compute.

The reference's latents are compared with those of diffusers' pipeline whose UNet's modules answer
with what they answered last, as the package DeepCache wraps them for branch 0.
"""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from commands import wsd
from grain import GRAIN
from masked import MASKED, MASKED_XL
from speck import CACHING, CACHING_XL, SPECK, SPECK_XL
from traced import cached_trace
from wsd.bundle.builder import build_bundle
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.compiler.memory import parameter_bytes, peaks
from wsd.errors import UsageError
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.frontend.entry_points import make_entry_points
from wsd.models.instantiate import build_module
from wsd.models.stable_diffusion.deep_cache import kept_features, predict_shallow
from wsd.runtime.given_picture import GivenPicture
from wsd.runtime.request import GenerationRequest, GuidanceInterval
from wsd.spec.roles import DENOISER, SHALLOW_DENOISER
from wsd.util.progress import Quiet

REQUEST = GenerationRequest("a star", "blue", steps=7, guidance_scale=6.0, seed=1, cache_interval=3)
SHARES = (0.0, 0.2, 0.5, 0.7, 1.0)


def test_the_whole_unet_runs_every_so_many_predictions():
    guided = range(7)
    assert [REQUEST.runs_whole(n, guided) for n in range(7)] == [True, False, False] * 2 + [True]
    always = replace(REQUEST, cache_interval=1)
    assert all(always.runs_whole(n, guided) for n in range(7))
    # Where guidance begins, nothing was predicted without the prompt before.
    assert [n for n in range(7) if REQUEST.runs_whole(n, range(4, 7))] == [0, 3, 4, 6]
    assert [n for n in range(7) if REQUEST.runs_whole(n, range(2))] == [0, 3, 6]
    assert [n for n in range(7) if REQUEST.runs_whole(n, range(0))] == [0, 3, 6]


@pytest.mark.slow
def test_the_page_runs_the_whole_unet_in_the_same_predictions(javascript):
    intervals = [None, *((a, b) for a in SHARES for b in SHARES if a <= b and a < 1)]
    every, count = [1, 2, 3, 5, 40], 20
    asked = {"call": "runs_whole", "cacheIntervals": every, "intervals": intervals, "count": count}
    found = javascript(asked)
    for number, of_page in zip(every, found, strict=True):
        request = replace(REQUEST, cache_interval=number)
        for shares, page in zip(intervals, of_page, strict=True):
            guided = range(0) if shares is None else GuidanceInterval(*shares).guided(count)
            assert page == [request.runs_whole(index, guided) for index in range(count)]


@contextmanager
def answering_again(unet, runs_whole):
    """Let a UNet's modules answer as before, but for its first and last layers, if not whole."""
    last = unet.up_blocks[-1]
    parts = [*unet.down_blocks, *unet.up_blocks[:-1], *last.resnets[:-1]]
    parts += getattr(last, "attentions", [])[:-1]
    if unet.mid_block is not None:
        parts.append(unet.mid_block)
    is_whole = True

    def wrap(module):
        forward, kept = module.forward, []

        def answer(*inputs, **options):
            if is_whole:
                kept[:] = [forward(*inputs, **options)]
            return kept[0]

        module.forward = answer

    def begin(*_):
        nonlocal is_whole
        is_whole = runs_whole()

    hook = unet.register_forward_pre_hook(begin)
    for part in parts:
        wrap(part)
    try:
        yield
    finally:
        hook.remove()
        for part in parts:
            del part.forward


@pytest.fixture(scope="module", params=[SPECK, SPECK_XL, CACHING_XL], ids=lambda one: one.name)
def model(request):
    """Return a checkpoint of random weights, and diffusers' pipeline of it."""
    family = request.param
    checkpoint = open_checkpoint(random_checkpoint(family, 0), family)
    return checkpoint, load_pipeline(checkpoint)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"scheduler": "ddim"},
        {"scheduler": "heun", "cache_interval": 2},
        {"scheduler": "pndm", "cache_interval": 2},
        {"guidance_scale": 1.0},
        {"images": 2, "steps": 4},
    ],
    ids=str,
)
def test_the_reference_answers_as_modules_that_answer_again(model, changes):
    checkpoint, pipeline = model
    wanted = replace(REQUEST, **changes)
    whole = replace(wanted, cache_interval=1)
    _, found = draw_reference(checkpoint, pipeline, wanted, Quiet())
    predicted = iter(range(100))
    with answering_again(pipeline.unet, lambda: next(predicted) % wanted.cache_interval == 0):
        _, expected = draw_reference(checkpoint, pipeline, whole, Quiet())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    _, plain = draw_reference(checkpoint, pipeline, whole, Quiet())
    assert np.abs(found - plain).max() > 1e-2


@pytest.mark.slow
def test_with_a_picture_the_predictions_that_are_run_count(model):
    """Of five steps the last four are run, and the first of those runs the whole UNet."""
    checkpoint, pipeline = model
    width, height = checkpoint.family.sizes[0]
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    picture = GivenPicture(pixels, 0.8)

    def drawn(every):
        wanted = replace(REQUEST, steps=5, scheduler="ddim", cache_interval=every)
        return draw_reference(checkpoint, pipeline, wanted, Quiet(), picture=picture)[1]

    np.testing.assert_array_equal(drawn(4), drawn(5))
    # The last prediction counts for little.
    for fewer in (1, 2):
        assert np.abs(drawn(4) - drawn(fewer)).max() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("family", [SPECK, CACHING_XL], ids=lambda family: family.name)
def test_with_its_own_features_a_shallow_prediction_is_the_whole_one(family):
    torch.manual_seed(0)
    unet = build_module(family.component(DENOISER))
    config = unet.config
    sample, text = torch.randn(2, 4, 8, 8), torch.randn(2, 77, config.cross_attention_dim)
    pooled = family.text_encoders()[-1].config["projection_dim"]
    added = {"text_embeds": torch.randn(2, pooled), "time_ids": torch.randn(2, 6)}
    if config.addition_embed_type is None:
        added = None
    timestep = torch.tensor([7.0])
    with torch.no_grad():
        with kept_features(unet) as kept:
            whole = unet(sample, timestep, text, added_cond_kwargs=added).sample
        (features,) = kept
        assert features.shape == (2, config.block_out_channels[0], 8, 8)
        found = predict_shallow(unet, sample, timestep, text, features, None, added)
        torch.testing.assert_close(found, whole)
        other = predict_shallow(unet, sample, timestep, text, 0 * features, None, added)
        assert (other - whole).abs().max() > 1e-3
        unet(sample, timestep, text, added_cond_kwargs=added)
    assert len(kept) == 1


def guiding_itself(family):
    """Return a family whose UNet takes the guidance scale as an input."""
    unet = family.component(DENOISER)
    config = {**unet.config, "time_cond_proj_dim": 32}
    return family.replace_component(replace(unet, config=config))


@pytest.mark.slow
@pytest.mark.parametrize(
    "family",
    [SPECK, CACHING_XL, MASKED, MASKED_XL, guiding_itself(SPECK)],
    ids=["sd", "sdxl", "masked", "masked sdxl", "guides itself"],
)
def test_with_its_own_features_a_shallow_function_is_the_whole_one(family):
    family = replace(family, deep_cache=True, prompt_chunks=1)
    unet = family.component(DENOISER)
    torch.manual_seed(0)
    model = build_module(unet)
    made = {each.role: each for each in make_entry_points(family, unet, model, family.sizes)}
    pairs = [("denoiser", "shallow_denoiser"), ("guided_denoiser", "guided_shallow_denoiser")]
    if "timestep_cond" in {spec.name for spec in made["denoiser"].inputs}:
        del pairs[1]
    assert set(made) == {role for pair in pairs for role in pair}
    for whole, shallow in ([made[role] for role in pair] for pair in pairs):
        given = {spec.name: torch.randn(spec.shape) for spec in whole.inputs}
        with torch.no_grad():
            noise, *features = whole.module(*given.values())
            given |= zip((spec.name for spec in whole.outputs[1:]), features, strict=True)
            found = shallow.module(*(given[spec.name] for spec in shallow.inputs))
        assert [tuple(each.shape) for each in features] == [s.shape for s in whole.outputs[1:]]
        torch.testing.assert_close(found, noise)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "texts"),
    [
        pytest.param(CACHING, 1, id="sd"),
        pytest.param(CACHING_XL, 0, id="sdxl", marks=pytest.mark.exhaustive),
    ],
)
def test_a_library_has_the_functions_and_no_more_parameters(family, texts):
    library = cached_trace(family)
    plain = cached_trace(replace(family, deep_cache=False))
    assert library.parameters == plain.parameters
    assert not plain.entries(SHALLOW_DENOISER, *family.sizes)
    names = {entry.name for entry in plain.entry_points}
    added = [entry for entry in library.entry_points if entry.name not in names]
    assert [entry.role for entry in added] == ["shallow_denoiser", "guided_shallow_denoiser"]
    for entry in added:
        assert {spec.name for spec in entry.inputs} >= {"latents", "timestep", "deep_features"}
        assert sum(spec.name == "text_embeddings" for spec in entry.inputs) == texts
    # Those that keep the features give them, and the others are as they were.
    for one in plain.entry_points:
        (other,) = (entry for entry in library.entry_points if entry.name == one.name)
        given = [spec.name for spec in other.outputs[len(one.outputs) :]]
        guides = one.role.startswith("guided")
        keeps = one.role.endswith("denoiser")
        assert given == ["deep_features", "negative_deep_features"][: keeps * (1 + guides)]
        assert replace(other, outputs=one.outputs) == one
    # The second function's workspace and the first one's are on the GPU together.
    (shallow,) = library.entries("guided_shallow_denoiser", *family.sizes)
    for before, after in zip(peaks(plain), peaks(library), strict=True):
        if before.offload:
            weights = parameter_bytes(plain, "unet")
            (whole,) = library.entries("guided_denoiser", *family.sizes)
            least = weights + whole.workspace_bytes + shallow.workspace_bytes
            assert after.bytes >= least > before.bytes - 2 * shallow.workspace_bytes


def test_a_transformer_keeps_none(tmp_path, capsys):
    with pytest.raises(UsageError) as raised:
        GRAIN.with_deep_cache()
    assert str(raised.value) == "grain has no UNet, whose deep features could be kept"
    assert SPECK.with_deep_cache() == replace(SPECK, deep_cache=True)
    for command in ("build", "compile"):
        out = tmp_path / command
        code, _ = wsd(command, "--model", "tiny-sd35", "--deep-cache", "--out", out)
        assert code == 2
        message, hint = capsys.readouterr().err.splitlines()
        assert "tiny-sd35 has no UNet" in message
        assert "such as sd15" in hint
        assert not out.exists()


@pytest.mark.parametrize(("value", "said"), [(0, "0 is not in the range"), ("x", "'x' is not")])
def test_the_command_refuses_what_is_no_interval(value, said, tmp_path, capsys):
    out = tmp_path / "out.png"
    code, _ = wsd(
        "reference", "--model", "speck", "--prompt", "a", "--cache-interval", value, "--out", out
    )
    assert code == 2
    assert said in capsys.readouterr().err
    assert not out.exists()
    with pytest.raises(UsageError, match="cache interval is 0"):
        replace(REQUEST, cache_interval=0)


@pytest.mark.slow
def test_a_bundle_without_a_deep_cache_refuses_an_interval(tmp_path, capsys):
    checkpoint = open_checkpoint(choose_checkpoint(SPECK, None, 0), SPECK)
    bundle = build_bundle(checkpoint, cached_trace(SPECK), tmp_path / "bundle", Quiet())
    out = tmp_path / "out.png"
    capsys.readouterr()
    code, _ = wsd("render", bundle, "--prompt", "a", "--cache-interval", 2, "--out", out)
    assert code == 2
    message, hint = capsys.readouterr().err.splitlines()
    assert "speck was built without a deep cache" in message
    assert "--deep-cache" in hint
    assert not out.exists()
