"""What can be fetched: the files `conf/asset/*.yaml`, one an asset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

from bench.assets.unpacking import Part
from bench.config.choices import choices
from bench.config.composing import load_nodes
from bench.errors import BenchError, require_known

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Where plain http is as good as https."""


@dataclass(frozen=True)
class Labels:
    """A list `N.png LABEL` that is made of a tensor in an archive.

    Attributes:
        tensor: The file of the tensor, one label a picture.
        tensor_sha256: Its sha256.
        list: The list that is written.
        list_sha256: The sha256 of its lines, without the end of the last one.
    """

    tensor: str
    tensor_sha256: str
    list: str
    list_sha256: str


@dataclass(frozen=True)
class Unpacked:
    """What becomes of an archive.

    Attributes:
        part: What of it is unpacked.
        to: The folder that appears, in that of the asset; `.`: that of the asset itself.
        size: Bytes that it takes, where that is on record.
        labels: A list that is made of what was unpacked.
    """

    part: Part
    to: str = "."
    size: int | None = None
    labels: Labels | None = None


@dataclass(frozen=True)
class AssetFile:
    """One file of an asset, as it is published.

    Attributes:
        name: Its path in the asset's folder, or an archive's name.
        url: Where it is; None: on the asset's hub repository, or to be got by hand.
        size: Bytes, where that is on record.
        sha256: Its hash, where that is on record.
        md5: Another one, where that is on record.
        unpacked: What becomes of it; None: it stays as it is.
    """

    name: str
    url: str | None = None
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    unpacked: Unpacked | None = None

    @property
    def hash_on_record(self) -> tuple[str, str] | None:
        """The kind of the hash on record, and the hash."""
        if self.sha256 is not None:
            return "sha256", self.sha256
        return None if self.md5 is None else ("md5", self.md5)


@dataclass(frozen=True)
class Alignment:
    """Faces that are cut out of the pictures of another asset.

    Attributes:
        pictures: The asset with the pictures.
        lists: The asset with the list.
        list: The file of that one.
    """

    pictures: str
    lists: str
    list: str


@dataclass(frozen=True)
class Asset:
    """Something that experiments need and that is published somewhere.

    Attributes:
        name: The name of its YAML file.
        title: What it is.
        licence: Its terms, in a line.
        page: The page that tells of it.
        place: Its folder, in that of all assets.
        files: What it consists of.
        dataset: The `dataset=` that reads it, if one does.
        hub: The repository on the Hugging Face hub that has the files without a URL.
        revision: Branch, tag or commit there; None: its newest.
        by_hand: Why files without a URL cannot be fetched, and where to get them.
        align: What its faces are made of.
    """

    name: str
    title: str
    licence: str
    page: str
    place: str
    files: tuple[AssetFile, ...] = ()
    dataset: str | None = None
    hub: str | None = None
    revision: str | None = None
    by_hand: str | None = None
    align: Alignment | None = None

    def source(self, file: AssetFile) -> str | None:
        """Where a file is fetched from, as text; None: nowhere.

        Args:
            file: One of `files`.
        """
        if file.url is None and self.hub is not None:
            revision = self.revision or "main"
            return f"https://huggingface.co/{self.hub}/resolve/{revision}/{quote(file.name)}"
        return file.url


def known_assets(folders: Sequence[Path] = ()) -> dict[str, Path]:
    """All assets, by name, with their files.

    Args:
        folders: Configuration folders beside the shipped one.
    """
    return {name: choice.path for name, choice in choices("asset", folders).items()}


def load_asset(name: str, folders: Sequence[Path] = ()) -> Asset:
    """One asset.

    Args:
        name: One of `known_assets`.
        folders: Configuration folders beside the shipped one.

    Raises:
        BenchError: The name is unknown (the nearest is told), or its file is not what it should be.
    """
    known = choices("asset", folders)
    require_known("asset", name, known)
    choice = known[name]
    node = load_nodes(choice.path)
    try:
        asset = _asset(name, choice.description, node)
    except (TypeError, AttributeError) as error:
        raise BenchError(f"'{choice.path}': {error}; conf/asset/cub200.yaml is one") from None
    _check(asset, choice.path)
    return asset


def _asset(name: str, title: str, node: Mapping[str, Any]) -> Asset:
    given = dict(node)
    files = tuple(_file(each) for each in given.pop("files", ()))
    align = given.pop("align", None)
    made = None if align is None else Alignment(**align)
    return Asset(name=name, title=title, files=files, align=made, **given)


def _file(node: Mapping[str, Any]) -> AssetFile:
    given = dict(node)
    unpack = given.pop("unpack", None)
    if unpack is None:
        return AssetFile(**given)
    unpack = dict(unpack)
    labels = unpack.pop("labels", None)
    part = {key: unpack.pop(key) for key in ("folder", "only", "count") if key in unpack}
    part["only"] = tuple(part.get("only", ()))
    made = None if labels is None else Labels(**labels)
    return AssetFile(**given, unpacked=Unpacked(Part(**part), labels=made, **unpack))


def _check(asset: Asset, path: Path) -> None:
    """Raises `BenchError` unless an asset stays in its place, and comes over a safe line."""
    for each in fields(Asset):
        value = getattr(asset, each.name)
        if each.name in ("licence", "page", "place") and not isinstance(value, str):
            raise BenchError(f"'{path}': {each.name}: expected text, found {value!r}")
    unpacked = [file.unpacked.to for file in asset.files if file.unpacked is not None]
    for place in (asset.place, *(file.name for file in asset.files), *unpacked):
        if PurePosixPath(place).is_absolute() or ".." in PurePosixPath(place).parts:
            raise BenchError(f"'{path}': expected a path inside of the folder, found '{place}'")
    for file in asset.files:
        url = urlsplit(file.url or "https://")
        if url.scheme != "https" and not (url.scheme == "http" and url.hostname in _LOOPBACK):
            raise BenchError(f"'{path}': expected a URL https://..., found '{file.url}'")
        if asset.source(file) is None and asset.by_hand is None:
            raise BenchError(
                f"'{path}': expected a url of {file.name}, or `by_hand`: where to get it"
            )
