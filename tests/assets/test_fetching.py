"""`bench fetch` against a web server that the test starts."""

import hashlib
import io
import os
import shutil
import sys
import tarfile
import time
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
import yaml
from fetched import serving

from bench.cli import main

LIST = b"class 0/photo 0.png 0\nclass 1/photo 1.png 1"
WEIGHTS = os.urandom(50_001)
HUB = "/somebody/nets/resolve/main/nets/a.h5"

EXPERIMENT = """\
# @package _global_
defaults:
  - override /dataset: list
  - override /backbone: module
name: toy
assets:
  birds: ??? # pictures
  lists: ??? # lists
  weights: ??? # networks
  mine: ??? # what you have drawn
fetch: {birds: birds, lists: lists, weights: nets}
dataset: {name: birds, root: "${assets.birds}", list: "${assets.lists}/of/two.txt"}
backbone:
  name: small
  module: {_target_: toy.ConvModel}
  output_kind: logits
  weights: ${assets.weights}/nets/a.h5
  preprocessing: {size: 23, mean: [120, 110, 100], std: [60, 61, 62]}
explain: {score: null}
"""


def asset(conf, name, **content):
    content = {"licence": "free of toys", "page": "https://example.org", "place": name} | content
    (conf / "asset").mkdir(exist_ok=True)
    (conf / f"asset/{name}.yaml").write_text(f"# {name} of the tests\n{yaml.safe_dump(content)}")


def archive(folder):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as file:
        file.add(folder, "birds-1.0")
    return content.getvalue()


@pytest.fixture
def site(toy_conf, image_folder, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("BENCH_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.01)))
    with serving() as site:
        template = site.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", site.url)
        birds = archive(image_folder)
        site.files |= {"/birds.tgz": birds, "/two.txt": LIST, HUB: WEIGHTS}
        asset(toy_conf, "birds", dataset="list", files=[{
            "name": "birds.tgz", "url": f"{site.url}/birds.tgz", "size": len(birds),
            "md5": hashlib.md5(birds).hexdigest(), "unpack": {"folder": "birds-1.0"},
        }])  # fmt: skip
        asset(toy_conf, "lists", files=[
            {"name": "of/two.txt", "url": f"{site.url}/two.txt",
             "sha256": hashlib.sha256(LIST).hexdigest()},
            {"name": "of/none.txt", "url": f"{site.url}/none.txt"},
        ])  # fmt: skip
        asset(toy_conf, "nets", hub="somebody/nets", files=[{"name": "nets/a.h5"}])
        (toy_conf / "experiment").mkdir()
        (toy_conf / "experiment/toy.yaml").write_text(EXPERIMENT)
        yield site


@pytest.fixture
def fetch(site, toy_conf, capsys):
    def run(*arguments, yes=True):
        try:
            main(["fetch", *arguments, "--config-dir", str(toy_conf), *(["--yes"] if yes else [])])
            code = 0
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


def downloads(site):
    """What was loaded of files; the hub's library also asks for things of its own."""
    return [path for method, path, _ in site.asked if method == "GET" and path in site.files]


def test_all_that_an_experiment_needs(fetch, site, image_folder):
    code, out, err = fetch("toy")
    assert (code, err) == (
        1,
        "bench: error: assets.mine: what you have drawn; it is yours to make\n",
    )
    assert {path.name for path in Path("assets/birds").iterdir()} >= {"class 0", "list.txt"}
    photo = "class 0/photo 0.png"
    assert (Path("assets/birds") / photo).read_bytes() == (image_folder / photo).read_bytes()
    assert Path("assets/lists/of/two.txt").read_bytes() == LIST
    assert Path("assets/nets/nets/a.h5").read_bytes() == WEIGHTS
    assert sorted(path.name for path in Path("assets").iterdir()) == ["birds", "lists", "nets"]
    assert yaml.safe_load(Path("assets.yaml").read_text()) == {
        "birds": "assets/birds", "lists": "assets/lists", "weights": "assets/nets"
    }  # fmt: skip
    known = yaml.safe_load(Path("assets.lock").read_text())
    assert set(known) == {"nets/nets/a.h5"}  # of the others the hashes are on record
    assert known["nets/nets/a.h5"]["sha256"] == hashlib.sha256(WEIGHTS).hexdigest()
    assert known["nets/nets/a.h5"]["size"] == len(WEIGHTS)
    for told in ("free of toys", "50.0 kB, from https://huggingface.co/somebody/nets", "are free"):
        assert told in out
    assert "none.txt" not in out  # the experiment does not name it

    count = len(site.asked)
    code, out, err = fetch("toy")
    assert len(site.asked) == count  # nothing is fetched twice
    assert out.count("there: assets") == 3


def test_a_dry_run_writes_nothing_and_loads_nothing(fetch, site):
    code, out, err = fetch("toy", "--dry-run")
    assert (code, err) == (0, "")
    assert "To load and unpack" in out
    assert downloads(site) == []
    assert list(Path().iterdir()) == []


def test_it_asks(fetch, monkeypatch, site):
    told = "nobody is there to ask whether to begin: add --yes"
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    code, _, err = fetch("birds", yes=False)
    assert code == 1
    assert err == f"bench: error: fetch: {told}\n"
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    for answer, ended in (("n", 1), ("", 1), ("y", 0)):
        monkeypatch.setattr("builtins.input", lambda *prompt, answer=answer: answer)
        assert not Path("assets/birds").exists()
        assert fetch("birds", yes=False)[0] == ended
    assert Path("assets/birds").exists()


def test_wrong_bytes_are_kept_aside(fetch, site):
    site.files["/birds.tgz"] = b"<html>sorry</html>" * 20
    site.files["/two.txt"] = LIST + b"\n"
    code, _, err = fetch("toy", "--to", "data")
    assert code == 1
    lines = err.splitlines()
    assert lines[0].startswith("bench: error: birds: 'birds.tgz': expected the md5 ")
    assert hashlib.md5(site.files["/birds.tgz"]).hexdigest() in lines[0]
    assert lines[1].startswith("bench: error: lists: 'of/two.txt': expected the sha256 ")
    assert hashlib.sha256(LIST + b"\n").hexdigest() in lines[1]
    assert Path("data/birds.tgz.unexpected").read_bytes() == site.files["/birds.tgz"]
    assert Path("data/lists/of/two.txt.unexpected").exists()
    assert not Path("data/birds").exists() and not Path("data/lists/of/two.txt").exists()
    assert Path("data/nets/nets/a.h5").exists()  # the rest goes on
    assert set(yaml.safe_load(Path("assets.yaml").read_text())) == {"weights"}


def test_the_lock_is_held_to(fetch, site):
    assert fetch("nets")[0] == 0
    Path("assets/nets/nets/a.h5").unlink()
    site.files[HUB] = other = os.urandom(50_001)
    code, _, err = fetch("nets")
    assert code == 1
    for told in (hashlib.sha256(WEIGHTS).hexdigest(), hashlib.sha256(other).hexdigest()):
        assert told in err
    assert "that of 'assets.lock' (take 'nets/nets/a.h5' out of it if another one is right)" in err
    assert Path("assets/nets/nets/a.h5.unexpected").read_bytes() == other
    site.files[HUB] = WEIGHTS
    assert fetch("nets")[0] == 0
    assert Path("assets/nets/nets/a.h5").read_bytes() == WEIGHTS


def test_files_that_were_changed_are_fetched_again(fetch):
    fetch("toy")
    Path("assets/lists/of/two.txt").write_bytes(b"changed")
    Path("assets/nets/nets/a.h5").write_bytes(b"changed")
    fetch("toy")
    assert Path("assets/lists/of/two.txt").read_bytes() == LIST
    assert Path("assets/lists/of/two.txt.unexpected").read_bytes() == b"changed"
    assert Path("assets/nets/nets/a.h5").read_bytes() == WEIGHTS


def test_a_broken_connection_leaves_nothing_that_looks_whole(fetch, site):
    site.breaks["/birds.tgz"] = 3
    site.breaks["/two.txt"] = 1
    code, _, err = fetch("toy")
    assert code == 1
    assert "birds: the connection to 127.0.0.1" in err
    assert not Path("assets/birds").exists()
    assert [
        path for path in Path("assets").rglob("*") if "birds" in path.name and path.is_file()
    ] == []
    assert Path("assets/lists/of/two.txt").read_bytes() == LIST
    assert fetch("toy")[2].count("\n") == 1  # the same command goes on
    assert Path("assets/birds/list.txt").exists()


def test_an_archive_that_leads_elsewhere(fetch, site, toy_conf):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as file:
        file.addfile(tarfile.TarInfo("../out"))
    site.files["/bad.tgz"] = content.getvalue()
    file = {"name": "bad.tgz", "url": f"{site.url}/bad.tgz", "unpack": {}}
    asset(toy_conf, "bad", files=[file])
    code, _, err = fetch("bad")
    assert code == 1
    assert "'../out' leads out of the folder; nothing is written" in err
    assert not Path("assets/bad").exists() and not Path("assets.lock").exists()
    site.files["/bad.tgz"] = b"<html>sorry</html>"
    shutil.rmtree("assets")
    assert "is kept as 'assets/bad.tgz.unexpected'" in fetch("bad")[2]
    assert not Path("assets.lock").exists()


def test_offline_nothing_is_asked(fetch, site, monkeypatch):
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    code, _, err = fetch("toy")
    assert code == 1
    assert err.count("BENCH_OFFLINE=1 forbids to connect") == 3
    assert site.asked == []
    assert not Path("assets.yaml").exists()


def test_what_the_user_wrote_stays(fetch, image_folder, site):
    mine = f"# mine\nbirds: {image_folder}\nlists: elsewhere\n"
    Path("assets.yaml").write_text(mine)
    code, out, err = fetch("toy")
    assert code == 1
    assert f"birds: {image_folder}, as 'assets.yaml' has it: nothing to fetch" in out
    assert "'assets.yaml' has lists: elsewhere, which lacks elsewhere: put it there, or take" in err
    assert Path("assets.yaml").read_text() == f"{mine}weights: assets/nets\n"
    assert downloads(site) == [HUB]
    fetch("toy", "--to", "other")
    assert Path("assets.yaml").read_text() == f"{mine}weights: assets/nets\n"


def test_what_is_got_by_hand(fetch, site, toy_conf, image_folder):
    birds = archive(image_folder)
    asset(toy_conf, "secret", by_hand="ask its authors", dataset="secret", files=[
        {"name": "secret.tgz", "md5": hashlib.md5(birds).hexdigest(),
         "unpack": {"folder": "birds-1.0", "to": "pictures"}},
        {"name": "names.txt"},
    ])  # fmt: skip
    code, _, err = fetch("dataset=secret")
    assert code == 1
    (line,) = err.splitlines()
    assert "secret: ask its authors (https://example.org); put what you get at" in line
    assert "'assets/secret.tgz', 'assets/secret/names.txt'" in line
    Path("assets/secret").mkdir(parents=True)
    Path("assets/secret/names.txt").write_text("wren")
    Path("assets/secret.tgz").write_bytes(birds)
    assert fetch("dataset=secret")[0] == 0
    assert Path("assets/secret/pictures/list.txt").exists()
    assert Path("assets/secret.tgz").exists()  # it is the user's
    assert set(yaml.safe_load(Path("assets.lock").read_text())) == {"secret/names.txt"}


def test_faces_are_aligned(fetch, site, toy_conf):
    made = {"pictures": "birds", "lists": "lists", "list": "of/two.txt"}
    asset(toy_conf, "faces", align=made)
    site.files.pop("/two.txt")
    code, out, err = fetch("faces")
    assert code == 1
    assert "faces are aligned once assets/lists/of/two.txt can be had" in err
    site.files["/two.txt"] = LIST
    code, out, err = fetch("faces")
    assert (code, err) == (0, "")
    assert "faces found: 0 of 2" in out  # they are noise
    assert Path("assets/faces/class 1/photo 1.png").exists()
    assert Path("assets/faces/list.txt").read_bytes() == LIST


def test_faces_of_a_list_that_the_user_has(fetch, site, toy_conf):
    """What assets.yaml names is used, and not fetched beside."""
    asset(toy_conf, "faces", align={"pictures": "birds", "lists": "lists", "list": "of/two.txt"})
    text = EXPERIMENT.replace("birds: birds, lists: lists", "birds: faces, lists: lists")
    (toy_conf / "experiment/toy.yaml").write_text(text)
    Path("mine/of").mkdir(parents=True)
    Path("mine/of/two.txt").write_bytes(LIST)
    Path("assets.yaml").write_text("lists: mine\nmine: mine\n")
    assert fetch("toy")[0] == 0
    assert Path("assets/faces/list.txt").read_bytes() == LIST
    assert not Path("assets/lists").exists()


def test_labels_are_made_of_a_tensor(fetch, site, toy_conf):
    held, lines = io.BytesIO(), b"0.png 7\n1.png 3\n2.png 9"
    torch.save(torch.tensor([7, 3, 9]), held)
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as file:
        member = tarfile.TarInfo("top/data/labels.pt")
        member.size = len(held.getvalue())
        file.addfile(member, io.BytesIO(held.getvalue()))
    site.files["/labels.tgz"] = content.getvalue()
    labels = {
        "tensor": "data/labels.pt", "tensor_sha256": hashlib.sha256(held.getvalue()).hexdigest(),
        "list": "labels.txt", "list_sha256": hashlib.sha256(lines).hexdigest(),
    }  # fmt: skip
    file = {"name": "labels.tgz", "url": f"{site.url}/labels.tgz",
            "unpack": {"folder": "top", "labels": labels}}  # fmt: skip
    asset(toy_conf, "labelled", files=[file])
    assert fetch("labelled")[0] == 0
    assert Path("assets/labelled/labels.txt").read_bytes() == lines + b"\n"
    labels["tensor_sha256"] = 64 * "0"
    asset(toy_conf, "labelled", files=[file], place="again")
    code, _, err = fetch("labelled")
    assert code == 1 and f"expected the sha256 {64 * '0'}" in err
    assert not Path("assets/again").exists()
    labels["tensor_sha256"] = hashlib.sha256(held.getvalue()).hexdigest()
    labels["list_sha256"] = 64 * "1"
    asset(toy_conf, "labelled", files=[file], place="again")
    code, _, err = fetch("labelled")
    assert code == 1 and f"expected the sha256 {64 * '1'}, found" in err
    assert not Path("assets/again").exists()


def test_no_space(fetch, site, monkeypatch):
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    code, _, err = fetch("toy")
    assert code == 1
    assert err.startswith("bench: error: no space: ")
    assert "1.0 kB are free: make room, or choose another folder with --to FOLDER" in err
    assert downloads(site) == []


def test_a_folder_that_cannot_be_written(fetch, site):
    Path("file").touch()
    code, _, err = fetch("birds", "--to", "file/assets")
    assert code == 1
    assert "--to: cannot write to 'file/assets'" in err
    assert downloads(site) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["birdz"], "fetch: unknown name 'birdz'. Did you mean 'birds'?"),
        (["dataset=cub201"], "Did you mean 'cub200'?"),
        (["dataset=photos"], "dataset to fetch: unknown name 'photos'"),
        (["backbone=torchvision", "backbone.name=vgg16"], "backbone.weights=IMAGENET1K_V1"),
        (["backbone=resnet101"], "backbone.weights=pretrained"),
        (["backbone=sface"], "there is nothing to fetch"),
        (["seed=1"], "expected what to fetch for, as in `bench fetch paper/cub`"),
        (["birds", "seed=1"], "asset 'birds' has no settings"),
    ],
)
def test_what_cannot_be_asked_for(fetch, site, arguments, told):
    code, _, err = fetch(*arguments)
    assert code == 1
    assert told in err
    assert err.count("\n") == 1
    assert site.asked == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"files": [{"name": "../a", "url": "https://a"}]}, "expected a path inside"),
        ({"files": [{"name": "a", "url": "http://example.org"}]}, "expected a URL https://"),
        ({"files": [{"name": "a"}]}, "expected a url of a, or `by_hand`"),
        ({"files": [{"nome": "a"}]}, "nome"),
        ({"files": [{"name": "a", "url": "https://a", "unpack": {"to": "/a"}}]}, "a path inside"),
        ({"licence": None}, "licence: expected text"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_an_asset_that_is_not_well_described(fetch, toy_conf, content, told):
    asset(toy_conf, "wrong", **content)
    code, _, err = fetch("wrong")
    assert code == 1
    assert "wrong.yaml'" in err and told in err
    assert err.count("\n") == 1


def test_weights_that_a_library_loads(fetch, site, monkeypatch):
    """The library itself is not tried: that would connect to its server."""
    from bench.assets.pretrained import Pretrained

    loaded = []
    monkeypatch.setattr(Pretrained, "load", lambda self, settings: loaded.append(self.library))
    named = ["backbone.name=vgg16", "backbone.weights=IMAGENET1K_V1"]
    code, out, err = fetch("backbone=torchvision", *named)
    assert (code, err, loaded) == (0, "", ["torchvision"])
    assert "vgg16, weights 'IMAGENET1K_V1', loaded by torchvision into its cache: 55" in out
    assert fetch("backbone=timm", "backbone.name=resnet18", "backbone.weights=pretrained")[0] == 0
    assert loaded == ["torchvision", "timm"]


def test_a_lock_that_cannot_be_read(fetch):
    Path("assets.lock").write_text("- what")
    code, _, err = fetch("nets")
    assert code == 1
    assert "'assets.lock': expected files with their sha256" in err
