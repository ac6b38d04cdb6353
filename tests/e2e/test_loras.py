"""LoRAs in a browser: the weights on the GPU are those of Python's merge."""

import base64
import json
import shutil

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from adapters_data import FORMATS, READ_BY_DIFFUSERS, write_adapter
from lora_pages import opened, read_picture, served_with_tools
from patched_weights import check_weights
from speck import BROAD, SPECK, SPECK_XL
from wsd.bundle.adapter_bundle import write_adapter_bundle
from wsd.bundle.builder import build_bundle
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.compiler.driver import compile_library
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.evaluate.metrics import psnr, relative_error
from wsd.runtime.request import GenerationRequest
from wsd.spec.tolerances import LATENTS_TOLERANCE, ROUNDING_PSNR
from wsd.util.progress import Quiet

MODELS = {
    "speck-f32": (SPECK, "f32"),
    "speck-f16": (SPECK, "f16"),
    "speck-w8a16": (SPECK, "w8a16"),
    "broad-w4a16": (BROAD, "w4a16"),
    "speck-xl-f32": (SPECK_XL, "f32"),
    "speck-xl-w8a16": (SPECK_XL, "w8a16"),
}
# Compiled for other tests in any case.
USUAL = "speck-f32"

with_each_model = pytest.mark.parametrize(
    "patched",
    [pytest.param(name, marks=() if name == USUAL else pytest.mark.exhaustive) for name in MODELS],
    indirect=True,
)
with_one_model = pytest.mark.parametrize("patched", [USUAL], indirect=True)
# Seeds of each format, and the scales that they have.
SCALES = {0: 0.7, 1: 1.0, 2: -0.4}
# One of each kind of change, for each run of the tests and for pictures of packed weights.
OF_EACH_KIND = ("lora", "loha", "lokr", "peft-dora")
# One of each naming besides, for the full tests.
OF_EACH_NAMING = ("lora-original", "lora-comfyui", "peft-rslora", "diffusers", "diffusers-old")
# What is drawn with each, and compared with diffusers.
DRAWING = GenerationRequest("a large red circle", steps=8, seed=3)
# Of a buffer through which weights go: SLOT_BYTES of web/src/gpu/staging.ts.
SLOT_BYTES = 2**24
SEVERAL = {"lora": 0.7, "loha": -0.3, "lokr-factored": 1.3}
# Names of files that are published for few steps → the scheduler's class, what is changed of its
# configuration, steps, guidance and eta: as the cards of the files have them.
TRAILING = {"timestep_spacing": "trailing"}
# The configurations of SD 1.5 and SDXL say so; DDIM's class would clip without it.
OF_DDIM = {**TRAILING, "clip_sample": False}
FOR_BOTH = {
    "lcm-lora-sdxl": ("LCMScheduler", {}, 4, 1, 0),
    "TCD-SDXL-LoRA": ("TCDScheduler", {}, 4, 0, 0.3),
    "Hyper-SDXL-1step-lora": ("TCDScheduler", {}, 1, 0, 1),
    "Hyper-SDXL-2steps-lora": ("DDIMScheduler", OF_DDIM, 2, 0, 0),
    "Hyper-SDXL-8steps-CFG-lora": ("DDIMScheduler", OF_DDIM, 8, 5, 0),
}
FOR_SDXL = {
    "sdxl_lightning_4step_lora": ("EulerDiscreteScheduler", TRAILING, 4, 0, 0),
    "sd_xl_turbo_lora_v1": ("EulerAncestralDiscreteScheduler", TRAILING, 1, 0, 0),
}


class Patched:
    """A model in a page, and what Python makes of its weights.

    Args:
        call: calls a function in the page.
        family: the model's.
        checkpoint: its weights.
        library: says how they are stored.
        folder: for files.
    """

    def __init__(self, call, family, checkpoint, library, folder):
        self.call, self.family, self.dtype = call, family, library.dtype
        self._checkpoint, self._library, self._folder = checkpoint, library, folder

    def file(self, form, seed=0):
        """Return the path of a LoRA of a format."""
        path = self._folder / f"{form}-{seed}.safetensors"
        return path if path.exists() else write_adapter(path, self.family, form, seed)

    def load(self, form, seed=0, **options):
        """Load a LoRA of a format in the page, and return what is known of it."""
        path = self.file(form, seed)
        return self.call("loadLora", encoded(path.read_bytes()), path.name, options)

    def draw(self, steps=DRAWING.steps, **options):
        """Return picture (height, width, 3) uint8 and latents, as the page draws them."""
        drawn = self.call("drawPicture", DRAWING.prompt, steps, DRAWING.seed, options)
        return read_picture(drawn, self.family)

    def write_distilled(self, name):
        """Write a LoRA that changes what distillation changes: the denoiser alone, all of it."""
        path = self._folder / f"{name}.safetensors"
        tensors = load_file(self.file("locon"))
        save_file({k: t for k, t in tensors.items() if not k.startswith("lora_te")}, path)
        return path

    def draw_by_card(self, path, scheduler, changed, steps, guidance, eta):
        """Return the latents that diffusers draws with a LoRA as the LoRA's card says it."""
        pipeline = load_pipeline(self._checkpoint)
        told = {} if self.family is SPECK_XL else {"unet_config": pipeline.unet.config}
        pipeline.load_lora_weights(str(path.parent), weight_name=path.name, **told)
        pipeline.fuse_lora()
        make = getattr(diffusers, scheduler).from_config
        pipeline.scheduler = make(pipeline.scheduler.config, **changed)
        width, height = self.family.sizes[0]
        drawn = pipeline(
            DRAWING.prompt, num_inference_steps=steps, guidance_scale=guidance, eta=eta,
            width=width, height=height, output_type="latent",
            generator=torch.Generator().manual_seed(DRAWING.seed),
        )  # fmt: skip
        return drawn.images.numpy().ravel()

    def draw_by_diffusers(self, form, seed, scale):
        """Return picture and latents that diffusers draws with a LoRA, in float32.

        Formats that it does not read are merged by Python, which unit tests compare with PEFT and
        LyCORIS.
        """
        path = self.file(form, seed)
        if form in READ_BY_DIFFUSERS and form != "peft-dora":
            pipeline = load_pipeline(self._checkpoint)
            is_xl = hasattr(pipeline, "text_encoder_2")
            told = {} if is_xl else {"unet_config": pipeline.unet.config}
            pipeline.load_lora_weights(str(path.parent), weight_name=path.name, **told)
            pipeline.fuse_lora(lora_scale=scale)
        else:
            weights = random_checkpoint(self.family, 0)
            merged = open_checkpoint(weights, self.family, adapters=[(path, scale)])
            pipeline = load_pipeline(merged)
        images, latents = draw_reference(self._checkpoint, pipeline, DRAWING, Quiet())
        return images[0], latents

    def check(self, applied):
        """Compare the weights on the GPU with the stored ones that Python merges LoRAs into.

        Args:
            applied: (format, seed, scale) of each LoRA, in order.
        """
        check_weights(
            self.call,
            self._checkpoint,
            self._library,
            [(self.file(form, seed), scale) for form, seed, scale in applied],
            is_exact=not any("dora" in form for form, _, _ in applied),
        )


def choose_mark(form):
    """Return the mark of a format, whose names and arithmetic have tests without a GPU."""
    if form in OF_EACH_KIND:
        return ()
    return pytest.mark.full if form in OF_EACH_NAMING else pytest.mark.exhaustive


def encoded(data):
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def patched(request, context, tmp_path_factory):
    family, dtype = MODELS[request.param]
    checkpoint = open_checkpoint(random_checkpoint(family, 0), family)
    library = compile_library(family, family.sizes, dtype, Quiet())
    folder = tmp_path_factory.mktemp("loras")
    bundle = build_bundle(checkpoint, library, folder / "bundle", Quiet())
    with served_with_tools(bundle) as address, opened(context, address, family.name) as call:
        yield Patched(call, family, checkpoint, library, folder)


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=pytest.mark.exhaustive if seed else ()) for seed in SCALES]
)
@with_each_model
@pytest.mark.parametrize(
    "form",
    [pytest.param(form, marks=choose_mark(form)) for form in FORMATS],
)
def test_the_weights_of_each_format_are_those_of_pythons_merge(patched, form, seed):
    scale = SCALES[seed]
    loaded = patched.load(form, seed, scale=scale)
    assert loaded["scale"] == scale
    assert loaded["layers"] > 0
    assert loaded["unused"] == [] or patched.family is SPECK_XL
    patched.check([(form, seed, scale)])
    patched.call("unloadLora", loaded["name"])
    patched.check([])


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("patched", "form"),
    [
        *((USUAL, form) for form in FORMATS),
        *((name, form) for name in ("speck-f16", "speck-w8a16") for form in OF_EACH_KIND),
        # Rounding to 4 bits shows as much as the small change of the first kind.
        *(("broad-w4a16", form) for form in OF_EACH_KIND[1:]),
    ],
    indirect=["patched"],
)
def test_pictures_of_each_format_are_those_of_diffusers(patched, form):
    plain, _ = patched.draw()
    for seed, scale in SCALES.items():
        name = patched.load(form, seed, scale=scale)["name"]
        picture, latents = patched.draw()
        patched.call("unloadLora", name)
        wanted, wanted_latents = patched.draw_by_diffusers(form, seed, scale)
        assert psnr(picture, wanted) > ROUNDING_PSNR[patched.dtype]
        if patched.dtype == "f32":
            assert relative_error(latents, wanted_latents) < LATENTS_TOLERANCE
        # Without the LoRA it would be another picture.
        assert psnr(plain, wanted) < psnr(picture, wanted) - 3


@pytest.mark.exhaustive
@pytest.mark.parametrize("patched", [USUAL, "speck-xl-f32"], indirect=True)
def test_with_what_a_fast_variant_suggests_pictures_are_those_of_its_card(patched):
    """What a page is told to set, and nothing else, is given to the call that draws."""
    for name, card in {**FOR_BOTH, **(FOR_SDXL if patched.family is SPECK_XL else {})}.items():
        _, _, steps, guidance, eta = card
        path = patched.write_distilled(name)
        loaded = patched.call("loadLora", encoded(path.read_bytes()), path.name, {})
        suggested = loaded["suggested"]
        assert "missingScheduler" not in suggested
        set_by_page = {key: suggested[key] for key in ("scheduler", "guidanceScale", "eta")}
        assert suggested["numInferenceSteps"] == steps
        assert (set_by_page["guidanceScale"], set_by_page["eta"]) == (guidance, eta)
        _, latents = patched.draw(steps, **set_by_page)
        _, usual = patched.draw(steps)
        patched.call("unloadLora")
        wanted = patched.draw_by_card(path, *card)
        assert relative_error(latents, wanted) < LATENTS_TOLERANCE, name
        # The model's own scheduler and guidance draw something else.
        assert relative_error(usual, wanted) > 10 * LATENTS_TOLERANCE, name


@pytest.mark.full
@with_one_model
def test_several_are_applied_in_their_order(patched):
    for form, scale in SEVERAL.items():
        patched.load(form, scale=scale)
    patched.check([(form, 0, scale) for form, scale in SEVERAL.items()])
    # As diffusers' set_adapters: those that are not named are applied no more.
    patched.call("setAdapters", {"loha-0": 0.5, "lora-0": -1})
    patched.check([("lora", 0, -1), ("loha", 0, 0.5)])
    patched.call("unloadLora", "lora-0")
    patched.check([("loha", 0, 0.5)])
    patched.call("unloadLora")
    patched.check([])
    assert patched.call("loras") == []


@pytest.mark.exhaustive
@with_one_model
def test_the_sizes_of_buffers_change_nothing(patched):
    """Weights and factors that take several of them, and more than one has room for."""
    names = [component.id for component in patched.family.components if component.id != "vae"]
    found = []
    for sizes in ({}, {"slotBytes": 1024, "pieceBytes": 1024}):
        patched.call("setTransfer", sizes)
        weights = []
        for work in (
            lambda: patched.load("lora", scale=0.7),
            lambda: patched.load("lokr-factored"),
            lambda: patched.call("setAdapters", {"lora-0": -0.4, "lokr-factored-0": 1.3}),
            lambda: patched.call("unloadLora"),
        ):
            work()
            weights.append([patched.call("readParameters", name) for name in names])
        found.append(weights)
    patched.call("setTransfer", {})
    assert found[0] == found[1]
    assert all(changed != found[0][-1] for changed in found[0][:-1])


@pytest.mark.full
@with_one_model
def test_a_lora_leaves_no_trace(patched):
    first = patched.call("draw")
    loaded = patched.load("lora", scale=0.8)
    changed = patched.call("draw")
    assert changed["latents"] != first["latents"]
    assert changed["text"].startswith("a large red circle <lora:lora-0:0.8>\n")
    assert f'Lora hashes: "lora-0: {loaded["hash"]}"' in changed["text"]
    patched.call("unloadLora")
    assert patched.call("draw") == first

    patched.load("lora")
    patched.call("draw")
    patched.call("unloadLora")
    before = patched.call("usage")
    # The buffers through which weights and factors go are counted too.
    assert before["peakGpuBytes"] > 2 * SLOT_BYTES
    assert before["gpuBytes"] < SLOT_BYTES
    for seed in range(10):
        patched.load("lora", seed % 3)
        patched.call("setAdapters", {f"lora-{seed % 3}": 0.5})
        patched.call("unloadLora")
    after = patched.call("usage")
    assert after == before


@pytest.mark.full
@with_one_model
def test_calls_wait_for_each_other(patched):
    alone = patched.call("draw")
    before, after = patched.call("drawAround", encoded(patched.file("lora").read_bytes()))
    assert before == alone
    assert after["latents"] != alone["latents"]
    patched.call("unloadLora")


@pytest.mark.full
@with_one_model
def test_what_does_not_fit_leaves_the_model_as_it_was(patched):
    first = patched.call("draw")
    whole = patched.file("lora").read_bytes()
    refused = {
        "cut": whole[: len(whole) // 2],
        "page": b"<!doctype html>",
        "nan": whole[:-4] + np.float32(np.nan).tobytes(),
    }
    for name, data in refused.items():
        error = patched.call("refused", encoded(data), f"{name}.safetensors", {})
        assert (error["name"], bool(error["hint"])) == ("LoraError", True), error
        assert name in error["message"]
    patched.load("lora")
    twice = patched.call("refused", encoded(whole), "x.safetensors", {"name": "lora-0"})
    assert twice["name"] == "LoraError"
    assert "already" in twice["message"]
    other = patched.call("refused", encoded(whole), "other", {"sha256": "0" * 64})
    assert other["name"] == "IntegrityError"
    late = patched.call("cancelled", encoded(patched.file("loha").read_bytes()))
    assert late["name"] == "AbortError"
    # Components that were being changed are loaded when they are needed next.
    patched.call("draw")
    patched.check([("lora", 0, 1.0)])
    patched.call("unloadLora")
    assert patched.call("draw") == first


@with_one_model
def test_a_lora_of_another_family_is_refused_by_name(patched, tmp_path):
    other = SPECK if patched.family is SPECK_XL else SPECK_XL
    path = write_adapter(tmp_path / "other.safetensors", other, "lora")
    error = patched.call("refused", encoded(path.read_bytes()), path.name, {})
    assert error["name"] == "LoraError"
    assert patched.family.name in error["message"]


@pytest.fixture(scope="module")
def origin(speck):
    """Return the address of speck's bundle with the developers' build beside it."""
    with served_with_tools(speck[0]) as address:
        yield address


@pytest.mark.exhaustive
def test_with_one_stage_on_the_gpu_at_a_time(context, origin, tmp_path):
    """The patches are made again whenever a component is loaded."""
    path = write_adapter(tmp_path / "a.safetensors", SPECK, "lora")
    drawn = []
    for offload in (False, True):
        with opened(context, origin, "speck", offload=offload) as call:
            call("loadLora", encoded(path.read_bytes()), path.name, {})
            drawn += [call("draw"), call("draw")]
    assert all(each == drawn[0] for each in drawn)


@pytest.mark.exhaustive
def test_without_room_a_lora_is_loaded_in_less_memory(context, origin, tmp_path):
    """Buffers of the page's own are checked as those of tvmjs are."""
    path = write_adapter(tmp_path / "a.safetensors", SPECK, "lora")

    def draw(**options):
        with opened(context, origin, "speck", **options) as call:
            call("loadLora", encoded(path.read_bytes()), path.name, {})
            return call("draw"), call("usage")["peakGpuBytes"]

    expected, whole = draw()
    drawn, offloaded = draw(offload=True)
    assert drawn == expected
    room = (whole + offloaded) // 2
    drawn, peak = draw(room=room)
    assert drawn == expected
    assert offloaded == peak < room < whole


@pytest.mark.exhaustive
def test_adapter_bundles_and_addresses(context, speck, tmp_path):
    """What `wsd lora` writes is loaded by the address of its adapter.json, or of its file."""
    path = write_adapter(tmp_path / "star.safetensors", SPECK, "lora")
    bundle = tmp_path / "bundle"
    shutil.copytree(speck[0], bundle)
    folder = write_adapter_bundle(path, bundle / "loras", SPECK, "a star")
    described = json.loads((folder / "adapter.json").read_text(encoding="utf-8"))
    with served_with_tools(bundle) as address, opened(context, address, "speck") as call:
        loaded = call("loadFrom", "/loras/adapter.json", {})
        assert (loaded["name"], loaded["sha256"]) == ("a star", described["sha256"])
        file = f"/loras/{described['file']}"
        again = call("loadFrom", file, {"name": "again", "sha256": described["sha256"]})
        assert again["hash"] == loaded["hash"]
