"""The browser against diffusers, for each family and precision: every stage, then whole pictures.

One table of models (:data:`MODELS`). A bundle of rounded weights is compared with PyTorch on the
same rounded weights. tiny-sd15's own whole picture: ``test_meaning.py``.
"""

import re

import numpy as np
import pytest
import torch

from paged import assert_drawn, open_in_page
from scheduling import DISCRETE
from speck import BROAD, SPECK, SPECK_XL
from wsd.evaluate.diffusers_reference import draw_reference
from wsd.evaluate.metrics import relative_error
from wsd.evaluate.weighted_prompts import encode_prompt
from wsd.models.registry import find_family
from wsd.runtime.request import GenerationRequest
from wsd.spec.roles import DENOISER, VAE_DECODER
from wsd.util.progress import Quiet

# Each architecture and each precision. Two more pairs are in `nox -s full`. The others and the
# models that ship, which run the same code with other numbers, are in `nox -s exhaustive`.
# tests/conftest.py keeps a model's tests together.
MODELS = {
    "tiny-sd15-f32": (find_family("tiny-sd15"), "f32"),
    "speck-f32": (SPECK, "f32"),
    "speck-w8a16": (SPECK, "w8a16"),
    "speck-xl-f32": (SPECK_XL, "f32"),
    "broad-f16": (BROAD, "f16"),
    "broad-w4a16": (BROAD, "w4a16"),
    "speck-f16": (SPECK, "f16"),
    "speck-xl-w8a16": (SPECK_XL, "w8a16"),
    "tiny-sdxl-f32": (find_family("tiny-sdxl"), "f32"),
}
EXHAUSTIVE = ("tiny-sd15-f32", "speck-w8a16", "broad-f16", "speck-f16",
              "speck-xl-f32", "speck-xl-w8a16", "tiny-sdxl-f32")  # fmt: skip
FULL = ("broad-w4a16",)
ERROR = 1e-4  # of one stage, of small models

PROMPTS = ["a large red circle", "Two small blue squares, left of a star!", "une étoile 你好 👍"]
LONG = "a yellow diamond above a pink heart and " * 25  # 200 words


@pytest.fixture(scope="module")
def model(request, open_model, tmp_path_factory):
    # What other tests have in a page already.
    shared = {"tiny-sd15-f32": "renderer", "speck-f32": "speck_renderer"}
    name = shared.get(request.param)
    opened = name and request.getfixturevalue(name)
    folder = tmp_path_factory.mktemp("bundle")
    with open_in_page(*MODELS[request.param], PROMPTS[0], folder, open_model, opened) as found:
        yield found


# Schedulers of each kind, for the full tests, which have one GPU trajectory of each algorithm too
# (test_scheduler_kernel.py). The others are exhaustive. Every run compares each on the CPU
# (test_schedulers.py), and draws by the model's own scheduler, and by one with noise of its own.
OF_EACH_KIND = {"dpmpp_2m", "euler_a", "heun"}


def mark(name, *values):
    used = {value.scheduler for value in values if not value.eta} - {None}
    if name in EXHAUSTIVE or used - OF_EACH_KIND:
        marks = pytest.mark.exhaustive
    else:
        marks = pytest.mark.full if name in FULL or used else ()
    return pytest.param(name, *values, marks=marks, id="-".join([name, *map(name_of, values)]))


def name_of(wanted):
    kept = [wanted.prompt[:12], wanted.seed, wanted.steps, wanted.scheduler, wanted.guidance_scale]
    return re.sub(r"\W+", "-", "-".join(map(str, kept)))


def seldom(*values):
    """Return values that few lines of code tell from their neighbour."""
    return [pytest.param(value, marks=pytest.mark.exhaustive) for value in values]


each_model = pytest.mark.parametrize("model", [mark(name) for name in MODELS], indirect=True)


@each_model
def test_weights_are_packed(model):
    library = model.library
    found = {p.storage for parameters in library.parameters.values() for p in parameters}
    assert ("int8" in found) == (library.dtype in ("w8a16", "w4a16"))
    assert ("int4" in found) == (library.dtype == "w4a16")
    assert ("float16" in found) == (library.dtype != "f32")
    assert not [name for name in library.shaders if "unpack_" in name]


@each_model
@pytest.mark.parametrize("prompt", ["", *PROMPTS, LONG], ids=lambda prompt: prompt[:12])
def test_text_encoders(model, prompt):
    with torch.no_grad():
        states, _, *pooled = model.pipeline.encode_prompt(
            prompt, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
        )
    found = model.renderer.encode_text(prompt)
    assert relative_error(found["text_embeddings"], states.numpy()) < ERROR
    if pooled:
        assert relative_error(found["pooled_text"], pooled[0].numpy()) < ERROR


WEIGHTED = r"a (large:1.4) [red] circle ((above)) a \(blue\) heart, (star:0.3) [[and"


# SD 1.5's states are taken behind a layer norm. Those of random weights have a mean of 0 there,
# which weighing cannot bring back, so a trained model is compared.
@pytest.mark.parametrize(
    "model",
    [mark(name) for name in MODELS if name.startswith("tiny") or "xl" in name],
    indirect=True,
)
@pytest.mark.parametrize("prompt", [WEIGHTED, f"({PROMPTS[0]}:0.8) {LONG}"], ids=["short", "long"])
def test_weighted_prompts(model, prompt):
    conditioning = model.checkpoint.family.conditioning
    encoded = encode_prompt(model.pipeline, conditioning, (prompt, PROMPTS[1]))
    found = model.renderer.encode_text(prompt, PROMPTS[1], "a1111")
    assert relative_error(found["text_embeddings"], encoded.embeddings.numpy()) < ERROR
    if encoded.pooled is not None:
        assert relative_error(found["pooled_text"], encoded.pooled.numpy()) < ERROR


@each_model
@pytest.mark.parametrize("timestep", [999, *seldom(500, 1)])
def test_one_denoiser_step(model, timestep):
    given = model.inputs(DENOISER, timestep) | {"timestep": torch.tensor([float(timestep)])}
    if "time_ids" in given:
        given["time_ids"] = torch.tensor([[512.0, 640.0, 8.0, 16.0, 16.0, 16.0]])
    added = {
        theirs: given[ours]
        for theirs, ours in (("text_embeds", "pooled_text"), ("time_ids", "time_ids"))
        if ours in given
    }
    with torch.no_grad():
        expected = model.pipeline.unet(
            given["latents"], timestep, given["text_embeddings"], added_cond_kwargs=added
        ).sample
    found = model.renderer.predict_noise({name: array.numpy() for name, array in given.items()})
    assert relative_error(found, expected.numpy()) < ERROR


@each_model
def test_vae_decoder(model):
    latents = model.inputs(VAE_DECODER, 5)["latents"]
    with torch.no_grad():
        scaled = latents / model.pipeline.vae.config.scaling_factor
        expected = model.pipeline.vae.decode(scaled).sample
    assert relative_error(model.renderer.decode_latents(latents.numpy()), expected.numpy()) < ERROR


@each_model
def test_vae_encoder(model):
    width, height = model.library.sizes[0]
    image = np.random.default_rng(6).integers(0, 256, (height, width, 3), np.uint8)
    # As diffusers' VaeImageProcessor brings a picture to the model's range.
    scaled = 2 * (torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255) - 1
    with torch.no_grad():
        expected = model.pipeline.vae.encode(scaled).latent_dist.parameters
    assert relative_error(model.renderer.encode_image(image), expected.numpy()) < ERROR


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "model", [mark(name) for name, (_, dtype) in MODELS.items() if dtype != "f32"], indirect=True
)
def test_the_self_test_allows_for_the_precision(model):
    """Its fixtures are of weights that nobody rounded."""
    stages = model.renderer.self_test()
    family = model.checkpoint.family
    # The guided denoiser, a tile, the encoder, and a tile of it.
    assert len(stages) == len(family.components) + 4
    assert [stage for stage in stages if not stage["good"]] == []
    least = 1e-3 if model.library.dtype in ("w8a16", "w4a16") else 1e-5
    assert max(stage["error"] for stage in stages) > least


# The ways to sample do not depend on the model.
SAMPLING = [
    GenerationRequest(PROMPTS[2], seed=0, steps=2),
    GenerationRequest("", seed=1, steps=1),
    GenerationRequest(LONG, seed=2, steps=1),
    GenerationRequest(PROMPTS[0], negative_prompt="blue, green", seed=3, steps=2),
    GenerationRequest(PROMPTS[0], guidance_scale=1.0, seed=4, steps=2),
    *(
        GenerationRequest(PROMPTS[1], seed=7, steps=5, scheduler=name)
        for name, known in DISCRETE.items()
        if known.offered
    ),
    GenerationRequest(PROMPTS[1], seed=8, steps=3, scheduler="ddim", eta=0.8),
    GenerationRequest(PROMPTS[0], seed=2**64 - 1, steps=2, scheduler="euler_a", images=3),
    GenerationRequest(PROMPTS[0], guidance_scale=7.5, seed=6, steps=10),
]
# With SDXL no negative prompt is zeros, and an empty one is not.
NEGATIVES = {
    negative: GenerationRequest(PROMPTS[0], negative_prompt=negative, seed=seed, steps=2)
    for seed, negative in enumerate([None, "", "blue, green"])
}
UNGUIDED = GenerationRequest(PROMPTS[0], guidance_scale=1.0, seed=4, steps=2, scheduler="euler")
PICTURES = {
    # Their other whole pictures, which take a minute: test_meaning.py. With four steps Heun's
    # method makes an error of the denoiser's thirty times larger.
    "tiny-sd15-f32": [
        GenerationRequest(PROMPTS[0], seed=9, steps=6, scheduler=name)
        for name in ("heun", "dpmpp_sde_karras", "lms")
    ],
    "tiny-sdxl-f32": [],
    "speck-f32": [*SAMPLING[:1], *SAMPLING[3:-1]],
    "speck-xl-w8a16": [NEGATIVES[""]],
}
# Other whole pictures, for the full tests, and then for the exhaustive ones.
MORE_PICTURES = {"speck-f32": SAMPLING[1:3]}
SELDOM_DRAWN = {
    "speck-f32": SAMPLING[-1:],
    "speck-xl-w8a16": [NEGATIVES[None], NEGATIVES["blue, green"], UNGUIDED],
}
PLAIN = [GenerationRequest(PROMPTS[1], seed=3, steps=3)]


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        *(mark(name, wanted) for name in MODELS for wanted in PICTURES.get(name, PLAIN)),
        *(
            pytest.param(name, wanted, marks=marks, id=f"{name}-{name_of(wanted)}")
            for table, marks in (
                (MORE_PICTURES, pytest.mark.full),
                (SELDOM_DRAWN, pytest.mark.exhaustive),
            )
            for name, requests in table.items()
            for wanted in requests
        ),
    ],
    indirect=["model"],
)
def test_whole_pictures(model, wanted):
    assert_drawn(model, wanted)


@pytest.mark.parametrize("model", [mark("speck-xl-w8a16")], indirect=True)
def test_an_empty_negative_prompt_is_not_the_same_as_none(model):
    """So that whoever draws both as diffusers does tells them apart."""
    wanted = (
        GenerationRequest(PROMPTS[0], negative_prompt=negative, seed=2, steps=2)
        for negative in (None, "")
    )
    without, empty = (
        draw_reference(model.checkpoint, model.pipeline, one, Quiet())[1] for one in wanted
    )
    assert relative_error(without, empty) > 2e-3


@pytest.mark.exhaustive
@pytest.mark.parametrize("model", [mark("speck-f32")], indirect=True)
def test_the_prompt_and_the_seed_matter(model):
    first, other_prompt, other_seed, again = (
        model.renderer.draw(GenerationRequest(prompt, seed=seed, steps=1)).latents
        for prompt, seed in [("red", 0), ("blue", 0), ("red", 1), ("red", 0)]
    )
    assert relative_error(first, other_prompt) > 1e-3
    assert relative_error(first, other_seed) > 1e-1
    np.testing.assert_array_equal(again, first)
