"""`bench fetch`: data, lists and weights, told before anything is loaded."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.filesize import decimal

from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.assets.needs import Need
    from bench.assets.pretrained import Pretrained
    from bench.config.settings import RunSettings


def add_fetch_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Adds `bench fetch` to the commands."""
    fetch = commands.add_parser(
        "fetch", help="fetch the data, lists and weights of an experiment, data set or backbone"
    )
    fetch.add_argument(
        "arguments",
        nargs="+",
        metavar="EXPERIMENT | ASSET | dataset=NAME | backbone=NAME | KEY=VALUE",
        help="what to fetch for: paper/cub, dataset=cub200, backbone=timm backbone.name=resnet18; "
        "with an experiment, settings as of `bench run`",
    )
    fetch.add_argument(
        "--to", type=Path, default=Path("assets"), metavar="FOLDER", help="where it all goes"
    )
    fetch.add_argument("--yes", "-y", action="store_true", help="do not ask")
    fetch.add_argument("--dry-run", action="store_true", help="tell what would be fetched, no more")
    fetch.add_argument(
        "--config-dir", "-cd", metavar="FOLDER", help="a configuration folder of your own"
    )


@dataclass(frozen=True)
class _Wanted:
    """All that is to be fetched.

    Attributes:
        needs: The assets.
        networks: Weights of libraries, each with settings that have its network.
        ours: What the user has to bring: keys of an experiment, and what they are.
        next: The commands that it is for.
    """

    needs: list["Need"] = field(default_factory=list)
    networks: list[tuple["Pretrained", "RunSettings"]] = field(default_factory=list)
    ours: Mapping[str, str] = field(default_factory=dict)
    next: tuple[str, ...] = ()


def fetch_command(given: argparse.Namespace) -> list[str]:
    """Fetches what the arguments ask for; returns what is left."""
    from bench.assets.fetching import Fetcher, require_writable
    from bench.assets.places import add_place

    console = Console(markup=False)
    folders = [] if given.config_dir is None else [Path(given.config_dir)]
    wanted = _wanted(given.arguments, folders)
    wanted, elsewhere, left = _without_the_users(wanted, given.to, console)
    todo = _tell(wanted, given.to, console)
    if given.dry_run:
        return left
    if todo:
        require_writable(given.to)
        _ask(given, console)
    fetcher = Fetcher(given.to, console, folders, elsewhere)
    for need in wanted.needs:
        problems = fetcher.fetch(need)
        if need.key is not None and not problems:
            problems = [each for each in [add_place(need.key, need.folder(given.to))] if each]
        left += problems
    for network, settings in wanted.networks:
        try:
            network.load(settings)
            console.print(f"{network.title}: there", soft_wrap=True, highlight=False)
        except BenchError as error:
            left.append(str(error))
    left += [f"assets.{key}: {what}; it is yours to make" for key, what in wanted.ours.items()]
    if not left:
        for command in wanted.next:
            console.print(f"Next: {command}", soft_wrap=True, highlight=False)
    return left


def _wanted(arguments: Sequence[str], folders: Sequence[Path]) -> _Wanted:
    from bench.assets.needs import needs_of_asset
    from bench.assets.registry import known_assets, load_asset
    from bench.config.choices import choices
    from bench.config.composing import override_names
    from bench.errors import require_known

    names = [each for each in arguments if "=" not in each]
    changes = [each for each in arguments if "=" in each]
    names += override_names(changes, "experiment")
    changes = [each for each in changes if not each.startswith("experiment=")]
    experiments, assets = choices("experiment", folders), known_assets(folders)
    for name in names:
        require_known("fetch", name, [*experiments, *assets])
    if len(names) > 1 and changes:
        raise BenchError("fetch: settings are of one experiment, found several names beside them")
    if not names:
        return _of_groups(changes, folders)
    wanted = _Wanted()
    for name in names:
        if name in experiments:
            wanted = _both(wanted, _of_experiment(name, changes, folders))
        elif changes:
            raise BenchError(f"fetch: asset '{name}' has no settings, found {changes[0]}")
        else:
            wanted = _both(wanted, _Wanted(needs_of_asset(load_asset(name, folders), folders)))
    return wanted


def _of_experiment(name: str, changes: Sequence[str], folders: Sequence[Path]) -> _Wanted:
    from bench.assets.needs import fetched_for, needs_of_experiment, settings_of
    from bench.assets.pretrained import pretrained_of
    from bench.checks.experiment import asset_sources

    fetched = fetched_for(name, folders)
    settings = settings_of(name, changes, folders)
    sources = asset_sources(name, folders)
    ours = {key: sources.get(key, "a path") for key, place in settings.assets.items()
            if place is None and key not in fetched}  # fmt: skip
    return _Wanted(
        needs_of_experiment(fetched, settings, folders),
        [(network, settings) for network in pretrained_of(settings)],
        ours,
        (f"bench check experiment={name}", f"bench run experiment={name}"),
    )


def _of_groups(changes: Sequence[str], folders: Sequence[Path]) -> _Wanted:
    """What `dataset=NAME` and `backbone=NAME` need."""
    from bench.assets.needs import flags, needs_of_dataset
    from bench.assets.pretrained import require_pretrained
    from bench.config.composing import compose_run, override_names
    from bench.config.reading import read_settings

    datasets, backbones = (override_names(changes, group) for group in ("dataset", "backbone"))
    wanted = _Wanted()
    for name in datasets:
        wanted = _both(wanted, _Wanted(needs_of_dataset(name, folders)))
    if backbones:
        config = compose_run([*changes, *flags(folders)])
        settings = read_settings(config, may_lack_assets=True)
        networks = [(network, settings) for network in require_pretrained(settings)]
        wanted = _both(wanted, _Wanted(networks=networks))
    if not (datasets or backbones):
        raise BenchError(
            "fetch: expected what to fetch for, as in `bench fetch paper/cub`, `bench fetch "
            "dataset=cub200` or `bench fetch backbone=timm backbone.name=resnet18`"
        )
    return wanted


def _both(one: _Wanted, other: _Wanted) -> _Wanted:
    return _Wanted(
        [*one.needs, *other.needs],
        [*one.networks, *other.networks],
        {**one.ours, **other.ours},
        (*one.next, *other.next),
    )


def _without_the_users(
    wanted: _Wanted, to: Path, console: Console
) -> tuple[_Wanted, dict[str, Path], list[str]]:
    """What is wanted but for what assets.yaml has elsewhere; where that is; what it lacks."""
    from bench.assets.fetching import missing_in
    from bench.assets.places import PLACES
    from bench.config.composing import read_places

    known, kept, left = read_places(PLACES), [], []
    elsewhere: dict[str, Path] = {}
    for need in wanted.needs:
        place = None if need.key is None else known.get(need.key)
        folder = need.folder(to) if place is None else Path(place).expanduser()
        if folder.resolve() == need.folder(to).resolve():
            kept.append(need)
            continue
        missing = missing_in(need, folder)
        if missing:
            left.append(
                f"'{PLACES}' has {need.key}: {place}, which lacks {', '.join(missing)}: put it "
                "there, or take that line out"
            )
        else:
            elsewhere[need.asset.name] = folder
            line = f"{need.key}: {place}, as '{PLACES}' has it: nothing to fetch"
            console.print(line, soft_wrap=True, highlight=False)
    ours = {key: what for key, what in wanted.ours.items()
            if not Path(known.get(key, "")).expanduser().exists() or key not in known}  # fmt: skip
    return replace(wanted, needs=kept, ours=ours), elsewhere, left


def _tell(wanted: _Wanted, to: Path, console: Console) -> bool:
    """Says what would be fetched, how much, under which terms; whether that is anything.

    Raises:
        BenchError: There is no room for it.
    """
    from bench.assets.unpacking import free_space

    needed, complete, todo = 0, True, False
    for need in wanted.needs:
        size, known, missing = _tell_need(need, to, console)
        needed, complete, todo = needed + size, complete and known, todo or missing
    for network, _ in wanted.networks:
        announced = network.size
        shown = "size not known" if announced is None else decimal(announced)
        console.print(f"{network.title}: {shown}", soft_wrap=True, highlight=False)
        needed += announced or 0
        complete, todo = complete and announced is not None, True
    free = free_space(to)
    if todo:
        more = "" if complete else " and what is not known"
        line = f"To load and unpack: {decimal(needed)}{more}; {decimal(free)} are free at '{to}'"
        console.print(line, soft_wrap=True, highlight=False)
    if needed > free:
        raise BenchError(
            f"no space: {decimal(needed)} are needed at '{to}', {decimal(free)} are free: make "
            "room, or choose another folder with --to FOLDER"
        )
    return todo


def _tell_need(need: "Need", to: Path, console: Console) -> tuple[int, bool, bool]:
    """Says what an asset is; bytes that it needs, whether these are all, whether any is missing."""
    from bench.assets.needs import with_sizes

    def say(line: str) -> None:
        console.print(line, soft_wrap=True, highlight=False)

    say(f"{need.asset.name}: {need.asset.title}")
    say(f"  licence: {need.asset.licence}; {need.asset.page}")
    if need.is_there(to):
        say(f"  there: {need.folder(to)}")
        return 0, True, False
    if need.asset.align is not None:
        say(f"  made here: {need.folder(to)}")
        return 0, True, True
    say(f"  into {need.folder(to)}:")
    sized = with_sizes(need, to)
    for file in sized.files:
        size = "size not known" if file.size is None else decimal(file.size)
        source = need.asset.source(file) or "by hand"
        is_there = need.place_of(file, to).exists()
        say(f"    {file.name}: {'there' if is_there else f'{size}, from {source}'}")
    if need.asset.by_hand is not None:
        say(f"  by hand: {need.asset.by_hand}")
    return (*sized.bytes_needed(to), True)


def _ask(given: argparse.Namespace, console: Console) -> None:
    """Asks whether to begin.

    Raises:
        BenchError: The answer is no, or there is nobody to ask.
    """
    if given.yes:
        return
    if not sys.stdin.isatty():
        raise BenchError("fetch: nobody is there to ask whether to begin: add --yes")
    if console.input("Fetch this? [y/N] ").strip().lower() not in ("y", "yes"):
        raise BenchError("fetch: not begun")
