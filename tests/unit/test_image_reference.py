"""Drawing from a picture, by the reference: as diffusers' own pipelines draw, and what is refused.

Latents are compared to the bit: both run the same modules on this machine.
"""

import re
import zlib
from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from commands import exit_code, wsd
from grain import GRAIN
from marks import some_of, twelfths
from speck import LEVELS, SPECK, SPECK_XL
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.errors import UsageError
from wsd.evaluate.diffusers_reference import choose_size, draw_reference, load_pipeline
from wsd.models.registry import FAMILIES
from wsd.models.schedulers import noise_kind, suitable_schedulers
from wsd.runtime.given_picture import GivenPicture, read_given_picture
from wsd.runtime.picture_fit import fit_mask, fit_picture
from wsd.runtime.request import GenerationRequest
from wsd.spec.picture import FITS
from wsd.util.progress import Quiet

PIPELINES = {
    ("speck", False): diffusers.StableDiffusionImg2ImgPipeline,
    ("speck", True): diffusers.StableDiffusionInpaintPipeline,
    ("speck-xl", False): diffusers.StableDiffusionXLImg2ImgPipeline,
    ("speck-xl", True): diffusers.StableDiffusionXLInpaintPipeline,
    ("grain", False): diffusers.StableDiffusion3Img2ImgPipeline,
    ("grain", True): diffusers.StableDiffusion3InpaintPipeline,
}
MODELS = {family.name: family for family in (SPECK, SPECK_XL, LEVELS, GRAIN)}
# Without noise of its own, with it, of two evaluations in a step, and of several steps.
SOME = ("ddim", "euler_a", "heun", "dpmpp")
REQUEST = GenerationRequest("a large red circle", seed=2, steps=4, guidance_scale=3.0)


def make_picture(edge=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (edge, edge, 3), np.uint8)


def make_mask(edge=16):
    mask = np.zeros((edge, edge), np.uint8)
    mask[edge // 4 :, : edge // 2] = 255
    return mask


@pytest.fixture(scope="module")
def opened():
    kept = {}

    def open_once(name):
        if name not in kept:
            family = MODELS[name]
            checkpoint = open_checkpoint(random_checkpoint(family, 0), family)
            kept[name] = checkpoint, load_pipeline(checkpoint)
        return kept[name]

    return open_once


@pytest.mark.slow
@pytest.mark.parametrize(("name", "masked"), PIPELINES)
@pytest.mark.parametrize(
    "strength", [0.5, *(pytest.param(s, marks=pytest.mark.exhaustive) for s in (0.6, 1.0))]
)
def test_it_draws_what_diffusers_draws(opened, name, masked, strength):
    checkpoint, pipeline = opened(name)
    picture = GivenPicture(make_picture(), strength, make_mask() if masked else None)
    images, latents = draw_reference(checkpoint, pipeline, REQUEST, Quiet(), picture=picture)

    theirs = PIPELINES[name, masked].from_pretrained(
        checkpoint.source.path, torch_dtype=torch.float32
    )
    theirs.set_progress_bar_config(disable=True)
    given = {"image": Image.fromarray(picture.image), "strength": strength}
    if name == "grain":
        given |= {"width": 16, "height": 16}
    if masked:
        mask = Image.fromarray(picture.mask)
        given |= {"mask_image": mask, "width": 16, "height": 16}
    expected = theirs(
        REQUEST.prompt,
        num_inference_steps=4,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(2),
        output_type="latent",
        **given,
        **checkpoint.family.architecture.call_options(checkpoint.family),
    ).images
    np.testing.assert_array_equal(latents, expected.numpy().ravel())
    assert images.shape == (1, 16, 16, 3)


@pytest.mark.parametrize("scheduler", twelfths(suitable_schedulers(SPECK.scheduler), SOME))
def test_every_scheduler_draws_from_a_picture(opened, scheduler):
    checkpoint, pipeline = opened("speck")
    for masked in (False, True):
        picture = GivenPicture(make_picture(), 0.75, make_mask() if masked else None)
        wanted = GenerationRequest("a star", seed=2, steps=4, scheduler=scheduler)
        images, latents = draw_reference(checkpoint, pipeline, wanted, Quiet(), picture=picture)
        assert np.isfinite(latents).all()
        assert images.std() > 1


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["flow_euler", "flow_heun"])
def test_a_masked_picture_is_decoded_with_the_shift(opened, scheduler):
    """diffusers' pipeline for masks leaves the shift out; its other pipelines do not."""
    checkpoint, pipeline = opened("grain")
    picture = GivenPicture(make_picture(), 0.6, make_mask())
    request = replace(REQUEST, scheduler=scheduler)
    images, latents = draw_reference(checkpoint, pipeline, request, Quiet(), picture=picture)
    config = pipeline.vae.config
    drawn = torch.from_numpy(latents).reshape(checkpoint.family.latent_space.shape((16, 16)))
    with torch.no_grad():
        shifted = pipeline.vae.decode(drawn / config.scaling_factor + config.shift_factor).sample
    expected = pipeline.image_processor.postprocess(shifted, output_type="np")
    np.testing.assert_array_equal(images, (expected * 255).round().astype(np.uint8))


@pytest.mark.parametrize("steps", [1, 4, 7, 20, 28])
def test_steps_of_flow_matching_are_counted_as_diffusers_counts_them(opened, steps):
    checkpoint, pipeline = opened("grain")
    members = pipeline.components
    theirs = diffusers.StableDiffusion3Img2ImgPipeline(**members)
    theirs.scheduler.set_timesteps(steps)
    for strength in (0.05, 0.3, 0.58, 0.6, 0.75, 0.999, 1.0):
        _, expected = theirs.get_timesteps(steps, strength, "cpu")
        kind = noise_kind(checkpoint.scheduler)
        assert GivenPicture(make_picture(), strength).count_steps(steps, kind) == expected


@pytest.mark.slow
def test_what_is_not_masked_is_the_pictures_own(opened):
    """Of a VAE whose latents have an eighth of the picture's pixels each way."""
    checkpoint, pipeline = opened("levels")
    picture = GivenPicture(make_picture(32), 1.0, make_mask(32))
    _, latents = draw_reference(checkpoint, pipeline, REQUEST, Quiet(), picture=picture)
    image = torch.from_numpy(picture.image).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        posterior = pipeline.vae.encode(image).latent_dist
    # The first random numbers of the seed are those of the encoder's sample.
    own = pipeline.vae.config.scaling_factor * posterior.sample(torch.Generator().manual_seed(2))
    kept = picture.mask[::8, ::8] == 0
    found = torch.from_numpy(latents).reshape(own.shape)
    np.testing.assert_allclose(found[0, :, kept], own[0, :, kept], rtol=1e-4, atol=1e-5)
    assert (found - own)[0, :, ~kept].abs().max() > 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strength": 0.0}, "strength is 0.0"),
        ({"strength": 1.1}, "strength is 1.1"),
        ({"strength": float("nan")}, "strength is nan"),
        ({"image": np.zeros((16, 16), np.uint8)}, r"a picture of shape \[16, 16\]"),
        ({"image": np.zeros((16, 16, 4), np.uint8)}, r"a picture of shape \[16, 16, 4\]"),
        ({"image": np.zeros((16, 16, 3))}, "type float64"),
        ({"mask": np.zeros((16, 16), np.uint8)}, "the mask is black all over"),
        ({"mask": np.full((16, 16), 127, np.uint8)}, "the mask is black all over"),
        ({"mask": np.ones((8, 16), np.uint8)}, "of a picture of 16x16"),
        ({"mask": np.ones((16, 16), bool)}, "type bool"),
    ],
)
def test_what_no_pipeline_takes_is_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        GivenPicture(**{"image": make_picture(), "strength": 0.5, **changes})


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("name", ["speck", "speck-xl"])
def test_the_start_can_be_nudged(opened, name, masked):
    checkpoint, pipeline = opened(name)
    picture = GivenPicture(make_picture(), 0.5, make_mask() if masked else None)
    exact, nudged, further = (
        draw_reference(checkpoint, pipeline, REQUEST, Quiet(), picture=picture, nudge=amount)[1]
        for amount in (0.0, 1e-4, 1e-2)
    )
    size = np.linalg.norm(exact)
    changes = [np.linalg.norm(end - exact) / size for end in (nudged, further)]
    assert 1e-6 < changes[0] < 1e-2
    assert 30 < changes[1] / changes[0] < 300


def test_a_picture_of_another_size_is_refused(opened):
    request = GenerationRequest("a star", size=(32, 32))
    with pytest.raises(UsageError, match="a picture of 16x16 is given, and 32x32 is to be drawn"):
        draw_reference(
            *opened("speck"), request, Quiet(), picture=GivenPicture(make_picture(), 0.5)
        )


def test_a_strength_that_runs_no_step_is_refused(opened):
    with pytest.raises(UsageError, match="a strength of 0.05 runs none of 4 steps"):
        draw_reference(
            *opened("speck"), REQUEST, Quiet(), picture=GivenPicture(make_picture(), 0.05)
        )


@pytest.mark.slow
def test_the_strength_that_is_advised_runs_a_step():
    for steps in range(1, 1001):
        with pytest.raises(UsageError) as refused:
            GivenPicture(make_picture(), 0.9 / steps).count_steps(steps)
        [advised] = re.findall(r"at least ([\d.]+),", refused.value.hint)
        assert GivenPicture(make_picture(), float(advised)).count_steps(steps) >= 1


@pytest.mark.parametrize(
    ("steps", "strength"), [(20, 0.05), (20, 0.3), (25, 0.3), (4, 0.75), (7, 1.0), (3, 0.999)]
)
def test_steps_are_counted_as_diffusers_counts_them(opened, steps, strength):
    _, pipeline = opened("speck")
    theirs = diffusers.StableDiffusionImg2ImgPipeline(
        **pipeline.components, requires_safety_checker=False
    )
    theirs.scheduler.set_timesteps(steps)
    _, expected = theirs.get_timesteps(steps, strength, "cpu")
    assert GivenPicture(make_picture(), strength).count_steps(steps) == expected


def save(path, image, **options):
    Image.fromarray(image).save(path, **options)
    return path


def test_files_are_read_as_they_are(tmp_path):
    image = save(tmp_path / "image.png", make_picture())
    mask = save(tmp_path / "mask.png", make_mask())
    read = read_given_picture(image, mask)
    np.testing.assert_array_equal(read.image, make_picture())
    np.testing.assert_array_equal(read.mask, make_mask())
    assert (read.strength, read_given_picture(image).strength) == (1.0, 0.8)
    assert read_given_picture(image, strength=0.3).strength == 0.3


def test_transparent_pixels_lie_on_white_and_those_of_a_mask_on_black(tmp_path):
    layers = np.zeros((16, 16, 4), np.uint8)
    layers[:4] = [240, 200, 150, 255]
    path = save(tmp_path / "layers.png", layers)
    read = read_given_picture(path, path)
    assert (read.image[:4] == [240, 200, 150]).all()
    assert (read.image[4:] == 255).all()
    assert (read.mask[4:] == 0).all()
    assert (read.mask[:4] > 0).all()


def test_a_photograph_is_turned_as_it_says(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # the orientation: turned by a quarter
    tall = np.zeros((8, 16, 3), np.uint8)
    tall[:, :4] = 255
    path = save(tmp_path / "turned.png", tall, exif=exif)
    read = read_given_picture(path)
    assert read.size == (8, 16)
    assert (read.image[:4] == 255).all()
    assert (read.image[4:] == 0).all()


def animate(path):
    frames = [Image.fromarray(make_picture(seed=seed)) for seed in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def claim(path, width, height):
    """Write a PNG whose header says that it has so many pixels."""
    data = bytearray(save(path, make_picture()).read_bytes())
    data[16:24] = width.to_bytes(4) + height.to_bytes(4)
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4)
    path.write_bytes(data)


BAD_FILES = {
    "missing.png": (lambda path: None, "there is no file"),
    "empty.png": (
        lambda path: path.write_bytes(b""),
        "is no picture that can be read: it is empty",
    ),
    "text.png": (lambda path: path.write_text("a picture"), "is no picture that can be read"),
    "cut.png": (
        lambda path: path.write_bytes(save(path, make_picture()).read_bytes()[:200]),
        "is no picture that can be read",
    ),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "huge.png": (
        lambda path: claim(path, 30000, 30000),
        "has too many pixels",
    ),
    "wide.png": (
        lambda path: claim(path, 16385, 8),
        "has 16385x8 pixels, which is too large",
    ),
    "large.png": (
        lambda path: claim(path, 12000, 12000),
        "has 12000x12000 pixels, which is too large",
    ),
    "animated.gif": (animate, "has 3 pictures"),
    "animated.webp": (animate, "has 3 pictures"),
    "cmyk.jpg": (
        lambda path: Image.new("CMYK", (16, 16)).save(path),
        "stores its pixels as CMYK",
    ),
    "deep.png": (lambda path: Image.new("I;16", (16, 16)).save(path), "stores its pixels as I;16"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD_FILES)
def test_files_that_are_no_pictures_are_refused(name, tmp_path):
    make, message = BAD_FILES[name]
    path = tmp_path / name
    make(path)
    good = save(tmp_path / "good.png", make_picture())
    for image, mask in ((path, None), (good, path)):
        with pytest.raises(UsageError, match=message) as raised:
            read_given_picture(image, mask)
        assert raised.value.hint


@pytest.mark.slow
def test_the_command_draws_what_the_function_draws(tmp_path):
    image = save(tmp_path / "image.png", make_picture())
    mask = save(tmp_path / "mask.png", make_mask())
    options = ["--model", "speck", "--random-weights", 0, "--prompt", "a star", "--seed", 2,
               "--steps", 4, "--image", image]  # fmt: skip
    drawn = {}
    for name, more in {"whole": ("--strength", 0.5), "part": ("--mask", mask)}.items():
        out = tmp_path / f"{name}.png"
        assert wsd("reference", *options, *more, "--out", out)[0] == 0
        drawn[name] = np.asarray(Image.open(out))
    checkpoint = open_checkpoint(random_checkpoint(SPECK, 0), SPECK)
    request = GenerationRequest("a star", seed=2, steps=4)
    picture = GivenPicture(make_picture(), 0.5)
    [expected] = draw_reference(
        checkpoint, load_pipeline(checkpoint), request, Quiet(), picture=picture
    )[0]
    np.testing.assert_array_equal(drawn["whole"], expected)
    assert (drawn["part"] != drawn["whole"]).any()


@pytest.mark.slow
@pytest.mark.parametrize("fit", some_of(FITS, 4))
def test_the_command_fits_a_picture_and_says_so(tmp_path, capsys, fit):
    given = np.random.default_rng(0).integers(0, 256, (30, 60, 3), np.uint8)
    white = np.zeros((30, 60), np.uint8)
    white[:, 20:40] = 255
    image, mask = save(tmp_path / "image.png", given), save(tmp_path / "mask.png", white)
    out = tmp_path / "drawn.png"
    code, _ = wsd(
        "reference", "--model", "speck", "--random-weights", 0, "--prompt", "a star", "--seed", 2,
        "--steps", 4, "--size", "16x16", "--image", image, "--mask", mask, "--strength", 0.5,
        *([] if fit == "cover" else ["--fit", fit]), "--out", out,
    )  # fmt: skip
    assert code == 0
    assert f"note: the picture is fitted: from 60x30 to 16x16 by {fit}: " in capsys.readouterr().err
    checkpoint = open_checkpoint(random_checkpoint(SPECK, 0), SPECK)
    fitted = fit_picture(given, (16, 16), fit), 0.5, fit_mask(white, (16, 16), fit)
    [expected] = draw_reference(
        checkpoint, load_pipeline(checkpoint), GenerationRequest("a star", seed=2, steps=4),
        Quiet(), picture=GivenPicture(*fitted),
    )[0]  # fmt: skip
    drawn = Image.open(out)
    np.testing.assert_array_equal(np.asarray(drawn), expected)
    assert f"Fit: {fit}, " in drawn.text["parameters"]


def test_a_reference_is_drawn_in_the_pictures_own_size_or_in_the_nearest():
    family = replace(FAMILIES["sd15"], sizes=((512, 512), (768, 512), (512, 768)))

    def choose(size, asked=None):
        picture = GivenPicture(np.zeros((*size[::-1], 3), np.uint8), 0.5)
        return choose_size(family, GenerationRequest("x", size=asked), picture)

    assert choose((640, 448)) == (640, 448)
    assert choose((641, 448)) == (768, 512)
    assert choose((1000, 1100)) == (512, 512)
    assert choose((4000, 3000)) == (768, 512)
    assert choose((3000, 4500)) == (512, 768)
    assert choose((640, 448), (64, 64)) == (64, 64)
    assert choose_size(family, GenerationRequest("x"), None) == (512, 512)


EARLY = {
    "no step": ("sd15", ["--image", "image.png", "--strength", 0.03], "runs none of 25 steps"),
    "no step of few": (
        "sd15", ["--image", "image.png", "--strength", 0.3, "--steps", 3], "runs none of 3 steps",
    ),
    "no step of a fine-tune": (
        "sdxl", ["--image", "image.png", "--strength", 0.2, "--fine-tune", "lightning-4step"],
        "runs none of 4 steps",
    ),
    "no picture": ("sd15-inpaint", [], "draws a part of a picture anew, and none is given"),
    "no mask": ("sd15-inpaint", ["--image", "image.png"], "takes no picture without a mask"),
    "no rescale": (
        "sd15", ["--image", "image.png", "--guidance-rescale", 0.5], "has no guidance rescale",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", EARLY)
def test_what_no_checkpoint_draws_is_refused_before_one_is_opened(
    tmp_path, monkeypatch, capsys, case
):
    model, options, message = EARLY[case]
    save(tmp_path / "image.png", make_picture())
    monkeypatch.chdir(tmp_path)
    opened = []
    monkeypatch.setattr("wsd.checkpoint.resolve.open_chosen", lambda *given: opened.append(given))
    words = ("reference", "--model", model, "--weights", "owner/name", "--prompt", "x", *options,
             "--out", "x.png")  # fmt: skip
    assert exit_code(*words) == 2
    error, hint = capsys.readouterr().err.strip().splitlines()[-2:]
    assert message in error
    assert hint.startswith("hint: ")
    assert not opened
    assert not (tmp_path / "x.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", 100, "--scheduler", "lcm"], "steps is 100"),
        (["--steps", 4, "--image", "large.png", "--mask", "dot.png", "--size", "16x16"],
         "nothing of the mask is left at 16x16"),
    ],
)  # fmt: skip
def test_what_a_checkpoint_does_not_draw_is_refused_before_it_is_loaded(
    tmp_path, monkeypatch, capsys, options, message
):
    save(tmp_path / "large.png", make_picture(200))
    dot = np.zeros((200, 200), np.uint8)
    dot[9, 9] = 255
    save(tmp_path / "dot.png", dot)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("wsd.evaluate.diffusers_reference.load_pipeline", pytest.fail)
    words = ("reference", "--model", "speck", "--random-weights", 0, "--prompt", "x", *options,
             "--out", "x.png")  # fmt: skip
    assert wsd(*words)[0] == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-2]


@pytest.mark.parametrize("option", [("--mask", "m.png"), ("--strength", 0.5), ("--fit", "contain")])
def test_a_mask_or_a_strength_wants_a_picture(option, tmp_path, capsys):
    words = ("reference", "--model", "speck", "--random-weights", 0, "--prompt", "x", *option,
             "--out", tmp_path / "x.png")  # fmt: skip
    assert exit_code(*words) == 2
    assert f"{option[0]} is given without --image" in capsys.readouterr().err
