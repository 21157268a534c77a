"""The command that mends what `bench check experiment=...` finds."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from bench.config.reading import assets_in
from bench.config.settings import MISSING, RunSettings


@dataclass(frozen=True)
class Cures:
    """The commands that mend an experiment.

    What `bench fetch` gets, it also verifies, and gets again where it is not what it should be.
    For the rest the command says which setting to give.

    Attributes:
        experiment: The experiment's name.
        settings: Its settings; assets may be missing.
        fetched: The assets that `bench fetch` gets.
    """

    experiment: str
    settings: RunSettings
    fetched: frozenset[str]

    @property
    def fetch(self) -> str:
        """Gets all that can be had."""
        return f"bench fetch {self.experiment}"

    def of_asset(self, asset: str) -> str:
        """Of an asset that is not set, or not there."""
        return self.fetch if asset in self.fetched else self._check(f"assets.{asset}=PATH")

    def of_setting(self, key: str, otherwise: str) -> str:
        """Of a file that is missing or another one.

        Args:
            key: The setting that names it.
            otherwise: The setting to give, `key=FILE`, if it is of no asset that is fetched.
        """
        return self.fetch if self._folder(key) is not None else self._check(otherwise)

    def of_network(self, part: str) -> str:
        """Of a network that cannot be loaded, or is not the authors'.

        Args:
            part: `backbone` or `explain.backbone`.
        """
        key = f"{part}.weights"
        network = self.settings.backbone if part == "backbone" else self.settings.explain.backbone
        weights = None if network is None else network.settings.get("weights")
        is_library = key not in self.settings.made_of_assets and weights == "pretrained"
        return self.fetch if is_library else self.of_setting(key, f"{key}=FILE")

    def of_data(self) -> str:
        """Of pictures that are damaged: an archive is unpacked again where none stands."""
        folder = self._folder("dataset.root")
        if folder is None:
            return self._check("dataset.root=FOLDER")
        return f"mv {quote(str(folder))} {quote(f'{folder}.unexpected')} && {self.fetch}"

    def of_annotations(self) -> str:
        """Of boxes and masks that are missing or wrong."""
        given = self.settings.dataset.settings
        if "boxes" in given:
            return self._check("dataset.boxes=FILE")
        return self._check("dataset.masks=FOLDER") if "masks" in given else self.of_data()

    def of_methods(self, names: Collection[str]) -> str:
        """Of methods that cannot run: the others can."""
        others = [name for name in self.settings.methods if name not in names]
        return self._run(f"method=[{','.join(others or ['METHOD'])}]")

    def of_disk(self) -> str:
        """Of a disk that is too small for the maps."""
        return self._run("maps.keep=false")

    def _check(self, setting: str) -> str:
        return f"bench check experiment={self.experiment} {setting}"

    def _run(self, setting: str) -> str:
        return f"bench run experiment={self.experiment} {quote(setting)}"

    def _folder(self, key: str) -> Path | None:
        """The folder of the fetched asset that a setting is made of; None: of none."""
        value = self.settings.made_of_assets.get(key, MISSING)
        for asset in sorted(self.fetched):
            place = self.settings.assets.get(asset)
            if place is None:
                if asset in assets_in(value):
                    return Path(asset)
            elif Path(value).is_relative_to(place):
                return Path(place)
        return None
