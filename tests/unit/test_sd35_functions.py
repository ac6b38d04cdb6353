"""Stable Diffusion 3.5's functions of tensors against diffusers' own modules and pipeline."""

import pytest
import torch
from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline
from diffusers.models.embeddings import PatchEmbed

from grain import GRAIN
from wsd.errors import CompileError
from wsd.frontend.entry_points import make_entry_points
from wsd.models.instantiate import build_module, build_skeleton
from wsd.models.sd35.medium import FAMILY
from wsd.models.sd35.transformer import PatchPositions
from wsd.spec.roles import BLOCK_SCALES, DENOISER, GUIDED_DENOISER, VAE_DECODER

TOKENS, WIDTH = 77, 16


class Ids(dict):
    """What a tokenizer returns: the ids of every text, whatever it says."""

    @property
    def input_ids(self):
        return self["input_ids"]


class Tokenizer:
    """Stands for a tokenizer in diffusers' pipeline, which asks it for ids alone."""

    def __init__(self, ids):
        self.ids = ids
        self.model_max_length = ids.shape[1]

    def __call__(self, *_, **__):
        return Ids(input_ids=self.ids)


@pytest.fixture(scope="module")
def modules():
    torch.manual_seed(0)
    return {component.id: build_module(component) for component in GRAIN.components}


@pytest.fixture(scope="module")
def ids():
    """Return the ids of a text for each encoder, (1, tokens): CLIP's end after the text."""
    generator = torch.Generator().manual_seed(1)
    clip = torch.randint(0, 700, (2, TOKENS), generator=generator)
    clip[:, 0], clip[:, 9:] = 718, 719
    t5 = torch.randint(0, 720, (1, GRAIN.conditioning.room), generator=generator)
    return clip[:1], clip[1:], t5


def make_pipeline(modules, ids, **changes):
    """Return diffusers' pipeline with the modules as diffusers' own classes."""
    own = SD3Transformer2DModel.from_config(dict(modules["transformer"].config)).eval()
    own.load_state_dict(modules["transformer"].published_state())
    tokenizers = {
        name: Tokenizer(each)
        for name, each in zip(("tokenizer", "tokenizer_2", "tokenizer_3"), ids, strict=True)
    }
    members = {**modules, "transformer": own, **tokenizers, **changes}
    pipeline = StableDiffusion3Pipeline.__new__(StableDiffusion3Pipeline)
    for name, member in members.items():
        object.__setattr__(pipeline, name, member)
    pipeline.tokenizer_max_length = TOKENS
    return pipeline


def entries(modules, *, component=None, role=None):
    """Return the functions of a component (its id), or of a role, in order."""
    return [
        made
        for each in GRAIN.components
        if component in (None, each.id)
        for made in make_entry_points(GRAIN, each, modules[each.id], GRAIN.sizes)
        if role in (None, made.role)
    ]


def encode(modules, ids, *, with_t5):
    """Run the text encoders' functions one after another, as the page does."""
    known = {}
    for number, component in enumerate(GRAIN.text_encoders()):
        if number == 2 and not with_t5:
            break
        [made] = entries(modules, component=component.id)
        known["input_ids"] = ids[number].to(torch.int32)
        known["end_of_text"] = torch.zeros(1, TOKENS).index_fill(1, torch.tensor([9]), 1.0)
        with torch.no_grad():
            results = made.module(*(known[spec.name] for spec in made.inputs))
        found = results if isinstance(results, tuple) else (results,)
        for spec, value in zip(made.outputs, found, strict=True):
            assert tuple(value.shape) == spec.shape
            known[spec.name] = value
    return known["text_embeddings"], known["pooled_text"]


@pytest.mark.slow
@pytest.mark.parametrize("with_t5", [True, False])
def test_texts_condition_as_in_diffusers(modules, ids, with_t5):
    pipeline = make_pipeline(modules, ids, **({} if with_t5 else {"text_encoder_3": None}))
    with torch.no_grad():
        expected = pipeline.encode_prompt(
            "a", "a", "a", device="cpu", do_classifier_free_guidance=False,
            max_sequence_length=GRAIN.conditioning.room,
        )  # fmt: skip
    text, pooled = encode(modules, ids, with_t5=with_t5)
    torch.testing.assert_close(text, expected[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(pooled, expected[2], rtol=1e-5, atol=1e-6)
    # T5's states, or zeros in their place.
    assert bool(text[:, TOKENS:].any()) == with_t5


@pytest.mark.slow
def test_the_transformer_is_diffusers(modules, ids):
    pipeline = make_pipeline(modules, ids)
    generator = torch.Generator().manual_seed(2)
    plain, guided = entries(modules, role=DENOISER), entries(modules, role=GUIDED_DENOISER)
    assert len(plain) == len(guided) == len(GRAIN.sizes)
    for single, both in zip(plain, guided, strict=True):
        inputs = {spec.name: torch.randn(spec.shape, generator=generator) for spec in both.inputs}
        inputs["timestep"], inputs["guidance_scale"] = torch.tensor([640.5]), torch.tensor([4.5])
        inputs[BLOCK_SCALES] = torch.ones(1, 3)
        texts = {
            side: (inputs[f"{side}text_embeddings"], inputs[f"{side}pooled_text"])
            for side in ("", "negative_")
        }
        with torch.no_grad():
            found = single.module(*(inputs[spec.name] for spec in single.inputs))
            found_both = both.module(*(inputs[spec.name] for spec in both.inputs))
            expected, without = (
                pipeline.transformer(
                    inputs["latents"], text, pooled, inputs["timestep"], return_dict=False
                )[0]
                for text, pooled in texts.values()
            )
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
        guided_as_diffusers = without + 4.5 * (expected - without)
        torch.testing.assert_close(found_both, guided_as_diffusers, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("left_out", [[], [0], [1], [2], [0, 2], [0, 1, 2]], ids=str)
def test_blocks_are_left_out_as_in_diffusers(modules, ids, left_out):
    """The first block has two attentions, and the last one gives no text."""
    pipeline = make_pipeline(modules, ids)
    single = entries(modules, role=DENOISER)[0]
    generator = torch.Generator().manual_seed(4)
    inputs = {spec.name: torch.randn(spec.shape, generator=generator) for spec in single.inputs}
    inputs["timestep"] = torch.tensor([640.5])
    inputs[BLOCK_SCALES] = torch.tensor([[float(index not in left_out) for index in range(3)]])
    with torch.no_grad():
        found = single.module(*(inputs[spec.name] for spec in single.inputs))
        expected, whole = (
            pipeline.transformer(
                inputs["latents"], inputs["text_embeddings"], inputs["pooled_text"],
                inputs["timestep"], skip_layers=skipped, return_dict=False,
            )[0]
            for skipped in (left_out, None)
        )  # fmt: skip
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert torch.allclose(expected, whole, rtol=1e-2) != bool(left_out)


@pytest.mark.slow
def test_the_vae_shifts_and_scales(modules):
    vae = modules["vae"]
    for made in entries(modules, role=VAE_DECODER):
        latents = torch.randn(made.inputs[0].shape, generator=torch.Generator().manual_seed(3))
        with torch.no_grad():
            expected = vae.decode(latents / 1.5305 + 0.0609, return_dict=False)[0]
            torch.testing.assert_close(made.module(latents), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("edge", "base"), [(12, 4), (40, 9), (64, 64)])
def test_two_small_tables_are_the_whole_one(edge, base):
    whole = PatchEmbed(2 * base, 2 * base, 2, 4, 24, pos_embed_max_size=edge)
    own = PatchPositions(whole.proj, 2, base, edge)
    for height, width in ((2, 2), (5, 7), (edge, edge)):
        latents = torch.zeros(1, 4, 2 * height, 2 * width)
        with torch.no_grad():
            assert torch.equal(own(latents), whole(latents))


@pytest.mark.slow
def test_what_is_saved_is_what_diffusers_reads(modules, tmp_path):
    own = modules["transformer"]
    own.save_pretrained(tmp_path)
    read = SD3Transformer2DModel.from_pretrained(tmp_path).eval()
    for key, value in own.config.items():
        if not key.startswith("_"):
            found = read.config[key]
            assert (tuple(found) if isinstance(found, list) else found) == value, key
    inputs = (torch.ones(1, 16, 8, 8), torch.ones(1, 5, 48), torch.ones(1, 32), torch.tensor([9.0]))
    with torch.no_grad():
        found, expected = own(*inputs).sample, read(*inputs).sample
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_picture_with_more_positions_than_the_table_is_refused(modules):
    transformer = next(c for c in GRAIN.components if c.role == DENOISER)
    with pytest.raises(CompileError, match="52x16 has more positions") as raised:
        list(make_entry_points(GRAIN, transformer, modules["transformer"], [(52, 16)]))
    assert "at most 48" in raised.value.hint


def test_latents_and_sizes_of_the_published_model():
    space = FAMILY.latent_space
    assert (space.channels, space.scale_factor, space.patch_size) == (16, 8, 2)
    assert (space.scaling_factor, space.shift_factor) == (1.5305, 0.0609)
    assert FAMILY.size_multiple == 16
    assert space.tokens((1024, 1024)) == 4096


# Counted by their publishers; the transformer without its table of positions.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("component", "count"),
    [
        ("text_encoder", 123_650_304),
        ("text_encoder_2", 694_659_840),
        ("transformer", 2_243_171_520),
        pytest.param("text_encoder_3", 4_762_310_656, marks=pytest.mark.full),
    ],
)
def test_the_published_sizes(component, count):
    found = next(each for each in FAMILY.components if each.id == component)
    skeleton = build_skeleton(found)
    assert (
        sum(
            parameter.numel()
            for name, parameter in skeleton.named_parameters()
            if name not in ("pos_embed.rows", "pos_embed.columns", "encoder.embed_tokens.weight")
        )
        == count
    )
