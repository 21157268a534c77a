"""The README's and CONTRIBUTING's code, taken literally."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from bench.backbones.backbone import Preprocessing
from bench.cli import main
from bench.config.building import build_method
from bench.config.choices import known_names
from bench.config.composing import compose_run, name_other_methods
from bench.config.reading import read_settings
from bench.datasets.dataset import Sample
from bench.datasets.published_lists import PUBLISHED_LISTS
from bench.evaluation.method_run import MethodRun
from bench.experiment.cost import count_cost
from bench.metrics.protocol import protocol_from_mapping

ROOT = Path(__file__).parents[1]


def blocks(name, language):
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_python_in_the_readme(tmp_path, monkeypatch, capsys):
    """In one session, as a reader would run it."""
    monkeypatch.chdir(tmp_path)
    evaluated, judged = blocks("README.md", "python")
    assert len(evaluated.splitlines()) < 20
    session = {"__name__": "__main__"}
    exec(compile(evaluated, "README.md", "exec"), session)
    assert session["maps"].shape == (8, 32, 32)
    assert set(session["result"].rows["label"]) == {"mine", "rise", "random"}
    exec(compile(judged, "README.md", "exec"), session)
    assert "(8, 11)" in capsys.readouterr().out


def test_the_notebook_is_shown_as_it_ran():
    """`make notebook` runs it, in continuous integration, too: that takes most of a minute."""
    notebook = nbformat.read(ROOT / "docs/notebook.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    told = [output for cell in cells for output in cell.outputs if output.get("name") == "stderr"]
    assert told == []
    assert "30 of 30 maps, 0 failed" in str([cell.outputs for cell in cells])


def write_files_of_contributing(heading):
    """A section's module and YAML, in the current folder, under the names that it gives them."""
    section = section_of_contributing(heading)
    files = re.findall(
        r"`([\w/]+\.(?:py|yaml))`:\n\n```(?:python|yaml)\n(.*?)```", section, re.DOTALL
    )
    assert [Path(name).suffix for name, _ in files] == [".py", ".yaml"]
    for name, text in files:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)


def shell_of_contributing(heading):
    (commands,) = re.findall(r"```sh\n(.*?)```", section_of_contributing(heading), flags=re.DOTALL)
    return commands


def section_of_contributing(heading):
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (section,) = [section for section in text.split("\n## ") if section.startswith(heading)]
    return section


def test_adding_a_method_as_contributing_tells(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_files_of_contributing("Add a method")
    program, *arguments = shell_of_contributing("Add a method").split()
    assert program == "bench"
    main([*arguments, "dataset.max_images=2", "gallery=1"])
    table = pd.read_csv("results/leaderboards/demo.csv")
    assert table["method"].tolist() == ["smooth saliency"]
    assert table["n_missing"].tolist() == [0]
    capsys.readouterr()
    main(["list", "methods", "--config-dir", "my_conf"])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "smooth_saliency" in line]
    assert line.split()[:5] == ["smooth_saliency", "my_conf", "1", "+", "1"]
    assert "Somebody et al. 2026, arXiv 2601.00001  " in line
    assert line.rstrip().endswith("  Saliency, averaged over a window")


def test_adding_a_metric_as_contributing_tells(tmp_path, monkeypatch, capsys):
    """Its column is everywhere that tables, tests and figures are made, without another line."""
    monkeypatch.chdir(tmp_path)
    write_files_of_contributing("Add a metric")
    program, *arguments = shlex.split(shell_of_contributing("Add a metric"))
    assert program == "bench"
    few = ["method=[random,center,edge]", "dataset.max_images=7", "gallery=1"]
    main(["run", "experiment=demo", *few, "figures=false"])  # a run that has ended
    passes = capsys.readouterr().out.count("To do: ")
    main([*arguments, *few])
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
    main(["list", "metrics", "--config-dir", "my_conf"])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(name)]
    assert re.split(r" {2,}", line.strip()) == [
        name, "my_conf", "0", "0", "0", "the map alone",
        "Share of the map's absolute values in its most important tenth of pixels",
    ]  # fmt: skip


def test_shipping_a_package_as_contributing_tells(tmp_path, monkeypatch):
    """Installed into a folder beside the environment."""
    monkeypatch.chdir(tmp_path)
    write_files_of_contributing("Add a method")
    (project,) = blocks("CONTRIBUTING.md", "toml")
    Path("pyproject.toml").write_text(project)
    text = shell_of_contributing("Ship it as a package")
    assert "pip install " in text
    text = text.replace("pip install ", "pip install --no-deps --no-build-isolation --target site ")
    commands = text.splitlines()
    assert commands[-1].startswith("bench run ")
    commands[-1] += " dataset.max_images=2 gallery=1"
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": "site",
    }
    out = subprocess.run(
        ["bash", "-ec", "\n".join(commands)], env=environment, capture_output=True, text=True,
        check=True,
    ).stdout  # fmt: skip
    (line,) = [line for line in out.splitlines() if line.startswith("smooth_saliency ")]
    assert line.split()[1:6] == ["smooth-saliency", "1.0", "1", "+", "1"]
    assert sorted(path.name for path in Path().iterdir()) == ["results", "site", "smooth-saliency"]
    table = pd.read_csv("results/leaderboards/demo.csv")
    assert table["method"].tolist() == ["smooth saliency"]
    assert table["n_missing"].tolist() == [0]


def test_the_readme_shows_the_example_leaderboard():
    example = (ROOT / "results/examples/demo.md").read_text(encoding="utf-8")
    rows = [line for line in example.splitlines() if line.startswith("|")]
    assert len(rows) == 9
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "\n".join(rows) in readme


def test_every_protocol_is_explained_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in known_names("protocol"):
        assert f"| `{name}` |" in readme


def test_every_data_set_is_explained_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in known_names("dataset"):
        assert f"| `{name}` |" in readme


def test_the_commands_of_the_road_to_the_tables_can_be_composed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = [
        shlex.split(line, comments=True)
        for page in ("docs/reproduce.md", "README.md")
        for block in blocks(page, "sh")
        for line in block.splitlines()
        if page != "README.md" or "paper/" in line
    ]
    composed = []
    for program, *arguments in commands:
        if program == "python":
            assert (ROOT / arguments[0]).exists()
            settings = [argument for argument in arguments if "=" in argument]
            data = (
                []
                if any(setting.startswith("dataset=") for setting in settings)
                else ["dataset=cub200"]
            )
            arguments = ["run", *data, *settings]  # birds are what is trained on by default
        if program != "awk" and arguments[0] in ("run", "check", "select"):
            composed.append(compose_run(arguments[1:]))
    assert len(composed) > 10


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
    maps = sum(not run.is_free for run in runs)
    (images,) = (
        published.num_images
        for published in PUBLISHED_LISTS
        if published.name == settings.reproduces.list
    )
    forward, size = cost.curves + cost.forward, network.preprocessing.size
    row = f"| {forward:,} | {cost.backward} | {forward * images / 1e6:.1f} | "
    row += f"{maps * images * 4 * size**2 / 1e9:.1f} |"
    docs = (ROOT / "docs/reproduce.md").read_text(encoding="utf-8")
    (line,) = [line for line in docs.splitlines() if line.endswith("|") and row in line]
    assert f"`{name}`" in line


def test_every_published_list_is_in_the_data_readme():
    text = (ROOT / "datasets/README.md").read_text(encoding="utf-8")
    for each in PUBLISHED_LISTS:
        path = each.path.removeprefix("datasets/")
        assert f"| `{path}` | {each.num_images} | `{each.sha256[:16]}...` |" in text
