"""Converts Hydra's configuration to `RunSettings`, and checks all of it at once."""

import copy
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bench.backbones.backbone import PRECISIONS
from bench.config.settings import (
    MISSING,
    MOST_DRAWS,
    POLICIES,
    Component,
    Explain,
    Maps,
    OneImage,
    Reproduces,
    RunSettings,
    flat,
)
from bench.datasets.published_lists import PUBLISHED_LISTS
from bench.datasets.selection import Selection
from bench.datasets.shard import Shard, read_shard
from bench.errors import (
    LARGEST,
    BenchError,
    require_integer,
    require_known,
    require_number,
    require_settings,
    require_text,
    require_unicode,
)
from bench.files import BESIDE, LONGEST_NAME, SIDE_BY_SIDE, check_writable, expand_user, file_name
from bench.leaderboard.groups import read_grouping
from bench.leaderboard.significance import TESTS
from bench.metrics.auc import AUC_RULES
from bench.storage.identity import ROW_KEYS
from bench.storage.map_store import DTYPES
from bench.target import Target, require_target

_GROUPS = ("dataset", "backbone", "protocol", "explain", "select", "maps", "store", "assets")
_OPTIONAL_GROUPS = ("metric", "method", "explain.backbone", "reproduces", "reproduces.one_image")
_BUILT = ("dataset", "backbone", "explain", "method")
"""What the assets of an experiment are needed for."""

T = TypeVar("T")


def read_settings(config: DictConfig, *, may_lack_assets: bool = False) -> RunSettings:
    """Checks a configuration and turns it into settings.

    Args:
        config: As `conf/run.yaml` composes it, other methods' names replaced
            (`bench.config.composing.name_other_methods`).
        may_lack_assets: Whether assets may be missing that something needs, for those who look at
            what there is.

    Raises:
        BenchError: Something is wrong; one line for each wrong setting.
    """
    written = OmegaConf.to_container(config)
    content = _resolved(config)
    reader = _Reader(content)
    for group in _GROUPS:
        reader.check(require_settings, group, reader.value(group))
    for group in _OPTIONAL_GROUPS:
        if reader.value(group) is not None:
            reader.check(require_settings, group, reader.value(group))
    reader.raise_faults()  # all that follows is inside of these
    for key, value in flat(content):
        reader.check(require_unicode, key, value)
    if not may_lack_assets:
        reader.check(_require_assets, content)
    settings = reader.settings(_made_of_assets(written, content))
    reader.raise_faults()
    return settings


def assets_in(value: object) -> list[str]:
    """Names of the assets that a setting is made of, as it is written: `${assets.root}/list.txt`.

    In a setting that has been read these are the ones that are not set.
    """
    return re.findall(r"\$\{assets\.(\w+)\}", value) if isinstance(value, str) else []


class _Reader:
    """Takes single settings out of a configuration, each of its type, and keeps what is wrong.

    In place of a wrong value another one of its type is given, so that all can be looked at.

    Args:
        content: Plain values.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content
        self._faults: list[str] = []

    def raise_faults(self) -> None:
        """Raises `BenchError` with one line a fault if there are any."""
        if self._faults:
            raise BenchError("\n  ".join(dict.fromkeys(self._faults)))

    def check(self, check: Callable[..., object], *arguments: Any) -> bool:
        """Whether a check lets something pass; if not, its complaint is kept."""
        try:
            check(*arguments)
        except BenchError as error:
            self._faults.append(str(error))
            return False
        return True

    def value(self, key: str) -> Any:
        """What stands under a key with dots; None: nothing."""
        return _value(self._content, key)

    def settings(self, made_of_assets: Mapping[str, str]) -> RunSettings:
        """All of them, but for those that are wrong."""
        methods, unused = self._methods()
        return RunSettings(
            name=self._name(),
            results_dir=self._folder("results_dir", lambda folder, _: check_writable(folder)),
            dataset=self._component("dataset"),
            backbone=self._component("backbone"),
            protocol=self.value("protocol"),
            target=self._target("target"),
            metrics=self._metrics(),
            methods=methods,
            unused_methods=unused,
            explain=self._explain(),
            select=self._made(lambda: _selection(self.value("select")), Selection()),
            maps=self._maps(),
            policy=self._choice("store.policy", POLICIES),
            seed=self._integer("seed", 0),
            seeds=self._integer("seeds", 1, MOST_DRAWS),
            shard=self._made(lambda: _shard(self.value("shard")), None),
            device=self._text("device"),
            batch_size=self._batch_size(),
            precision=self._choice("precision", PRECISIONS),
            compile=self._switch("compile"),
            block_size=self._integer("block_size", 1),
            workers=self._integer("workers", 1),
            fail_fast=self._switch("fail_fast"),
            strict=self._switch("strict"),
            reference=None if self.value("reference") is None else self._text("reference"),
            by=self._by(),
            figures=self._switch("figures"),
            gallery=self._integer("gallery", 0),
            assets=_assets(self.value("assets")),
            made_of_assets=made_of_assets,
            reproduces=None if self.value("reproduces") is None else self._reproduces(),
            resolved=self._content,
        )

    def _made(self, make: Callable[[], T], otherwise: T) -> T:
        try:
            return make()
        except BenchError as error:
            self._faults.append(str(error))
            return otherwise

    def _by(self) -> str | None:
        value = self.value("by")
        return None if value is None or not self.check(read_grouping, value) else str(value)

    def _integer(self, key: str, minimum: int, maximum: int = LARGEST) -> int:
        value = self.value(key)
        return int(value) if self.check(require_integer, key, value, minimum, maximum) else minimum

    def _batch_size(self) -> int | Literal["auto"]:
        value = self.value("batch_size")
        if value == "auto":
            return "auto"
        return int(value) if self.check(require_integer, "batch_size", value, 1, 10**5) else 1

    def _number(self, key: str, low: float, high: float) -> float:
        value = self.value(key)
        return float(value) if self.check(require_number, key, value, low, high) else high

    def _switch(self, key: str) -> bool:
        return self.check(_require_switch, key, self.value(key)) and bool(self.value(key))

    def _text(self, key: str) -> str:
        value = self.value(key)
        return value if self.check(require_text, key, value) else key

    def _choice(self, key: str, known: Collection[str]) -> str:
        value = str(self.value(key))
        self.check(require_known, key, value, known)
        return value

    def _known_text(self, key: str, known: Collection[str]) -> str:
        value = self._text(key)
        if self.value(key) is not None:
            self.check(require_known, key, value, known)
        return value

    def _folder(self, key: str, check: Callable[[Path, str], object]) -> Path:
        """A folder with `~` replaced."""
        folder = Path(self._text(key))
        return folder.expanduser() if self.check(check, folder, key) else folder

    def _name(self) -> str | None:
        name = self.value("name")
        if name is not None:
            self.check(check_name, str(name))
        return None if name is None else str(name)

    def _maps(self) -> Maps:
        folder, dtype = self._folder("maps.folder", expand_user), self._choice("maps.dtype", DTYPES)
        return Maps(self._switch("maps.keep"), folder, dtype)

    def _explain(self) -> Explain:
        score = None if self.value("explain.score") is None else self._text("explain.score")
        is_chosen = "_target_" in (self.value("explain.backbone") or {})
        backbone = self._component("explain.backbone") if is_chosen else None
        return Explain(score, backbone, self._target("explain.target"))

    def _target(self, key: str) -> Target | None:
        value: Target | None = self.value(key)
        return None if value is None or not self.check(require_target, key, value) else value

    def _metrics(self) -> dict[str, Component]:
        """Those that are added to the protocol's."""
        nodes = self.value("metric") or {}
        return {
            name: Component(
                f"metric.{name}",
                str(node["_target_"]),
                {key: value for key, value in node.items() if key != "_target_"},
            )
            for name, node in nodes.items()
            if self.check(_require_metric, name, node)
        }

    def _methods(self) -> tuple[dict[str, Component], tuple[str, ...]]:
        """The chosen ones, and the names of those that are not."""
        chosen, unused = {}, []
        for name, node in (self.value("method") or {}).items():
            if not self.check(_require_method, name, node):
                continue
            if "_target_" in node:
                chosen[name] = self._component(f"method.{name}", node)
            else:
                unused.append(name)
        return chosen, tuple(unused)

    def _component(self, key: str, node: Mapping[str, Any] | None = None) -> Component:
        settings = dict(self.value(key) if node is None else node)
        target = settings.pop("_target_", None)
        self.check(require_text, f"{key}._target_", target)
        row = {name: _text_or_none(settings.pop(name, None)) for name in ROW_KEYS}
        citation = None
        if not key.startswith("method."):  # a method is given its citation, if it takes one
            citation = _text_or_none(settings.pop("citation", None))
            if isinstance(settings.get("gallery"), Mapping):
                settings["gallery"] = dict(settings["gallery"])
                settings["gallery"].pop("citation", None)
        return Component(key, str(target), settings, row["label"], row["published"], citation)

    def _reproduces(self) -> Reproduces:
        lists = [published.name for published in PUBLISHED_LISTS]
        node = self.value("reproduces")
        unverified = {str(key): self.value(str(key)) for key in node.get("unverified") or ()}
        return Reproduces(
            table=self._text("reproduces.table"),
            backbone=self._text("reproduces.backbone"),
            list=self._known_text("reproduces.list", lists),
            deviations=tuple(map(str, node.get("deviations") or ())),
            unverified={key: _text_or_none(path) for key, path in unverified.items()},
            notes={str(row): str(note) for row, note in (node.get("notes") or {}).items()},
            one_image=None if node.get("one_image") is None else self._one_image(),
        )

    def _one_image(self) -> OneImage:
        return OneImage(
            self._text("reproduces.one_image.file"),
            self._number("reproduces.one_image.probability", 0, 1),
            self._number("reproduces.one_image.tolerance", 0, 1),
        )


def _resolved(config: DictConfig) -> dict[str, Any]:
    """Plain values, references looked up; `${assets.NAME}` stays where that asset is not set."""
    config = copy.deepcopy(config)
    assets = config.get("assets")
    unset: list[str] = []
    if isinstance(assets, DictConfig):
        unset = [str(name) for name in assets if OmegaConf.is_missing(assets, name)]
    for name in unset:
        assets[name] = f"\\${{assets.{name}}}"  # escaped: it stands for itself
    try:
        content = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        reason = " ".join(str(error).split())
        raise BenchError(
            f"{reason} (see `bench run --cfg job` for the settings there are)"
        ) from None
    assert isinstance(content, dict)
    if unset:
        content["assets"] |= dict.fromkeys(unset, MISSING)
    return {str(key): value for key, value in content.items()}


def _made_of_assets(written: Any, content: Mapping[str, Any]) -> dict[str, str]:
    """Settings of what is built that assets are a part of: key -> value, looked up."""
    parts = {part: written.get(part) for part in _BUILT}
    parts["method"] = {
        name: node
        for name, node in (written.get("method") or {}).items()
        if isinstance(node, dict) and "_target_" in node
    }
    found = dict(flat(content))
    return {key: str(found[key]) for key, value in flat(parts) if assets_in(value)}


def _require_assets(content: Mapping[str, Any]) -> None:
    """Refuses settings that need assets which are not set, and names all of them at once."""
    parts = {part: content.get(part) for part in _BUILT}
    missing = [*dict.fromkeys(name for _, value in flat(parts) for name in assets_in(value))]
    if missing:
        raise BenchError(
            f"assets: this experiment needs paths that are not set: add "
            f"{' '.join(f'assets.{name}=PATH' for name in missing)}, or lines `{missing[0]}: PATH` "
            "to assets.yaml in the working directory"
        )


def _require_switch(key: str, value: object) -> None:
    if not isinstance(value, bool):
        raise BenchError(f"{key}: expected true or false, found {value!r}")


def _require_method(name: str, node: object) -> None:
    if not isinstance(node, Mapping):
        raise BenchError(f"method.{name}: expected its settings, found {node!r}")


def _require_metric(name: str, node: object) -> None:
    if not isinstance(node, Mapping):
        raise BenchError(f"metric.{name}: expected its settings, found {node!r}")
    if not isinstance(node.get("_target_"), str):
        raise BenchError(
            f"metric.{name}._target_: expected the dotted path of its class, found "
            f"{node.get('_target_')!r}: +metric=[{name}] adds a metric by its name"
        )


def check_name(name: str) -> None:
    """Raises `BenchError` if no leaderboard can be called so: no file could, or others are."""
    if file_name(name) != name:
        raise BenchError(
            f"name: '{name}' cannot be a file's name; expected letters, digits and ._+-, at most "
            f"{LONGEST_NAME} bytes, for instance name={file_name(name)}"
        )
    if name.casefold() == SIDE_BY_SIDE:
        raise BenchError(
            f"name: expected another name than '{name}': `bench leaderboard` writes "
            "the table of several benchmarks under it"
        )
    for ending in (*AUC_RULES, *TESTS, *BESIDE):
        if name.casefold().endswith(f"_{ending}"):
            other = name[: -len(ending) - 1]
            raise BenchError(
                f"name: expected one that does not end in '_{ending}', found '{name}': files of "
                f"the leaderboard '{other}' are called so (name= sets another)"
            )


def _selection(settings: Mapping[str, Any]) -> Selection:
    try:
        return Selection(**settings)
    except TypeError:
        known = ", ".join(field.name for field in fields(Selection))
        raise BenchError(f"select: expected the settings {known}, found {settings}") from None


def _shard(value: object) -> Shard | None:
    return None if value is None else read_shard(value)


def _assets(settings: Mapping[str, Any]) -> dict[str, str | None]:
    return {name: None if path == MISSING else str(path) for name, path in settings.items()}


def _value(content: Any, key: str) -> Any:
    for name in key.split("."):
        content = content.get(name) if isinstance(content, Mapping) else None
    return content


def _text_or_none(value: object) -> str | None:
    return None if value is None else str(value)
