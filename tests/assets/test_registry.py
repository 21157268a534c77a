"""The assets that are shipped, beside what the rest of the code knows of the same files."""

from bench.assets.registry import known_assets, load_asset
from bench.datasets.celeba import CelebA
from bench.datasets.cub200 import Cub200
from bench.datasets.published_lists import PUBLISHED_LISTS
from bench.datasets.vggface2 import VggFace2

CHECKSUMS = Cub200.checksums | CelebA.checksums | VggFace2.checksums
LISTS = {each.path.removeprefix("datasets/"): each.sha256 for each in PUBLISHED_LISTS}


def shipped_files():
    return [file for name in known_assets() for file in load_asset(name).files]


def test_archives_are_those_that_data_sets_know():
    found = {file.name: file.hash_on_record for file in shipped_files() if file.name in CHECKSUMS}
    assert found == {name: tuple(CHECKSUMS[name].split(":")) for name in found}
    assert {"CUB_200_2011.tgz", "vggface2_train.tar.gz", *CelebA.checksums} <= found.keys()


def test_lists_are_those_that_are_published():
    known = {file.name: file.sha256 for file in load_asset("smdl_lists").files}
    assert len(known) == 7
    assert known == {name: LISTS[name] for name in known}
    (archive,) = load_asset("mfaba").files
    assert archive.unpacked.labels.list_sha256 == LISTS[archive.unpacked.labels.tensor]
