"""Several checkpoints of one family in one bundle, told apart by names of their own."""

import pytest

from wsd.bundle.builder import build_bundle, check_model_name
from wsd.bundle.manifest import find_manifest, read_index, read_manifest
from wsd.bundle.merge import join_bundles
from wsd.bundle.verify import check_bundle
from wsd.errors import UsageError
from wsd.util.progress import Quiet


@pytest.mark.exhaustive
@pytest.mark.slow
def test_checkpoints_of_one_family_are_joined(bundle, shipped, library, tmp_path):
    named = [
        build_bundle(shipped, library, tmp_path / name, Quiet(), name=name)
        for name in ("anime", "photo-2")
    ]
    joined = join_bundles([named[1], bundle, named[0]], tmp_path / "joined")
    check_bundle(joined)
    index = read_index(joined)
    assert [entry.name for entry in index] == ["anime", "photo-2", "tiny-sd15"]
    assert [entry.manifest for entry in index] == ["anime/", "photo-2/", "tiny-sd15/"]
    models = [read_manifest(find_manifest(joined, entry.name)).model for entry in index]
    assert [model.family for model in models] == ["tiny-sd15", "tiny-sd15", ""]


@pytest.mark.parametrize(
    "name",
    ["", "Anime", "a b", "../a", "a/b", "a.b", "-a", "con", "com1", "\u00e9", "a" * 200, "a\n"],
)
def test_names_that_no_model_can_have(name):
    with pytest.raises(UsageError, match="is not allowed as the name of a model"):
        check_model_name(name)


@pytest.mark.parametrize("name", ["a", "anime-v2", "0", "a" * 150])
def test_names_that_models_can_have(name):
    check_model_name(name)
