"""Configuration as Hydra composes it, and checks of a command line before Hydra sees it.

Hydra's own error for an unknown name in a list shows no names, and a results folder that cannot
be written ends in its traceback; both are checked here first.
"""

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias, cast

from hydra import compose, initialize_config_module
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, QuotedString
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from bench.config.choices import GROUPS, OTHER_METHODS, SHIPPED, choices, known_names
from bench.config.plugins import config_packages
from bench.config.settings import Reproduces
from bench.config.unknown import unknown_setting
from bench.errors import BenchError, require_known, require_unicode
from bench.files import check_writable
from bench.storage.identity import ROW_KEYS

Composed: TypeAlias = DictConfig
"""What Hydra composes. `bench.config.reading.read_settings` looks into it, and nobody else."""


class _InstalledConfigs(SearchPathPlugin):
    """Lets Hydra find the configuration of installed packages, after the shipped one."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """See `SearchPathPlugin`."""
        for package in config_packages():
            search_path.append(package.origin, f"file://{package.folder}")


Plugins.instance().register(_InstalledConfigs)


def name_other_methods(config: Composed, folders: Sequence[Path] = ()) -> None:
    """Puts the settings of a method wherever another method's setting names it.

    `of: rise` becomes what rise.yaml says; `of: {method: rise, num_masks: 500}` does, too, with
    what is given beside the name.

    Args:
        config: As `conf/run.yaml` composes it; changed in place.
        folders: Configuration folders beside the shipped one.

    Raises:
        BenchError: A name is unknown, or its file holds no method.
    """
    methods = config.get("method")
    for node in methods.values() if isinstance(methods, DictConfig) else ():
        if not isinstance(node, DictConfig):
            continue
        for key in OTHER_METHODS:
            if node.get(key) is not None:
                with open_dict(node):
                    node[key] = _named_method(as_written(node)[key], folders)


def _named_method(value: Any, folders: Sequence[Path]) -> Any:
    changes = {"method": value} if isinstance(value, str) else value
    if not isinstance(changes, dict) or "method" not in changes:
        return value
    changes = dict(changes)
    return named_method(changes.pop("method"), changes, folders)


def named_method(
    name: str, changes: Mapping[str, Any], folders: Sequence[Path] = ()
) -> dict[str, Any]:
    """What the file of a method builds, with other settings.

    Args:
        name: One of `bench list methods`.
        changes: The other settings.
        folders: Configuration folders beside the shipped one.

    Raises:
        BenchError: The name is unknown, or its file holds no method.
    """
    known = choices("method", folders)
    require_known("method", name, known)
    path = known[name].path
    nodes = load_nodes(path).values()
    found = [node for node in nodes if isinstance(node, dict) and "_target_" in node]
    if len(found) != 1:
        raise BenchError(f"'{path}': expected one method, found {len(found)}")
    settings = {key: given for key, given in found[0].items() if key not in ROW_KEYS}
    settings |= changes
    for key in OTHER_METHODS:
        if key in settings:
            settings[key] = _named_method(settings[key], folders)
    return settings


def load_nodes(path: Path) -> dict[str, Any]:
    """What a configuration file says, as it is written.

    Raises:
        BenchError: It holds something else than names and what they stand for.
    """
    return as_written(OmegaConf.load(path))


def user_folders(arguments: Sequence[str]) -> list[Path]:
    """Configuration folders that a command line adds: `--config-dir` and `hydra.searchpath`.

    Raises:
        BenchError: A folder is missing, or an argument cannot be parsed.
    """
    config_dir, _, overrides = _split(arguments)
    folders = [Path(config_dir)] if config_dir else []
    for override in _overrides(overrides):
        if override.key_or_group == "hydra.searchpath":
            folders += [_folder(source) for source in _names(override.value())]
    for folder in folders:
        if not folder.is_dir():
            raise BenchError(f"configuration folder '{folder}' is missing")
    return folders


def check_arguments(arguments: Sequence[str]) -> None:
    """Checks the names and the results folder that a `bench run` command line asks for.

    Raises:
        BenchError: A name is unknown (the message lists the known ones and the nearest), the
            results folder cannot be written, or an argument cannot be parsed.
    """
    for argument in arguments:
        require_unicode("arguments", argument)
    folders, results = user_folders(arguments), ["results"]
    _refuse_words(arguments, folders)
    _refuse_added(arguments)
    for override in _overrides(_split(arguments)[2]):
        group = override.key_or_group
        if group in GROUPS.values() and not override.is_delete():
            if override.value() is None:  # Hydra has no word for it
                if not override.package:
                    raise BenchError(f"{group}: expected a name, found null")
                name = f"{group}@{override.package}"
                raise BenchError(f"{name}: expected a name; to do without say ~{name}")
            known = known_names(group, folders)
            for name in _names(override.value()):
                if group == "backbone" and name not in known:
                    _refuse_network(override, name)
                require_known(group, name, known)
        if group == "results_dir":
            results = _names(override.value())
    for folder in results or [""]:
        if not folder:
            raise BenchError("results_dir: expected a folder, found nothing")
        check_writable(Path(folder))


_FLAGS = (
    "--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--resolve", "--package", "-p",
    "--run", "-r", "--multirun", "-m", "--shell-completion", "-sc", "--config-path", "-cp",
    "--config-name", "-cn", "--config-dir", "-cd", "--experimental-rerun", "--info", "-i",
)  # fmt: skip
"""What Hydra's command line takes besides settings."""

_WITH_VALUE = ("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn",
               "--config-dir", "-cd", "--experimental-rerun", "--info", "-i")  # fmt: skip


def _refuse_words(arguments: Sequence[str], folders: Sequence[Path]) -> None:
    """Refuses words and flags that are no settings, and says what they would be as settings."""
    before = ""
    for argument in arguments:
        flag = argument.partition("=")[0]
        if argument.startswith("-") and not any(each.startswith(flag) for each in _FLAGS):
            name = flag.lstrip("-").replace("-", "_")
            raise BenchError(
                f"unknown option '{flag}': settings are key=value without dashes, as in "
                f"{f'{name}=VALUE' if len(name) > 1 else 'results_dir=FOLDER'}"
            )
        is_word = not argument.startswith(("-", "~")) and "=" not in argument
        if is_word and before not in _WITH_VALUE:
            groups = [each for each in ("experiment", "method", "backbone", "dataset")
                      if argument in choices(each, folders)]  # fmt: skip
            value = f"[{argument}]" if groups[:1] == ["method"] else argument
            hint = f": did you mean {groups[0]}={value}" if groups else ""
            raise BenchError(f"expected key=value, found '{argument}'{hint}")
        before = argument


def _settings_of_network(name: str) -> str | None:
    """The settings that choose a network by its name in a library; None: no library has it."""
    from bench.backbones.naming import settings_of  # torch takes seconds, and a typing error shows

    return settings_of(name)


def _refuse_network(override: Override, name: str) -> None:
    """Says which settings choose a network that a command line names as if it were a choice."""
    settings = _settings_of_network(name)
    if settings is not None:
        group = override.key_or_group + (f"@{override.package}" if override.package else "")
        chosen = f"{group}={settings}".replace(" backbone.", f" {override.package or 'backbone'}.")
        raise BenchError(f"{group}: unknown name '{name}': did you mean {chosen}")


def setting_comments(target: str) -> dict[str, str]:
    """What the shipped configuration says of the settings of a class or function, by their names.

    Args:
        target: Its dotted path; the first file that builds it is read.

    Returns:
        By name, with dots inside of settings, the comment beside it, or those above it.
    """
    for path in sorted(SHIPPED.rglob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        if re.search(rf"^_target_: {re.escape(target)}$", text, re.MULTILINE):
            return _comments(text.splitlines())
    return {}


def _comments(lines: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    above: list[str] = []
    outer: list[str] = []
    for line in lines:
        if line.startswith("#"):
            above.append(line.removeprefix("#").strip())
            continue
        setting = re.match(r"( *)(\w+):(?:.*?\s# (.*))?", line)
        if setting:
            outer = [*outer[: len(setting[1]) // 2], setting[2]]
            found[".".join(outer)] = setting[3] or " ".join(above)
        above = []
    return {name: comment for name, comment in found.items() if comment}


def compose_run(arguments: Sequence[str]) -> Composed:
    """The configuration that `bench run` would get from these arguments; nothing is run.

    Args:
        arguments: Overrides, and `--config-dir FOLDER`.

    Raises:
        BenchError: As `check_arguments`, or another flag is given, or Hydra cannot compose it.
    """
    check_arguments(arguments)
    _, flags, overrides = _split(arguments)
    if flags:
        raise BenchError(f"expected key=value or --config-dir FOLDER, found '{flags[0]}'")
    folders = user_folders(arguments)
    if folders:
        overrides = [text for text in overrides if not text.startswith("hydra.searchpath=")]
        quoted = ",".join(f'"file://{folder.absolute()}"' for folder in folders)
        overrides.append(f"hydra.searchpath=[{quoted}]")
    try:
        with initialize_config_module("bench.conf", version_base="1.3"):
            return compose("run", overrides)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise BenchError(explained(error, arguments)) from None


def explained(error: Exception, arguments: Sequence[str]) -> str:
    """What Hydra or OmegaConf says of a command line, in one line, with the setting that is meant.

    Args:
        error: Theirs.
        arguments: The command line.
    """
    reason = " ".join(str(error).split())
    missing = re.match(r"Could not override '([^']+)'", reason)
    if missing is not None:
        given = [each for each in _split(arguments)[2] if each.startswith(f"{missing[1]}=")]
        value = given[0].partition("=")[2] if given else ""
        if missing[1] == "backbone.name":
            settings = _settings_of_network(value) or f"timm backbone.name={value}"
            return f"unknown setting 'backbone.name': did you mean backbone={settings}"
        return unknown_setting(missing[1], value, _known_settings(arguments))
    several = re.match(r"Ambiguous value for argument '([^'=]+)=([^']+)'", reason)
    if several is not None:
        key, values = several.groups()
        return f"{key}={values}: did you mean {key}=[{values}] (for a run of each, add --multirun)"
    return f"{reason} (see `bench run --cfg job` for the settings there are)"


def _known_settings(arguments: Sequence[str]) -> dict[str, Any]:
    """The configuration of the choices that a command line makes, none of its settings changed."""
    folders, groups = user_folders(arguments), {*GROUPS.values()}
    quoted = ",".join(f'"file://{folder.absolute()}"' for folder in folders)
    texts = _split(arguments)[2]
    chosen = [
        text
        for text, override in zip(texts, _overrides(texts), strict=True)
        if override.key_or_group in groups - {"metric"} and not override.is_sweep_override()
    ]
    for overrides in (chosen, []):  # where the choices are wrong, too: the defaults
        with suppress(HydraException, OmegaConfBaseException, YAMLError):
            with initialize_config_module("bench.conf", version_base="1.3"):
                composed = compose("run", [f"hydra.searchpath=[{quoted}]", *overrides])
            return as_written(composed)
    return {}


_CHECKED_WHERE_USED = {*GROUPS.values(), "assets", "select", "hydra", "control"}
"""Where what is added is refused by whatever is built of it, or is anybody's."""


_OF_RECORD = tuple(f"reproduces.{each.name}" for each in fields(Reproduces))
"""What an experiment may say of a published table, most of which say nothing of most of it."""


def _refuse_added(arguments: Sequence[str]) -> None:
    """Refuses `+key=value` of a key that nobody reads, which Hydra takes in silence."""
    texts = _split(arguments)[2]
    added = [
        (text, override)
        for text, override in zip(texts, _overrides(texts), strict=True)
        if text.startswith("+")
        and override.key_or_group.partition(".")[0].partition("/")[0] not in _CHECKED_WHERE_USED
        and not override.package
        and not override.key_or_group.startswith(("explain.backbone", *_OF_RECORD))
        and f"${{{override.key_or_group}}}" not in " ".join(texts)  # another one reads it
    ]
    if not added:
        return
    known = _known_settings(arguments)
    for text, override in added:
        *outer, name = override.key_or_group.split(".")
        node: Any = known
        for each in outer:
            node = node.get(each) if isinstance(node, Mapping) else None
        if not isinstance(node, Mapping) or name not in node:
            value = text.partition("=")[2]
            raise BenchError(unknown_setting(override.key_or_group, value, known))


def prepared(arguments: Sequence[str]) -> list[str]:
    """A user's command line as Hydra takes it; see `with_open_modules` and `with_assets`."""
    return with_assets(with_open_modules(arguments))


def with_assets(arguments: Sequence[str], file: Path = Path("assets.yaml")) -> list[str]:
    """The command line with what a file says of assets, if it names an experiment.

    Args:
        arguments: Without the program's name; what they say of an asset goes before the file.
        file: YAML, lines of `key: path`; it need not exist.

    Raises:
        BenchError: The file is no such YAML.
    """
    arguments = list(arguments)
    keys = [override.key_or_group for override in _overrides(_split(arguments)[2])]
    if "experiment" not in keys:
        return arguments
    for key, path in read_places(file).items():
        if f"assets.{key}" not in keys:
            quoted = path.replace("\\", "\\\\").replace('"', '\\"')
            arguments.append(f'++assets.{key}="{quoted}"')
    return arguments


def read_places(file: Path) -> dict[str, str]:
    """What a file says of where assets lie; nothing if there is none.

    Args:
        file: YAML, lines of `key: path`.

    Raises:
        BenchError: The file is no such YAML.
    """
    if not file.exists():
        return {}
    try:
        assets: Any = OmegaConf.to_container(OmegaConf.load(file))
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        raise BenchError(f"'{file}' cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(assets, dict) or not all(isinstance(path, str) for path in assets.values()):
        raise BenchError(f"'{file}': expected lines `key: path`, found {assets!r}")
    return {str(key): path for key, path in assets.items()}


def with_open_modules(arguments: Sequence[str]) -> list[str]:
    """The command line with `backbone.module.NAME=` as Hydra takes it, `++backbone.module.NAME=`.

    A class of the user's has any arguments, and the shipped configuration knows none of them.
    """
    return [
        f"++{argument}" if re.match(r"(explain\.)?backbone\.module\.\w+=", argument) else argument
        for argument in arguments
    ]


def as_written(config: Composed | ListConfig) -> dict[str, Any]:
    """A configuration as plain values; references stay as they are written.

    Raises:
        BenchError: It is something else than a mapping.
    """
    settings: Any = OmegaConf.to_container(config)
    if not isinstance(settings, dict):
        raise BenchError(f"expected settings by name, found {settings!r}")
    return settings


def recompose(
    layers: Sequence[Mapping[str, Any]], ours: Mapping[str, Any], given: Mapping[str, Any]
) -> Composed:
    """The configuration that a manifest holds, changed.

    Args:
        layers: Settings; the later ones go before.
        ours: Changes by key with dots; what is not there is added.
        given: Key -> value of the settings that have to be there.

    Raises:
        BenchError: The settings cannot be put together, or a given one is not there.
    """
    try:
        made = cast(Composed, OmegaConf.merge(*layers))  # of mappings: a mapping
    except OmegaConfBaseException as error:
        reason = " ".join(str(error).split())
        raise BenchError(f"the manifest's configuration cannot be used: {reason}") from None
    for key, value in ours.items():
        OmegaConf.update(made, key, value, force_add=True)
    OmegaConf.set_struct(made, True)
    for key, value in given.items():
        try:
            OmegaConf.update(made, key, value, force_add=False)
        except OmegaConfBaseException:
            raise BenchError(f"rerun: expected a setting of the manifest, found '{key}'") from None
    return made


def declared_runs(arguments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What the experiments of a command line are by themselves, by name; see `as_written`.

    Everything else that the command line sets is left out, but for the choice of methods and where
    assets lie: the difference is what the user has changed.

    Raises:
        BenchError: See `compose_run`.
    """
    config_dir, _, overrides = _split(arguments)
    parsed = list(zip(_overrides(overrides), overrides, strict=True))
    kept = [
        text
        for override, text in parsed
        if override.key_or_group.startswith("assets.")
        or override.key_or_group == "hydra.searchpath"
        or (override.key_or_group == "method" and not override.is_sweep_override())
    ]
    kept += ["--config-dir", config_dir] if config_dir else []
    return {
        name: as_written(compose_run([f"experiment={name}", *kept]))
        for name in override_names(arguments, "experiment")
    }


def named_groups(arguments: Sequence[str]) -> set[str]:
    """The groups that a command line names: `dataset` in dataset=x, dataset.root=y, ~dataset."""
    overrides = _overrides(_split(arguments)[2])
    # dataset@backbone.gallery=x is about the backbone.
    keys = {override.package or override.key_or_group for override in overrides}
    return {key.partition(".")[0] for key in keys} & set(GROUPS.values())


def override_names(arguments: Sequence[str], group: str) -> list[str]:
    """The names that a command line chooses for a group; none if it leaves the choice as it is."""
    overrides = _overrides(_split(arguments)[2])
    chosen = (each for each in overrides if each.key_or_group == group and not each.is_delete())
    return [name for override in chosen for name in _names(override.value())]


def parsed_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """Arguments `key=value` as keys and values, the values as Hydra reads them.

    Raises:
        BenchError: One of them is something else.
    """
    found = {}
    for argument, override in zip(arguments, _overrides(arguments), strict=True):
        value = override.value()
        if override.is_delete() or override.is_sweep_override() or override.package:
            raise BenchError(f"expected key=value, found '{argument}'")
        found[override.key_or_group] = value.text if isinstance(value, QuotedString) else value
    return found


def flags_first(arguments: Sequence[str]) -> list[str]:
    """The same command line in the order that Hydra's parser wants: flags, then overrides."""
    config_dir, flags, overrides = _split(arguments)
    return [*(["--config-dir", config_dir] if config_dir else []), *flags, *overrides]


def _split(arguments: Sequence[str]) -> tuple[str | None, list[str], list[str]]:
    """The `--config-dir`, other flags with their values, and overrides (key=value or ~key)."""
    parser = argparse.ArgumentParser(prog="bench run", add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd")
    # -c is Hydra's --cfg, and argparse would take it for the beginning of -cd.
    spelled = ["--cfg" if argument == "-c" else argument for argument in arguments]
    given, rest = parser.parse_known_args(spelled)
    overrides = [a for a in rest if a[:1] != "-" and ("=" in a or a[:1] == "~")]
    return given.config_dir, [a for a in rest if a not in overrides], overrides


def _overrides(arguments: Sequence[str]) -> Iterator[Override]:
    parser = OverridesParser.create()
    for argument in arguments:
        try:
            yield parser.parse_override(argument)
        except HydraException:
            raise BenchError(
                f"cannot read the argument '{argument}': expected key=value; quote a value that "
                "holds spaces, '=' or other special characters twice: 'key=\"value\"'"
            ) from None


def _names(value: object) -> list[str]:
    """The names in an override's value: one, a list, or a sweep over either; None has none."""
    match value:
        case ChoiceSweep():
            return [name for each in value.list for name in _names(each)]
        case list():
            return [name for each in value for name in _names(each)]
        case QuotedString():
            return [value.text]
        case None:
            return []
        case _:
            return [str(value)]


def _folder(source: str) -> Path:
    """The folder of a Hydra search path entry (file://, pkg:// or a plain path)."""
    if source.startswith("pkg://"):
        package = source.removeprefix("pkg://")
        try:
            return Path(str(resources.files(package)))
        except ModuleNotFoundError:
            raise BenchError(f"hydra.searchpath: package '{package}' is not installed") from None
    return Path(source.removeprefix("file://"))
