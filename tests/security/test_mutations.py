"""Readers of files that anybody may have written, on many damaged files of each kind.

``nox -s security`` takes a million inputs, the usual tests a few thousand.
"""

import io
import json
import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import save

from mutations import LARGEST_INPUT, fuzz
from wsd.bundle.attestations import read_integrity
from wsd.bundle.earlier_attestations import read_statement
from wsd.bundle.example_pictures import read_examples
from wsd.bundle.kernel_choices import read_tables
from wsd.bundle.manifest import read_index, read_manifest
from wsd.bundle.model_files import read_kernel_work, read_self_test, read_tokenizer
from wsd.checkpoint.gguf_file import list_gguf
from wsd.checkpoint.safetensors_file import list_safetensors
from wsd.checkpoint.tokenizer import open_tokenizer, tokenizer_file
from wsd.checkpoint.weight_source import TokenizerFiles
from wsd.checkpoint.weight_source import read_json as read_config
from wsd.compiler.library import Library, read_library, write_library
from wsd.errors import WsdError
from wsd.models.registry import find_family
from wsd.supply_chain import provenance, sbom
from wsd.supply_chain.material import LicenseText, Material, Patch
from wsd.supply_chain.materials import BundleContents
from wsd.supply_chain.notices import text_path
from wsd.util.contents import find_damage, write_contents
from wsd.util.hashing import canonical_json, digest_bytes

FIXTURES = Path(__file__).parents[1] / "fixtures"
# For each reader: forty inputs in the usual tests; of WSD_FUZZ, as nox -s security sets it,
# fifty times as many, because such an input takes a thousandth of an example of hypothesis.
COUNT = 50 * int(os.environ["WSD_FUZZ"]) if "WSD_FUZZ" in os.environ else 40
SEED = int(time.time()) if "WSD_FUZZ" in os.environ else 0
MODEL = "tiny-sd15"


@dataclass(frozen=True)
class Case:
    """A reader, good files for it, and where in a folder it wants them."""

    read: object
    seeds: tuple[bytes, ...]
    name: str


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "licenses").mkdir()
    (tmp_path / "pictures").mkdir()
    return tmp_path


def manifests():
    return tuple((FIXTURES / f"manifest-v{version}.json").read_bytes() for version in (1, 2))


def manifest_case(_folder):
    def read(path):
        list(read_manifest(path).find_inconsistencies())

    return Case(read, manifests(), "manifest.json")


def index_case(folder):
    entry = {"name": "a", "title": "A", "dtype": "f32", "manifest": "a/"}
    linked = {**entry, "dtype": "f16", "manifest": "a-f16/",
              "integrity": digest_bytes(b"").integrity}  # fmt: skip
    seeds = (canonical_json([entry]), canonical_json([entry, linked]))
    return Case(lambda _: read_index(folder), seeds, "models/index.json")


def contents(folder):
    """Return what attestations say of a small bundle, whose licence lies in a folder."""
    text = LicenseText("LICENSE", "Do what you like.\n")
    (folder / text_path(text)).write_text(text.text)
    patch = Patch("https://example.org/patch", "0" * 64)
    materials = (
        Material("pkg:github/a/b@" + "1" * 40, "b", "1" * 40, shipped=True, license="MIT",
                 supplier="A", hashes=(("SHA-1", "1" * 40),), commit="1" * 40, patches=(patch,),
                 requires=("pkg:pypi/c@2",), texts=(text,)),
        Material("pkg:pypi/c@2", "c", "2", license="Apache-2.0"),
    )  # fmt: skip
    (folder / "manifest.json").write_bytes(manifests()[1])
    manifest = read_manifest(folder / "manifest.json")
    files = {"index.html": digest_bytes(b"a"), "assets/a.js": digest_bytes(b"b")}
    return BundleContents(files, materials, (manifest,))


def bill_case(folder):
    def read(_):
        sbom.read_hashes(folder)
        sbom.read_materials(folder)

    return Case(read, (canonical_json(sbom.build_sbom(contents(folder))),), sbom.FILE_NAME)


def provenance_case(folder):
    statement = canonical_json(provenance.build_provenance(contents(folder)))
    return Case(lambda _: read_statement(folder), (statement,), provenance.FILE_NAME)


def integrity_case(folder):
    table = {name: digest_bytes(name.encode()).integrity for name in ("a", "b/c.js", "@d/e.f")}
    return Case(lambda _: read_integrity(folder), (canonical_json(table),), "SRI.json")


def kernels_case(_folder):
    launch = {"head": 0, "body": 0, "grid": [1, 2, 3], "arguments": [0, 1, -1]}
    variant = {
        "name": "tiled-f32", "problem": "gemm", "features": [], "threads": 64, "shared_bytes": 0,
        "subgroup_matrix": None, "subgroup_size": None, "scratch_bytes": [], "operations": 7,
        "launches": [launch],
    }  # fmt: skip
    table = {
        "version": 3, "heads": ["fn a() {}"], "bodies": ["b"], "kernels": {"k": [variant]},
        "bytes": {"k": 1},
    }  # fmt: skip
    early = {key: value for key, value in table.items() if key != "version"}
    return Case(read_kernel_work, tuple(map(canonical_json, (table, early))), "kernels.json")


def choices_case(_folder):
    table = {
        "model": "speck", "dtype": "f32", "kernels": "0" * 64, "library": "1" * 64,
        "adapter_class": "nvidia hopper", "adapter": {"vendor": "nvidia"}, "gain": 1.5,
        "complete": True, "choices": {"k": {"variant": "gemm_tiled_f32", "index": 1}},
    }  # fmt: skip
    good = canonical_json({"version": 1, "tables": [table]})
    return Case(lambda path: read_tables(path, "name another"), (good,), "choices.json")


def self_test_case(_folder):
    output = {"stride": 2, "samples": [0.5, 1.0], "block": 2, "rms": [0.5]}
    inputs = {"latents": {"seed": 0}, "timestep": {"values": [1, 0.5]}}
    stage = {"entry_point": "denoiser", "inputs": inputs, "outputs": {"noise": output}}
    return Case(read_self_test, (canonical_json({"stages": [stage]}),), "self-test.json")


def library_case(folder):
    library = Library(
        folder, "0" * 64, {"unet.x": "1"}, ((64, 64),), "f32", (), {"unet": ()}, 8, {"k": "fn"},
        {"version": 3, "heads": [], "bodies": [], "kernels": {}, "bytes": {}}, (), {"torch": "2"},
        (Material("pkg:pypi/c@2", "c", "2", license="MIT"),),
    )  # fmt: skip
    library.wasm.write_bytes(b"\0asm\1\0\0\0")
    write_library(library)
    good = (folder / "library.json").read_bytes()

    def read(path):
        # Every file of such a folder is digested, so that the table is what is asked for.
        write_contents(folder)
        read_library(path.parent)

    return Case(read, (good,), "library.json")


def contents_case(folder):
    (folder / "kept").mkdir()
    (folder / "kept" / "a.js").write_text("a")
    write_contents(folder / "kept")
    good = (folder / "kept" / "contents.json").read_bytes()
    return Case(lambda path: find_damage(path.parent), (good,), "kept/contents.json")


def safetensors_case(_folder):
    seeds = [{"a": torch.zeros(2, 3), "b.c": torch.ones(4, dtype=torch.float16)},
             {"empty": torch.zeros(0, 5), "scalar": torch.tensor(1.0)}]  # fmt: skip

    def read(path):
        for tensor in list_safetensors(path).values():
            tensor.read()

    return Case(read, tuple(map(save, seeds)), "model.safetensors")


def gguf_case(folder):
    from gguf import GGUFWriter

    writer = GGUFWriter(folder / "seed.gguf", "sd1")
    writer.add_tensor("a", np.zeros((2, 32), np.float32))
    writer.add_array("comfy.gguf.orig_shape.a", [2, 32])
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file,
                  writer.write_tensors_to_file, writer.close):  # fmt: skip
        write()

    def read(path):
        for tensor in list_gguf(path).values():
            # Builds refuse other types by their names.
            if tensor.dtype in ("F64", "F32", "F16"):
                tensor.read()

    return Case(read, ((folder / "seed.gguf").read_bytes(),), "model.gguf")


class Files:
    """A checkpoint of which only the tokenizer is asked for."""

    provenance = "a checkpoint"

    def __init__(self, folder):
        self.folder = folder

    def tokenizer_files(self, _entry):
        return TokenizerFiles(self.folder)

    def component_config(self, _component):
        return None


def small_tokenizer():
    """Return the files of CLIP's tokenizer with a handful of tokens."""
    vocabulary = {"a": 0, "b</w>": 1, "ab</w>": 2, "<|startoftext|>": 3, "<|endoftext|>": 4}
    added = [
        {"id": vocabulary[token], "content": token, "single_word": False, "lstrip": False,
         "rstrip": False, "normalized": False, "special": True}
        for token in ("<|startoftext|>", "<|endoftext|>")
    ]  # fmt: skip
    shipped = find_family(MODEL).weights / "tokenizer" / "tokenizer.json"
    table = json.loads(shipped.read_text(encoding="utf-8"))
    table["added_tokens"] = added
    table["model"].update(vocab=vocabulary, merges=[["a", "b</w>"]])
    post = table["post_processor"]
    for key, token in (("sep", "<|endoftext|>"), ("cls", "<|startoftext|>")):
        if key in post:
            post[key] = [token, vocabulary[token]]
    settings = find_family(MODEL).weights / "tokenizer" / "tokenizer_config.json"
    return canonical_json(table), settings.read_bytes()


def tokenizer_case(folder):
    family = find_family(MODEL)
    whole, settings = small_tokenizer()
    (folder / "tokenizer_config.json").write_bytes(settings)
    (entry,) = family.tokenizers

    def read(_):
        tokenizer_file(open_tokenizer(family, Files(folder), entry))

    return Case(read, (whole,), "tokenizer.json")


def tokenizer_settings_case(folder):
    whole, settings = small_tokenizer()
    case = tokenizer_case(folder)
    (folder / "tokenizer.json").write_bytes(whole)
    return Case(case.read, (settings,), "tokenizer_config.json")


def bundled_tokenizer_case(_folder):
    return Case(read_tokenizer, (small_tokenizer()[0],), "tokenizer.0.json")


def examples_case(_folder):
    """Return PNGs as people give them for examples: of several kinds, with texts of each kind."""
    settings = "a cat\nSteps: 2, Sampler: Euler, CFG scale: 3, Seed: 7, Size: 8x8"
    seeds = []
    for number, (mode, add) in enumerate(
        [("RGB", "add_text"), ("P", "add_itxt"), ("LA", "add_text"), ("I;16", "add_itxt")]
    ):
        texts = PngInfo()
        getattr(texts, add)("parameters", settings, zip=number % 2 == 1)
        data = io.BytesIO()
        Image.new(mode, (8, 8)).save(data, format="PNG", pnginfo=texts)
        seeds.append(data.getvalue())
    return Case(lambda path: read_examples(path.parent), tuple(seeds), "pictures/1.png")


def config_case(_folder):
    seed = canonical_json({"_class_name": "UNet", "sample_size": 64, "block_out_channels": [1, 2]})
    return Case(read_config, (seed,), "config.json")


CASES = {
    case.__name__.removesuffix("_case"): case
    for case in (
        manifest_case, index_case, bill_case, provenance_case, integrity_case, kernels_case,
        choices_case,
        self_test_case, library_case, contents_case, safetensors_case, gguf_case, tokenizer_case,
        tokenizer_settings_case, bundled_tokenizer_case, config_case, examples_case,
    )
}  # fmt: skip
# Inputs of these take longer: transformers builds a tokenizer, GGUF's reader maps a file.
SLOW = {"tokenizer", "tokenizer_settings", "gguf"}
# Tables of shaders may be larger than what is read in a second.
LARGEST = {"kernels": 1 << 20, "library": 1 << 20}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_damaged_files_are_read_or_refused(folder, name):
    case = CASES[name](folder)
    count = COUNT // 5 if name in SLOW else COUNT
    run = partial(fuzz, case.seeds, folder / case.name, case.read, (WsdError,))
    print(f"{name}: {run(count, SEED, LARGEST.get(name, LARGEST_INPUT))}")
