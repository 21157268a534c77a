import json
import subprocess
import sys
from pathlib import Path

import pytest
from archives import CUB, archive, dataset, row, task, write_json
from outcomes import assert_bad

from bench.cli import main
from bench.leaderboard.published import shipped_tables


@pytest.fixture
def published(tmp_path, monkeypatch, capsys):
    """Runs `bench published ...` in an empty folder; exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = 0
        try:
            main(["published", *map(str, arguments)])
        except SystemExit as ended:
            code = ended.code
        return (code, *capsys.readouterr())

    return run


def test_import_shows_and_writes_when_asked(published, tmp_path):
    write_json(tmp_path / "tables.json.gz", archive())
    code, out, err = published("import", "tables.json.gz")
    assert (code, err) == (0, "")
    first, *lines = out.splitlines()
    assert first.startswith("tables.json.gz: 3 boards of the tasks here, 2 other tasks; sha256 ")
    sha256 = first[-64:]
    record = "https://vercel.hyper.ai/en/papers/1705.07874"
    stated = (
        "Less is More: Fewer Interpretable Region via Submodular Subset Selection; "
        "https://arxiv.org/abs/2402.09164v3"
    )
    assert lines == [
        "Filled: 4 cells",
        "  celeba, ArcFace ResNet-101, Sobol, deletion_auc: 0.1345",
        "  cub, ResNet-101, Grad-CAM, deletion_auc: 0.081",
        "  cub, ResNet-101, HSIC-Attribution, deletion_auc: 0.0710",
        "  cub, ResNet-101, HSIC-Attribution, insertion_auc: 0.6843",
        "Agreeing with the record: 5 cells",
        "Differing from the record, left out: 1 cells",
        "  cub, ResNet-101, Kernel SHAP, insertion_auc:",
        f"    on record 0.6763: {record}",
        f"    found     0.6700: tables.json.gz (sha256 {sha256}): {stated}",
        "Not placed: 4 values",
        "  Image Attribution on CUB-200-2011: method 'SMDL-Attribution': 2 "
        "(no method of this name)",
        "  Image Attribution on CelebA: column 'Speed': 1 (no column of this name)",
        "  Image Attribution on ImageNet: 1 (no published table here is of this data set)",
        "Blank in the archive: 2 cells",
        "Nothing written yet: --write adds the filled cells to 'published'.",
    ]
    assert not Path("published").exists()

    code, out, _ = published("import", "tables.json.gz", "--write")
    assert code == 0
    assert out.splitlines()[-1] == "Written: published/celeba.csv, published/cub.csv"
    code, out, _ = published("import", "tables.json.gz", "--write")
    assert (code, out.splitlines()[-1]) == (0, "Nothing to write.")
    assert "Agreeing with the record: 9 cells" in out
    code, out, _ = published("list")
    counts = {line.split()[0]: line.split()[1:6] for line in out.splitlines()[1:]}
    assert list(counts) == shipped_tables()
    assert counts["cub"] == ["1", "6", "11", "0", "3"]
    assert counts["cub_errors"] == ["3", "3", "17", "1", "0"]


def test_several_files_and_another_folder(published, tmp_path):
    for name, method in (("a.json", "Sobol"), ("b.json", "Grad-CAM")):
        tasks = [task("Image Attribution", dataset("CUB-200-2011", row(method, {CUB[0]: "0.1"})))]
        write_json(tmp_path / name, tasks)
    code, out, _ = published("import", "a.json", "b.json", "--write", "--to", "mine")
    assert (code, out.splitlines()[-1]) == (0, "Written: mine/cub.csv")
    assert [line.split(",")[5] for line in Path("mine/cub.csv").read_text().splitlines()] == [
        "method", "Sobol", "Grad-CAM",
    ]  # fmt: skip


def test_what_cannot_be_placed_is_counted_where_it_is_too_much(published, tmp_path):
    rows = [row(f"method {number}", {CUB[0]: "0.1"}) for number in range(50)]
    write_json(tmp_path / "a.json", [task("Image Attribution", dataset("CUB-200-2011", *rows))])
    code, out, _ = published("import", "a.json")
    assert code == 0
    assert "Not placed: 50 values\n" in out
    assert out.count("no method of this name") == 40
    assert "  ... and 10 values in 10 more places\n" in out


def test_export_is_read_back(published, tmp_path):
    code, out, err = published("export", "cub", "celeba")
    assert (code, err) == (0, "")
    (attribution,) = json.loads(out)
    assert attribution["task"] == "Image Attribution"
    assert [each["dataset"] for each in attribution["datasets"]] == ["CUB-200-2011", "CelebA"]
    assert attribution["datasets"][0]["sota"]["rows"][3]["metrics"] == dict(
        zip(CUB, ("0.0665", "0.7193"), strict=True)
    )
    assert published("export", "-o", "all.json")[1] == "Written: all.json\n"
    _, out, _ = published("import", "all.json")
    assert "Filled: 0 cells\n" in out
    assert "left out: 0 cells\nNot placed: 0 values\n" in out


def test_bad_input_is_one_line_and_writes_nothing(published, tmp_path):
    write_json(tmp_path / "good.json", archive())
    write_json(tmp_path / "bad.json", {"task": "Image Attribution"})
    for arguments, expected in (
        (["import", "missing.json"], "'missing.json' cannot be read: there is no such file"),
        (["import", "good.json", "bad.json", "--write"], "'bad.json': expected a list of tasks"),
        (["import", "good.json", "--write", "--to", "good.json"], "good.json"),
        (["export", "cubs"], "table: unknown name 'cubs'. Did you mean 'cub'?"),
        (["export", "-o", "good.json/a.json"], "cannot write 'good.json/a.json'"),
    ):
        outcome = published(*arguments)
        assert_bad(outcome, expected)
        assert outcome[2].count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.json", "good.json"]


@pytest.mark.parametrize("arguments", [[], ["imports"], ["import"], ["list", "more"]])
def test_bad_usage(published, arguments):
    code, out, err = published(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_nothing_waits_for_torch(tmp_path):
    write_json(tmp_path / "tables.json", archive())
    code = (
        "import sys\nfrom bench.cli import main\n"
        "main(['published', 'list'])\nmain(['published', 'import', 'tables.json', '--write'])\n"
        "main(['published', 'export'])\n"
        "print({'torch', 'hydra', 'pandas', 'pyarrow'} & {*sys.modules}, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stderr == "set()\n"
