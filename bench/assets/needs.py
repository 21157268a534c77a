"""What an experiment, a data set or a name needs of the registry, and what of it is there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.assets.download import remote_size, size_on_hub
from bench.assets.registry import Asset, AssetFile, known_assets, load_asset
from bench.config.composing import as_written, compose_run, name_other_methods
from bench.config.reading import read_settings
from bench.config.settings import RunSettings
from bench.errors import BenchError, require_known


@dataclass(frozen=True)
class Need:
    """An asset, and which of its files are needed.

    Attributes:
        asset: The asset.
        files: Those of its files that are needed.
        key: What an experiment calls it, as in `assets.key`; None: it goes into no assets.yaml.
    """

    asset: Asset
    files: tuple[AssetFile, ...]
    key: str | None = None

    def folder(self, to: Path) -> Path:
        """Where the asset goes.

        Args:
            to: The folder of all assets.
        """
        return to / self.asset.place

    def place_of(self, file: AssetFile, to: Path) -> Path:
        """What is there once a file is: itself, or the folder that it is unpacked into.

        Args:
            file: One of `files`.
            to: The folder of all assets.
        """
        name = file.name if file.unpacked is None else file.unpacked.to
        return self.folder(to) / name

    def is_there(self, to: Path) -> bool:
        """Whether all of it is there; what is there has appeared whole.

        Args:
            to: The folder of all assets.
        """
        if self.asset.align is not None:
            return self.folder(to).exists()
        return all(self.place_of(file, to).exists() for file in self.files)

    def bytes_needed(self, to: Path) -> tuple[int, bool]:
        """Bytes that are still to come, archives and what is in them.

        Args:
            to: The folder of all assets.

        Returns:
            As far as they are known, and whether the sizes of all files are.
        """
        known, complete = 0, True
        for file in self.files:
            if self.place_of(file, to).exists():
                continue
            content = 0 if file.unpacked is None else file.unpacked.size or file.size
            known += (file.size or 0) + (content or 0)
            complete = complete and file.size is not None
        return known, complete


def fetched_for(experiment: str, folders: Sequence[Path] = ()) -> dict[str, str]:
    """Key of an experiment's assets -> the asset that `bench fetch` gets for it.

    Args:
        experiment: Its name.
        folders: Configuration folders beside the shipped one.

    Returns:
        What it, or an experiment that it is made of, has under `fetch`.

    Raises:
        BenchError: That is no such mapping.
    """
    fetch = as_written(compose_run([f"experiment={experiment}", *flags(folders)])).get("fetch")
    if fetch is None:
        return {}
    if not isinstance(fetch, dict) or not all(isinstance(name, str) for name in fetch.values()):
        raise BenchError(
            f"experiment '{experiment}': fetch: expected lines `key: asset`, found {fetch!r}"
        )
    return fetch


def flags(folders: Sequence[Path]) -> list[str]:
    """Configuration folders as a command line has them.

    Args:
        folders: One at most.
    """
    return [text for folder in folders for text in ("--config-dir", str(folder))]


def settings_of(experiment: str, changes: Sequence[str], folders: Sequence[Path]) -> RunSettings:
    """An experiment's settings, with no asset set.

    Args:
        experiment: Its name.
        changes: Settings as of `bench run`.
        folders: Configuration folders beside the shipped one.

    Raises:
        BenchError: A setting is wrong.
    """
    config = compose_run([f"experiment={experiment}", *changes, *flags(folders)])
    name_other_methods(config, folders)
    return read_settings(config, may_lack_assets=True)


def needs_of_experiment(
    fetched: Mapping[str, str], settings: RunSettings, folders: Sequence[Path] = ()
) -> list[Need]:
    """The assets that an experiment needs, with those files that its settings name.

    Args:
        fetched: See `fetched_for`.
        settings: See `settings_of`.
        folders: Configuration folders beside the shipped one.

    Raises:
        BenchError: An asset is unknown.
    """
    needs: list[Need] = []
    for key, name in fetched.items():
        asset = load_asset(name, folders)
        begin = f"${{assets.{key}}}/"
        named = [
            value.removeprefix(begin)
            for value in settings.made_of_assets.values()
            if value.startswith(begin)
        ]
        files = [file for file in asset.files if file.unpacked is not None or file.name in named]
        needs += needs_of_asset(asset, folders, key=key, files=files)
    return _joined(needs)


def needs_of_asset(
    asset: Asset,
    folders: Sequence[Path] = (),
    *,
    key: str | None = None,
    files: Sequence[AssetFile] | None = None,
) -> list[Need]:
    """An asset, after those that it is made of.

    Args:
        asset: The asset.
        folders: Configuration folders beside the shipped one.
        key: What an experiment calls it.
        files: Those of its files that are needed; None: all.

    Raises:
        BenchError: One that it is made of is unknown.
    """
    needs = []
    if asset.align is not None:
        lists = load_asset(asset.align.lists, folders)
        named = [file for file in lists.files if file.name == asset.align.list]
        needs = needs_of_asset(lists, folders, files=named)
        needs += needs_of_asset(load_asset(asset.align.pictures, folders), folders)
    return [*needs, Need(asset, tuple(asset.files if files is None else files), key)]


def needs_of_dataset(name: str, folders: Sequence[Path] = ()) -> list[Need]:
    """What `dataset=NAME` reads.

    Args:
        name: A data set.
        folders: Configuration folders beside the shipped one.

    Raises:
        BenchError: Nothing of it is on record; those that can be fetched are told.
    """
    assets = [load_asset(each, folders) for each in known_assets(folders)]
    known = {asset.dataset: asset for asset in assets if asset.dataset is not None}
    require_known("dataset to fetch", name, known)
    return needs_of_asset(known[name], folders)


def _joined(needs: Sequence[Need]) -> list[Need]:
    """The same with every asset once, with all of its files that any need names."""
    found: dict[str, Need] = {}
    for need in needs:
        known = found.get(need.asset.name)
        if known is not None:
            files = tuple(dict.fromkeys([*known.files, *need.files]))
            need = replace(need, files=files, key=need.key or known.key)
        found[need.asset.name] = need
    return list(found.values())


def with_sizes(need: Need, to: Path) -> Need:
    """The same with sizes that are not on record as the servers announce them.

    Args:
        need: The asset and its files; those that are there are not asked for.
        to: The folder of all assets.
    """
    return replace(
        need,
        files=tuple(
            file
            if file.size is not None or need.place_of(file, to).exists()
            else replace(file, size=_announced(need.asset, file))
            for file in need.files
        ),
    )


def _announced(asset: Asset, file: AssetFile) -> int | None:
    if file.url is not None:
        return remote_size(file.url)
    return None if asset.hub is None else size_on_hub(asset.hub, asset.revision, file.name)
