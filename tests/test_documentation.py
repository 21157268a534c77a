"""The documentation's code, taken literally."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import yaml
from documented import PAGES, ROOT, blocks, commands, write_files
from hydra.core.override_parser.overrides_parser import OverridesParser
from stored_results import write_results

from bench.assets.registry import load_asset
from bench.backbones.backbone import Preprocessing
from bench.cli import main
from bench.cli.parser import build_parser, refuse_unknown
from bench.cli.rules import folders_and_rules
from bench.config.building import build_method
from bench.config.choices import GROUPS, known_names
from bench.config.composing import compose_run, name_other_methods, prepared
from bench.config.reading import read_settings
from bench.datasets.dataset import Sample
from bench.datasets.published_lists import PUBLISHED_LISTS
from bench.evaluation.method_run import MethodRun
from bench.experiment.cost import count_cost, map_channels
from bench.metrics.protocol import protocol_from_mapping


def test_a_method_of_your_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = "docs/how-to/own-method.md"
    assert len(write_files(page)) == 2
    run, listing = [command for block in blocks(page, "sh") for command in commands(block)]
    main([*run[1:], "dataset.max_images=2", "gallery=1"])
    table = pd.read_csv("results/leaderboards/demo.csv")
    assert table["method"].tolist() == ["smooth saliency"]
    assert table["n_missing"].tolist() == [0]
    capsys.readouterr()
    main(listing[1:])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "smooth_saliency" in line]
    assert line.split()[:5] == ["smooth_saliency", "my_conf", "1", "+", "1"]
    assert "Somebody et al. 2026, arXiv 2601.00001  " in line
    assert line.rstrip().endswith("  Saliency, averaged over a window")


def test_a_metric_of_your_own(tmp_path, monkeypatch, capsys):
    """Its column is everywhere that tables, tests and figures are made, without another line."""
    monkeypatch.chdir(tmp_path)
    page = "docs/how-to/own-metric.md"
    assert len(write_files(page)) == 2
    run, listing = [command for block in blocks(page, "sh") for command in commands(block)]
    few = ["method=[random,center,edge]", "dataset.max_images=7", "gallery=1"]
    main(["run", "experiment=demo", *few, "figures=false"])  # a run that has ended
    passes = capsys.readouterr().out.count("To do: ")
    main([*run[1:], *few])
    out = capsys.readouterr().out
    assert (passes, out.count("To do: ")) == (1, 0)  # the metric takes none, and no other is made
    assert " Concentration ↑ " in out
    boards = Path("results/leaderboards")
    table = pd.read_csv(boards / "demo.csv")
    name = "concentration"
    columns = [name, *(f"{name}_{ending}" for ending in ("ci_low", "ci_high", "letters"))]
    assert set(columns) < set(table)
    assert table[columns].notna().all(axis=None)
    assert table[f"{name}_p"].notna().sum() == 2  # of all but the best
    assert table[name].between(0.1, 1).all()
    assert table["insertion_auc"].notna().all()
    assert "| Concentration ↑ |" in (boards / "demo.md").read_text()
    assert r"Concentration $\uparrow$" in (boards / "demo.tex").read_text()
    pairs = pd.read_csv(boards / "demo_pairs.csv")
    assert (pairs["metric"] == name).sum() == 3
    assert "### concentration ↑\n" in (boards / "demo_statistics.md").read_text()
    figures = {path.name for path in boards.rglob("*.svg") if "oncentration" in path.read_text()}
    shown = ("cost_passes", "cost_seconds", "distributions", "ranks")
    assert figures >= {f"demo_{figure}.svg" for figure in shown}
    main(["report", "results", "--output", "page.html"])
    page = Path("page.html").read_text()
    assert "Concentration" in page
    capsys.readouterr()
    main(listing[1:])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(name)]
    assert re.split(r" {2,}", line.strip()) == [
        name, "my_conf", "0", "0", "0", "the map alone",
        "Share of the map's absolute values in its most important tenth of pixels",
    ]  # fmt: skip


def test_shipping_a_package(tmp_path, monkeypatch):
    """Installed into a folder beside the environment."""
    monkeypatch.chdir(tmp_path)
    write_files("docs/how-to/own-method.md")
    write_files(PACKAGE)
    (block,) = blocks(PACKAGE, "sh")
    assert "pip install " in block.text
    options = "--no-deps --no-build-isolation --target site"
    lines = block.text.replace("pip install ", f"pip install {options} ").splitlines()
    assert lines[-1].startswith("bench run ")
    lines[-1] += " dataset.max_images=2 gallery=1"
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": "site",
    }
    out = subprocess.run(
        ["bash", "-ec", "\n".join(lines)], env=environment, capture_output=True, text=True,
        check=True,
    ).stdout  # fmt: skip
    (line,) = [line for line in out.splitlines() if line.startswith("smooth_saliency ")]
    assert line.split()[1:6] == ["smooth-saliency", "1.0", "1", "+", "1"]
    assert sorted(path.name for path in Path().iterdir()) == ["results", "site", "smooth-saliency"]
    table = pd.read_csv("results/leaderboards/demo.csv")
    assert table["method"].tolist() == ["smooth saliency"]
    assert table["n_missing"].tolist() == [0]


def test_the_example_leaderboard_is_shown():
    """Whole where its columns are explained; in the README, those that fit."""
    example = (ROOT / "results/examples/demo.md").read_text(encoding="utf-8")
    rows = [line for line in example.splitlines() if line.startswith("|")]
    assert len(rows) == 9
    assert "\n".join(rows) in (ROOT / "docs/getting-started.md").read_text(encoding="utf-8")
    kept = [1, 2, 3, 4, 5, 6, 7, 10]  # all but the rank, SRG and ties
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    short = ["| " + " | ".join(row[number] for number in kept) + " |" for row in cells]
    assert "\n".join(short) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_is_short():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert [line for line in lines if len(line) > 100] == []


def test_every_data_set_is_in_the_guide():
    guide = (ROOT / "docs/how-to/data-sets.md").read_text(encoding="utf-8")
    for name in known_names("dataset"):
        assert f"| `{name}` |" in guide


class Network:
    """As much of a network as passes depend on."""

    def __init__(self, size, channels):
        self.preprocessing = Preprocessing(size, (0.0,) * 3, (1.0,) * 3)
        self.channels = channels

    def layer(self):
        return None

    cam_layer = ""

    def map_shape(self):
        return self.channels, 7, 7


NETWORKS = {
    "paper/celeba": (112, 512),
    "paper/vggface2": (112, 512),
    "paper/cub_errors_vgg19": (224, 512),
    "paper/cub_errors_mobilenetv2": (224, 1280),
    "paper/cub_errors_efficientnetv2m": (384, 1280),
    "paper/mfaba_vgg16": (224, 512),
}
"""Side of the input and channels of the CAM layer, where they are not ResNet-101's."""


@pytest.mark.parametrize("name", [name for name in known_names("experiment") if "paper/" in name])
def test_the_passes_of_an_experiment_are_those_that_the_docs_tell(name):
    config = compose_run([f"experiment={name}"])
    name_other_methods(config)
    settings = read_settings(config, may_lack_assets=True)
    methods = {}
    for method, component in settings.methods.items():
        if component.settings.get("uncertainty"):
            component = component.with_settings(uncertainty={"_target_": "toy.backbone"})
        methods[method] = build_method(component)
    network = Network(*NETWORKS.get(name, (224, 2048)))
    protocol = protocol_from_mapping(settings.protocol)
    runs = [MethodRun(name, method, method.passes(network)) for name, method in methods.items()]
    cost = count_cost([Sample("a", Path("a"), 0)], runs, protocol, network.preprocessing.shape)
    maps = sum(map_channels(run.method) for run in runs if not run.is_free)
    (images,) = (
        published.num_images
        for published in PUBLISHED_LISTS
        if published.name == settings.reproduces.list
    )
    forward, size = cost.curves + cost.forward, network.preprocessing.size
    row = f"| {forward:,} | {cost.backward} | {forward * images / 1e6:.1f} | "
    row += f"{maps * images * 4 * size**2 / 1e9:.1f} |"
    docs = (ROOT / "docs/how-to/published-tables.md").read_text(encoding="utf-8")
    (line,) = [line for line in docs.splitlines() if line.startswith(f"| `{name}` |")]
    assert line.endswith(row)


def test_every_published_list_is_in_the_guide():
    text = (ROOT / "docs/how-to/public-data-sets.md").read_text(encoding="utf-8")
    for each in PUBLISHED_LISTS:
        path = each.path.removeprefix("datasets/")
        assert f"| `{path}` | {each.num_images} | `{each.sha256[:16]}...` |" in text


PACKAGE = "docs/how-to/package.md"
"""Its commands are run, by a test of their own."""

NOT_RUN = {
    "text": "what a command prints, folders, a formula",
    "mermaid": "a drawing",
    "bibtex": "an entry to cite",
}
"""Languages of blocks that are no code."""

OF_ALL_PAGES = ("docs/how-to/own-method.md", "docs/how-to/own-metric.md")
"""Pages whose files the commands of other pages count on."""

READS_RESULTS = {"docs/how-to/compare-methods.md"}
"""Pages whose Python reads what a run has stored."""


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_of_a_language_that_is_tested(page):
    known = {"sh", "python", "yaml", "toml", *NOT_RUN}
    strange = [
        (block.line, block.language) for block in blocks(page) if block.language not in known
    ]
    assert strange == []
    text = (ROOT / page).read_text(encoding="utf-8")
    assert len(re.findall("^ *```", text, flags=re.MULTILINE)) == 2 * len(blocks(page))
    indented = r"^(?!\s*([-*]|\d+\.) )\S.*\n\n    .*"  # code, too, which nobody would test
    assert not re.search(indented, text, flags=re.MULTILINE)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_python_runs(page, tmp_path, monkeypatch):
    """A page is a session, as a reader would run it."""
    monkeypatch.chdir(tmp_path)
    if page in READS_RESULTS:
        write_results(tmp_path / "results")
    session = {"__name__": "__main__"}
    for block in blocks(page, "python"):
        code = "\n" * block.line + block.text  # so that errors tell the page's lines
        exec(compile(code, page, "exec"), session)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "sh") and page != PACKAGE])
def test_commands_can_be_composed(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for each in (*OF_ALL_PAGES, page):
        write_files(each)
    for block in blocks(page, "sh"):
        for program, *arguments in commands(block):
            try:
                TRIED[program](arguments)
            except (Exception, SystemExit) as error:
                command = shlex.join([program, *arguments])
                pytest.fail(f"{page}:{block.line}: {command}: {error!r}")


def try_bench(arguments):
    """Composes what Hydra would get, parses what the other commands take."""
    command, *rest = arguments
    if "--help" in rest:
        return
    if command in ("run", "check", "select"):
        one_job = [first_of_sweep(each) for each in rest if each != "-m"]
        compose_run(prepared([each for each in one_job if not each.startswith("hydra")]))
        return
    refuse_unknown(arguments, GROUPS)
    given, after = build_parser(GROUPS).parse_known_args(arguments)
    if command in ("leaderboard", "report", "table"):
        folders_and_rules([*given.arguments, *after], ["by"])
    else:
        assert after == []


def first_of_sweep(argument):
    """`seed=0` of `seed=0,1,2`."""
    if argument.startswith("-") or "=" not in argument:
        return argument
    override = OverridesParser.create().parse_override(argument)
    if not override.is_sweep_override():
        return argument
    return f"{argument.partition('=')[0]}={next(iter(override.sweep_string_iterator()))}"


def try_python(arguments):
    """A script of the repository, with settings as of `bench run`."""
    if arguments[:2] == ["-m", "pip"]:
        try_pip(arguments[2:])
        return
    assert (ROOT / arguments[0]).exists()
    settings = [argument for argument in arguments if "=" in argument]
    if settings:
        has_data = any(setting.startswith("dataset=") for setting in settings)
        data = [] if has_data else ["dataset=cub200"]  # birds are what is trained on by default
        compose_run([*data, *settings])


def try_pip(arguments):
    """The extras of this package that it names exist."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert arguments[0] == "install"
    for extras in re.findall(r"(?:insdel-bench|^\.)\[([\w,-]+)\]", " ".join(arguments)):
        assert {*extras.split(",")} <= {*project["optional-dependencies"]}


def try_make(arguments):
    """Every target exists."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert {each for each in arguments if "=" not in each} <= {*targets}


def is_there(arguments):
    """A program of the system."""


TRIED = {
    "bench": try_bench, "python": try_python, "pip": try_pip, "make": try_make,
    **dict.fromkeys(
        ("awk", "cd", "cp", "git", "md5sum", "mkdir", "mv", "source", "tar", "unzip"), is_there
    ),
    "pip-audit": is_there,
    "python3": is_there,
}  # fmt: skip
"""Programs that blocks may start -> what tries their arguments."""

ASKED_FOR_AS = {"method": "method=[{}]", "metric": "+metric=[{}]"}


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "yaml")])
def test_configuration_is_read(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    write_files(page)
    for block in blocks(page, "yaml"):
        assert isinstance(yaml.safe_load(block.text), dict)
        folder, _, rest = block.file.partition("/")
        group, _, name = rest.rpartition("/")
        if group == "asset":
            assert load_asset(Path(name).stem, [Path(folder)]).files
        elif folder == "my_conf":
            argument = ASKED_FOR_AS.get(group, f"{group}={{}}").format(Path(name).stem)
            config = compose_run(["--config-dir", folder, argument])
            settings = read_settings(config, may_lack_assets=True)
            protocol_from_mapping(settings.protocol)
            if group == "method":
                build_method(settings.methods[Path(name).stem])


def test_links_outside_the_site_lead_somewhere():
    """Those between pages of the site are checked when it is built."""
    astray = []
    for page in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "datasets/README.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
            path, _, heading = target.partition("#")
            file = (ROOT / page).parent / path if path else ROOT / page
            if not file.exists() or (heading and heading not in headings(file)):
                astray.append((page, target))
    assert astray == []


def headings(file):
    """Their anchors, as GitHub makes them."""
    lines = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines}
