"""Commands that make bundles and the npm package, and check bundles, from models to verify."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsd.cli.command import Unused, command
from wsd.cli.options import (
    NAME,
    NEW_FOLDER,
    OUTPUT_FILE,
    PROMPT,
    CheckpointChoice,
    SizeType,
    checkpoint_options,
    chunks_option,
    database_option,
    deep_cache_option,
    dtype_option,
    dump_option,
    layout_option,
    no_database_option,
    schedule_options,
    scheduler_option,
    sizes_option,
    text_only_option,
)
from wsd.spec.classic_names import CLASSIC, check_names
from wsd.spec.tensor import Size
from wsd.util.terminal import say

if TYPE_CHECKING:
    from wsd.compiler.library import Library
    from wsd.compiler.schedule_database import ChosenDatabases
    from wsd.models.registry import Family
    from wsd.models.schedule_options import ScheduleOptions
    from wsd.util.progress import Progress

_LOG = logging.getLogger(__name__)


@command()
def models() -> None:
    """List the models that can be built."""
    from wsd.models.registry import FAMILIES

    for family in FAMILIES.values():
        sizes = ", ".join(f"{width}x{height}" for width, height in family.sizes)
        license_ = f"\tlicence: {family.license}" if family.license else ""
        say(f"{family.name}\t{sizes}\t{family.title}{license_}")


# Both name what a library is compiled with.
_ONE_DATABASE = Unused(
    ("--database",),
    beside="--no-database",
    hint="a database that is named takes the place of those that come with a model: leave "
    "--no-database out",
)


@command(_ONE_DATABASE)
@checkpoint_options("tokenizer", "random_weights", "adapters")
@dtype_option
@sizes_option
@chunks_option
@deep_cache_option
@text_only_option
@dump_option
@database_option
@no_database_option
@click.option("--out", required=True, type=NEW_FOLDER,
              help="A new folder, for wsd build --library.")  # fmt: skip
def compile(  # noqa: A001 - the command's name
    chosen: CheckpointChoice, dtype: str | None, sizes: tuple[Size, ...], dump: Path | None,
    database: Path | None, out: Path, *, no_database: bool, prompt_chunks: int | None,
    deep_cache: bool, text_only: bool,
) -> None:  # fmt: skip
    """Compile a model without weights, for builds where no compiler is.

    With --weights, --vae and --safety-checker it is compiled as their configurations say.
    """
    from wsd.bundle.precompiled import write_compiled
    from wsd.models.resolution import check_sizes_early, note_untrained
    from wsd.util.files import check_absent
    from wsd.util.progress import Progress

    check_absent(out)
    _check_page(None)
    family = chosen.family()
    check_sizes_early(family, sizes)
    if text_only:
        family.check_text_only()
    if deep_cache:
        family.with_deep_cache()
    _check_database(database, dtype)
    if chosen.is_given:
        family = chosen.variant(sizes)
    else:
        for note in note_untrained(family, sizes):
            _LOG.warning("%s", note)
    family = _choose_functions(family, prompt_chunks, text_only=text_only, deep_cache=deep_cache)
    with Progress() as progress:
        library = _find_library(
            family, dtype, sizes, None, progress, dump, database=database, no_database=no_database
        )
        write_compiled(library, out, progress)
    say(out)


@command(
    Unused(
        ("--dtype", "--size", "--prompt-chunks", "--deep-cache", "--text-to-image-only"),
        beside="--library",
        hint="a library is compiled for its sizes, its dtype and what it takes: leave them out",
    ),
    Unused(
        ("--dump-ir",),
        beside="--library",
        hint="a given library is not compiled: leave --dump-ir out, or give it to wsd compile",
    ),
    Unused(
        ("--database", "--no-database"),
        beside="--library",
        hint="a given library is not compiled: leave it out, or give it to wsd compile",
    ),
    _ONE_DATABASE,
    Unused(
        (
            "--out",
            "--self-test",
            "--examples",
            "--kernel-choices",
            "--name",
            "--check-pictures",
            "--layout",
        ),
        beside="--plan",
        hint="a plan writes no bundle: leave them out, or leave --plan out to build one",
    ),
    Unused(
        ("--check-pictures",),
        without="--safety-checker",
        hint="name a safety checker with --safety-checker, or leave --check-pictures out",
    ),
)
@checkpoint_options()
@dtype_option
@sizes_option
@chunks_option
@deep_cache_option
@text_only_option
@dump_option
@database_option
@no_database_option
@schedule_options
@scheduler_option
@click.option("--library", type=click.Path(path_type=Path), metavar="DIR",
              help="What `wsd compile` wrote; nothing is compiled then.")  # fmt: skip
@click.option(
    "--self-test",
    "expected",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What `wsd expect` wrote; the checkpoint's own self-test.json unless given.",
)
@click.option(
    "--examples",
    "pictures",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="PNGs with their settings, for the page to offer; the checkpoint's own unless given.",
)
@click.option(
    "--kernel-choices",
    "kernel_choices",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What `wsd bench --tune` wrote on some GPU: others of its class begin with it; "
    "repeatable.",
)
@click.option("--name", metavar="NAME", type=NAME,
              help="The model's name on the page; that of --model unless given.")  # fmt: skip
@click.option("--check-pictures", is_flag=True,
              help="The page checks pictures with the safety checker, and blurs what it "
                   "flags.")  # fmt: skip
@layout_option
@click.option("--out", type=NEW_FOLDER, help="A new folder.")
@click.option("--plan", is_flag=True, help="Say what would be built, and build nothing.")
def build(
    chosen: CheckpointChoice,
    dtype: str | None,
    sizes: tuple[Size, ...],
    dump: Path | None,
    database: Path | None,
    library: Path | None,
    expected: Path | None,
    pictures: Path | None,
    kernel_choices: tuple[Path, ...],
    name: str | None,
    layout: str,
    out: Path | None,
    schedule: ScheduleOptions,
    *,
    no_database: bool,
    prompt_chunks: int | None,
    deep_cache: bool,
    text_only: bool,
    check_pictures: bool,
    plan: bool,
) -> None:
    """Build a bundle: compiled model, weights and page."""
    from wsd.bundle.builder import build_bundle, check_model_name
    from wsd.bundle.example_pictures import read_examples
    from wsd.bundle.kernel_choices import check_given
    from wsd.bundle.plan import describe_plan
    from wsd.bundle.self_test import check_fixtures, read_fixtures
    from wsd.checkpoint.tokenizer import check_tokenizers
    from wsd.compiler.library import read_library
    from wsd.models.resolution import check_sizes_early
    from wsd.util.files import check_absent
    from wsd.util.progress import Progress

    family = chosen.family()
    check_sizes_early(family, sizes)
    if text_only:
        family.check_text_only()
    if deep_cache:
        family.with_deep_cache()
    _check_database(database, dtype)
    given = None if library is None else read_library(library)
    if given is not None:
        schedule = replace(schedule, sizes=given.sizes)
    if plan:
        planned = chosen.plan(schedule)
        family = _choose_functions(
            planned.family, prompt_chunks, text_only=text_only, deep_cache=deep_cache
        )
        with Progress() as progress:
            compiled = _find_library(
                family, dtype, sizes, library, progress, dump, chosen.compile_options(), database,
                no_database=no_database,
            )  # fmt: skip
        default = planned.default_scheduler
        for line in describe_plan(planned.family, compiled, planned.scheduler, default):
            say(line)
        return
    if out is None:
        raise click.UsageError("Missing option '--out'.")
    check_absent(out)
    _check_page(library)
    if expected is not None:
        read_fixtures(expected)
    check_given(kernel_choices, given)
    if name is not None:
        check_model_name(name)
    if layout == CLASSIC:
        check_names([(name or family.name, family.architecture.diffusers_pipeline)])
    examples = None if pictures is None else read_examples(pictures)
    checkpoint = chosen.open(schedule)
    check_tokenizers(checkpoint.family, checkpoint.source, fetched=True)
    if expected is not None:
        check_fixtures(expected, checkpoint)
    compiled_for = _choose_functions(
        checkpoint.family, prompt_chunks, text_only=text_only, deep_cache=deep_cache
    )
    with Progress() as progress:
        compiled = _find_library(
            compiled_for, dtype, sizes, library, progress, dump, chosen.compile_options(), database,
            no_database=no_database,
        )  # fmt: skip
        build_bundle(
            checkpoint, compiled, out, progress, expected, name, examples, kernel_choices,
            check_pictures=check_pictures, classic=layout == CLASSIC,
        )  # fmt: skip
    say(out)


def _check_page(library: Path | None) -> None:
    """Refuse what would end without a page, before anything is compiled or read.

    Args:
        library: the folder of a compiled library; None if one will be compiled.
    """
    from wsd.bundle.web_page import check_page
    from wsd.util.prebuilt import is_clone

    check_page()
    if library is None and not is_clone():
        from wsd.compiler.tvm_compat import version

        check_page(version())


def _choose_functions(
    family: Family, prompt_chunks: int | None, *, text_only: bool, deep_cache: bool
) -> Family:
    """Return a family of which only some functions are compiled.

    Args:
        family: the model.
        prompt_chunks: how many chunks a prompt may have; as the family says if it is None.
        text_only: whether functions that take a picture are left out.
        deep_cache: whether the denoiser keeps deep features.
    """
    if deep_cache:
        family = family.with_deep_cache()
    if prompt_chunks is not None:
        family = replace(family, prompt_chunks=prompt_chunks)
    return family.without_parts() if text_only else family


def _find_library(
    family: Family, dtype: str | None, sizes: tuple[Size, ...], folder: Path | None,
    progress: Progress, dump: Path | None = None, checkpoint: str = "",
    database: Path | None = None, *, no_database: bool = False,
) -> Library:  # fmt: skip
    """Compile a family, or read what was compiled.

    Args:
        family: the model, as the checkpoint's configurations have it.
        dtype: how weights are stored; f32 if it is None.
        sizes: picture sizes to compile; the family's own if there are none.
        folder: that of a compiled library, or None.
        progress: shows what has been done.
        dump: where the compiler writes what it makes on the way, or None.
        checkpoint: the options that name the checkpoint, for the hint about another library.
        database: the folder of a database of schedules; None for those that come with the family.
        no_database: whether those are left out.
    """
    from wsd.compiler.library import open_library
    from wsd.compiler.library_check import check_library

    if folder is None:
        from wsd.compiler.driver import compile_library
        from wsd.models.resolution import check_sizes

        dtype = dtype or "f32"
        tuned = _choose_databases(database, family, dtype, no_database=no_database)
        return compile_library(family, check_sizes(family, sizes), dtype, progress, dump, tuned)
    library = open_library(folder)
    check_library(library, family, checkpoint)
    return library


def _check_database(folder: Path | None, dtype: str | None) -> None:
    """Refuse a database that no checkpoint can be compiled with here, before one is opened."""
    if folder is None:
        return
    from wsd.compiler.schedule_database import check_database, read_database
    from wsd.compiler.tvm_compat import version

    database = read_database(folder)
    wanted = replace(database.target, tvm=version(), dtype=dtype or "f32")
    check_database(database, wanted, folder)


def _choose_databases(
    folder: Path | None, family: Family, dtype: str, *, no_database: bool
) -> ChosenDatabases | None:
    """Read the database that was named, which must be of this TVM, model and precision.

    Returns:
        None for the databases that come with the family.
    """
    from wsd.compiler.schedule_database import (
        ChosenDatabases,
        check_database,
        read_database,
        tuning_target,
    )
    from wsd.compiler.tvm_compat import version

    if folder is None:
        return ChosenDatabases() if no_database else None
    database = read_database(folder)
    check_database(database, tuning_target(family, dtype, version()), folder)
    return ChosenDatabases((database,), named=True)


@command()
@click.option("--out", required=True, type=NEW_FOLDER, help="A new folder.")
def package(out: Path) -> None:
    """Write the npm package: the pipeline without the page."""
    from wsd.bundle.web_page import write_package
    from wsd.util.prebuilt import is_clone

    tvmjs = None
    if is_clone():
        from wsd.compiler.tvm_compat import tvmjs_source

        tvmjs = tvmjs_source()
    say(write_package(out, tvmjs))


@command()
@checkpoint_options("random_weights")
@click.option("--size", type=SizeType(), help="Picture size; the model's first unless given.")
@click.option("--prompt", default="", type=PROMPT, help="What the text encoders read.")
@click.option("--out", required=True, type=OUTPUT_FILE,
              help="The self-test fixtures, for wsd build --self-test.")  # fmt: skip
def expect(chosen: CheckpointChoice, size: Size | None, prompt: str, out: Path) -> None:
    """Compute with PyTorch what each stage must give, for the self-test page."""
    from wsd.bundle.self_test import write_fixtures
    from wsd.models.resolution import check_sizes, check_sizes_early
    from wsd.util.progress import Progress

    sizes = [size] if size else []
    check_sizes_early(chosen.family(), sizes)
    checkpoint = chosen.open()
    (first, *_) = check_sizes(checkpoint.family, sizes)
    with Progress() as progress:
        say(write_fixtures(checkpoint, first, prompt, out, progress))


@command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--model", metavar="NAME", type=NAME,
              help="The model that it is for; the first that it fits unless given.")  # fmt: skip
@click.option("--name", metavar="NAME", type=NAME,
              help="What people call it; the file's name unless given.")  # fmt: skip
@click.option("--out", required=True, type=NEW_FOLDER, help="A new folder.")
def lora(file: Path, model: str | None, name: str | None, out: Path) -> None:
    """Make a small bundle of an adapter, which pages of its model load while they run."""
    from wsd.bundle.adapter_bundle import write_adapter_bundle
    from wsd.models.registry import find_family
    from wsd.util.files import check_absent

    check_absent(out)
    family = None if model is None else find_family(model)
    say(write_adapter_bundle(file, out, family, name))


@command()
@click.argument(
    "folders", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@layout_option
@click.option("--out", required=True, type=NEW_FOLDER,
              help="A new folder.")  # fmt: skip
def join(folders: tuple[Path, ...], layout: str, out: Path) -> None:
    """Make one bundle of several: one page that offers all their models."""
    from wsd.bundle.merge import join_bundles

    join_bundles(folders, out, classic=layout == CLASSIC)
    say(out)


@command(
    Unused(
        ("--offline", "--trusted-root", "--certificate-source-repository"),
        beside="--key",
        hint="a key is compared without Sigstore: leave the other option out",
    )
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--signature", type=click.Path(path_type=Path), metavar="FILE",
              help="A signature of provenance.json, to be checked too.")  # fmt: skip
@click.option("--key", type=click.Path(path_type=Path), metavar="FILE",
              help="PEM file of the public key that must have signed it.")  # fmt: skip
@click.option("--certificate-identity", "identity", metavar="NAME",
              help="Identity that Sigstore's certificate must name, instead of a key.")  # fmt: skip
@click.option("--certificate-oidc-issuer", "issuer", metavar="URL",
              help="Who must have confirmed that identity to Sigstore.")  # fmt: skip
@click.option("--certificate-source-repository", "source", metavar="URL",
              help="Repository that was built, if it is not the workflow's own.")  # fmt: skip
@click.option("--offline", is_flag=True, help="Do not ask Sigstore for its newest keys.")
@click.option("--trusted-root", type=click.Path(path_type=Path), metavar="FILE",
              help="Keys of another Sigstore than the public one.")  # fmt: skip
def verify(
    folder: Path, signature: Path | None, key: Path | None, identity: str | None,
    issuer: str | None, trusted_root: Path | None, source: str | None, *, offline: bool,
) -> None:  # fmt: skip
    """Check every byte of a bundle against its manifests and attestations, and who signed it.

    Of an adapter's bundle, which wsd lora makes: its file against its description.
    """
    from wsd.bundle.adapter_bundle import is_adapter_bundle, verify_adapter_bundle
    from wsd.bundle.earlier_attestations import describe_limits
    from wsd.bundle.manifest import REBUILD
    from wsd.bundle.verify import verify_bundle
    from wsd.errors import UsageError
    from wsd.supply_chain.signature import check_readable, check_signature, choose_signer

    signer = choose_signer(
        signature,
        key,
        identity,
        issuer,
        offline=offline,
        trusted_root=trusted_root,
        source=source,
    )
    is_adapter = is_adapter_bundle(folder)
    if is_adapter and signature is not None:
        raise UsageError(
            f"{folder} is an adapter's bundle, which has no provenance that could be signed",
            "leave --signature out",
        )
    if signature is not None and signer is not None:
        check_readable(signature, signer)
    faults = list(verify_adapter_bundle(folder) if is_adapter else verify_bundle(folder))
    for fault in faults:
        say(fault)
    if faults:
        say(f"error: {len(faults)} bad files in {folder}", error=True)
        rebuild = "run wsd lora again, or fetch the bundle anew" if is_adapter else REBUILD
        say(f"hint: {rebuild}", error=True)
        sys.exit(1)
    if is_adapter:
        say(f"{folder}: good")
        return
    signed = ""
    if signature is not None and signer is not None:
        check_signature(folder, signature, signer)
        signed = f", and signed by {signer}"
    limits = describe_limits(folder)
    say(f"{folder}: good{signed}{limits and f', {limits}'}")
