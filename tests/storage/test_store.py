import json
import warnings

import numpy as np
import pandas as pd
import pytest
from toy_rows import begin, identity, protocol, rows

from bench import load_rows
from bench.errors import BenchWarning
from bench.storage.manifest import Reproduced
from bench.storage.rows import ROW_COLUMNS
from bench.storage.store import stored_runs


def test_rows_come_back_ordered_and_typed(tmp_path):
    run = begin(tmp_path)
    run.append(rows("c", "a"))
    run.append(rows("b"))
    stored = run.rows()
    assert stored["image_id"].tolist() == ["a", "b", "c"]
    metrics = ["insertion_curve", "deletion_curve", "baseline_score"]
    assert {*ROW_COLUMNS, *metrics} < set(stored.columns)
    assert stored["insertion_curve"][0].dtype == np.float32
    assert stored["insertion_curve"][0].tolist() == [0, 0.5, 1]
    assert stored["run_key"].unique().tolist() == [run.key]
    assert stored.loc[0, ["benchmark", "backbone", "protocol", "protocol_hash"]].tolist() == [
        "birds", "toy", "mine", run.protocol.hash,
    ]  # fmt: skip
    assert stored.loc[0, ["method", "seed"]].tolist() == ["rise", 0]


def test_the_same_identity_finds_the_same_run(tmp_path):
    begin(tmp_path).append(rows("a"))
    again = begin(tmp_path)
    assert len(again.rows()) == 1
    renamed = {"name": "my_rise", "version": 1, "settings": {"num_masks": 4}}
    assert len(begin(tmp_path, method=renamed).rows()) == 1


def test_keys_of_the_label_are_those_from_before_there_was_a_choice(tmp_path):
    """Literal: made by the release that knew no targets."""
    run = begin(tmp_path, protocol=protocol(insertion={"steps": 5}))
    explicit = {"score": "probability", "target": "label"}
    for one in (run, begin(tmp_path, protocol=run.protocol.settings(), explain=explicit)):
        assert one.identity.key == (
            "457e5b9b17086e2f68f56f78905435dd3aa1ac4c29ef76e1b6c414927c4db17c"
        )
        assert (one.protocol.hash, one.protocol.key) == ("44c709590a441d3d", "600864c4e36d8bfe")
        assert one.metrics["insertion"].key == (
            "d8b1db094d6c177d9a2505ed3317bf30c568d979dd25c5fd8ace8d6eee8fa465"
        )


def test_labels_are_stored_where_they_are_not_the_targets(tmp_path):
    run = begin(tmp_path)
    run.append(rows("a", "b"))
    assert run.rows()["image_label"].tolist() == run.rows()["target"].tolist() == [1, 1]
    (part,) = run.metrics["insertion"].folder.glob("part-*")
    assert "image_label" not in pd.read_parquet(part)
    other = begin(tmp_path, protocol=protocol(target="prediction"))
    other.append(rows("a", "b").assign(image_label=[2, 1]))
    assert other.rows()["image_label"].tolist() == [2, 1]
    assert other.rows()["target"].tolist() == [1, 1]
    (part,) = other.metrics["insertion"].folder.glob("part-*")
    part.rename(part.with_name("part-x.parquet"))
    table = pd.read_parquet(part.with_name("part-x.parquet")).drop(columns="image_label")
    table.to_parquet(part.with_name("part-x.parquet"))
    with pytest.warns(BenchWarning, match="lacks the columns image_label"):
        assert other.rows().empty


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"precision": "bf16"},
        {"method": {"name": "rise", "version": 2, "settings": {"num_masks": 4}}},
        {"method": {"name": "rise", "version": 1, "settings": {"num_masks": 5}}},
        {"backbone": {"name": "toy", "weights_sha256": "x"}},
        {"dataset": {**identity()["dataset"], "pixels_sha256": "x"}},
        {"dataset": {**identity()["dataset"], "list_sha256": "x"}},
        {"protocol": protocol(score="logit")},
        {"protocol": protocol(ties="numpy_1_23")},
        {"protocol": protocol(target="prediction")},
        {"protocol": protocol(target=1)},
        {"explain": {"score": "probability", "target": "prediction"}},
        {"protocol": protocol(insertion={"steps": 9})},
        {"explain": {"score": "logit"}},
        {"maps": "float16"},
    ],
)
def test_whatever_decides_the_numbers_makes_another_run(tmp_path, changes):
    begin(tmp_path).append(rows("a"))
    assert begin(tmp_path, **changes).rows().empty


def test_parts_that_begin_alike_do_not_replace_each_other(tmp_path):
    run = begin(tmp_path)
    run.append(rows("a", "b"))
    run.append(rows("a", "c"))  # computed twice, as by two runs at once
    assert run.rows()["image_id"].tolist() == ["a", "b", "c"]


def test_a_row_can_be_renamed_without_being_computed_again(tmp_path):
    begin(tmp_path, "old").append(rows("a"))
    begin(tmp_path, "new")
    assert load_rows(tmp_path, "board")["method"].tolist() == ["new"]


def test_manifest_tells_the_whole_story(tmp_path):
    run = begin(tmp_path, label="RISE")
    manifest = json.loads((run.folder / "manifest.json").read_text())
    assert manifest["identity"]["dataset"] == identity()["dataset"]
    assert manifest["key"] == run.identity.key
    assert manifest["leaderboards"]["board"][run.protocol.key]["label"] == "RISE"
    assert manifest["protocols"] == {run.protocol.key: run.protocol.stored()}
    assert manifest["config"] == {"seed": 0}
    assert manifest["provenance"] == {"python": "3", "citations": {}}
    assert manifest["version"] == manifest["identity"]["version"] == 1


def test_protocols_share_the_rows_of_the_metrics_that_they_share(tmp_path):
    """What decides no row of a metric, its name or the rule for areas, makes no other row."""
    first = begin(tmp_path, "RISE")
    first.append(rows("a", "b"))
    same = begin(tmp_path, "RISE", protocol=protocol(name="other", auc="mean"))
    assert same.folder == first.folder
    assert same.image_ids() == {"a", "b"}
    assert same.key != first.key
    more = begin(tmp_path, "RISE", protocol=protocol(name="more", mufidelity={}))
    assert more.image_ids() == set()
    assert more.metrics["insertion"].image_ids() == {"a", "b"}
    with more.claim({"insertion": ["a", "c"], "mufidelity": ["a", "c"]}) as ours:
        assert ours == {"insertion": ["c"], "mufidelity": ["a", "c"]}
    more.append(rows("b").assign(mufidelity_xplique_1_1=0.25))
    assert more.rows()["mufidelity_xplique_1_1"].tolist() == [0.25]
    assert first.image_ids() == {"a", "b"}
    boards = {run.protocol.name: run for run in stored_runs(tmp_path, "board")}
    assert set(boards) == {"mine", "other", "more"}
    everything = load_rows(tmp_path)
    assert sorted(everything["protocol"]) == ["mine", "mine", "more", "other", "other"]
    assert set(everything.groupby("protocol")["insertion_auc"].mean()) == {0.5}


def test_a_metric_that_asks_for_no_order_has_the_same_rows_under_any_tie_rule(tmp_path):
    asked = {"mufidelity": {}, "insertion": {"steps": -1}}
    first = begin(tmp_path, protocol=protocol(**asked))
    other = begin(tmp_path, protocol=protocol(**asked, ties="numpy_1_23"))
    assert first.metrics["mufidelity"].folder == other.metrics["mufidelity"].folder
    assert first.metrics["insertion"].folder != other.metrics["insertion"].folder


def test_seconds_of_a_row_are_those_of_its_map_and_its_metrics(tmp_path):
    run = begin(tmp_path)
    run.append(rows("a").assign(seconds=np.float32(5), map_seconds=np.float32(2)))
    assert run.rows()["seconds"].tolist() == pytest.approx([5])
    more = begin(tmp_path, protocol=protocol(name="more", mufidelity={}))
    only = {"seconds": np.float32(3), "map_seconds": np.float32(2), "mufidelity_xplique_1_1": 0.5}
    more.append(rows("a").assign(**only).drop(columns=["insertion_curve", "deletion_curve"]))
    assert more.rows()["seconds"].tolist() == pytest.approx([6])


def test_maps_are_kept_and_missed(tmp_path):
    run = begin(tmp_path)
    saliency_map = np.arange(6, dtype=np.float32).reshape(2, 3)
    run.save_map("a/b c.png", saliency_map)
    assert (run.load_map("a/b c.png") == saliency_map).all()
    assert run.load_map("other.png") is None
    (kept,) = run.folder.glob("map-*.npy")
    kept.write_bytes(b"broken")
    with pytest.warns(BenchWarning, match=f"{kept.name}' is broken .* left out"):
        assert run.load_map("a/b c.png") is None
    assert len(run.set_aside_broken()) == 1
    assert not kept.exists()
    run.save_map("a/b c.png", saliency_map)
    assert (run.load_map("a/b c.png", (2, 3)) == saliency_map).all()
    with pytest.warns(BenchWarning, match=r"expected a map of \(3, 2\), found \(2, 3\)"):
        assert run.load_map("a/b c.png", (3, 2)) is None


def flipped(content, place=None):
    """The content with a bit turned round in the middle, or at a place."""
    place = len(content) // 2 if place is None else place
    return content[:place] + bytes([content[place] ^ 8]) + content[place + 1 :]


def rewritten(change):
    """A part of the same name whose rows were changed; the name's checksum is left out."""

    def damage(path):
        table = change(pd.read_parquet(path))
        path.unlink()
        table.to_parquet(path.with_name("part-0.parquet"), index=False)

    return damage


def with_curve(*scores):
    return lambda rows: rows.assign(insertion_curve=[np.array(scores, np.float32)] * len(rows))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-20]), "checksum"),
        (lambda path: path.write_bytes(b""), "checksum"),
        (lambda path: path.write_bytes(flipped(path.read_bytes(), 300)), "checksum"),
        (lambda path: (path.unlink(), path.mkdir()), "folder"),
        (lambda path: (path.unlink(), path.with_name("part-1.parquet").write_text("x")), ""),
        (rewritten(lambda rows: rows.drop(columns="insertion_curve")), "lacks .* insertion_curve"),
        (rewritten(lambda rows: rows.drop(columns="rows_key")), "lacks .* rows_key"),
        (rewritten(lambda rows: rows.assign(rows_key="x")), "another run's"),
        (rewritten(lambda rows: rows.assign(clean_score="x")), "clean_score: expected finite"),
        (rewritten(lambda rows: rows.assign(seconds=np.nan)), "seconds: .* NaN"),
        (rewritten(lambda rows: rows.assign(target=0.5)), "target: .* float64"),
        (rewritten(lambda rows: rows.assign(image_id=7)), "image_id: expected text"),
        (rewritten(lambda rows: rows.assign(image_id="a")), "one row an image"),
        (rewritten(with_curve(0, 1)), r"insertion_curve: expected 3 points each, found \{2\}"),
        (rewritten(with_curve(0, np.nan, 1)), "insertion_curve: holds NaN"),
        (rewritten(lambda rows: rows.assign(insertion_curve=1.0)), "insertion_curve: .* lists"),
    ],
)
def test_broken_parts_are_left_out_by_readers_and_set_aside_by_runs(tmp_path, damage, reason):
    settings = {"protocol": protocol(insertion={"steps": 2})}
    run = begin(tmp_path, **settings)
    run.append(rows("a", "b"))
    (part,) = run.folder.glob("insertion-*/part-*.parquet")
    run.append(rows("c"))
    damage(part)
    before = sorted(run.folder.rglob("*"))
    run = begin(tmp_path, **settings)
    with pytest.warns(BenchWarning, match=f"part-.*is broken .*{reason}.*: left out"):
        assert run.rows()["image_id"].tolist() == ["c"]
    with pytest.warns(BenchWarning, match="is broken"):
        assert run.image_ids() == {"c"}
    assert sorted(run.folder.rglob("*")) == before
    (line,) = run.set_aside_broken()
    assert "/broken-part-" in line
    assert len(list(run.folder.glob("*/broken-part-*"))) == 1
    run.append(rows("a", "b"))
    assert begin(tmp_path, **settings).rows()["image_id"].tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "Expecting"),
        (b"", "Expecting"),
        (b"\xff\xfe{}", "decode"),
        (b"[]", "expected a mapping"),
        (b"{}", "expected the key key"),
        (b"[" * 100_000, ""),
    ],
)
def test_a_manifest_that_cannot_be_read_is_left_out_and_written_again(tmp_path, content, reason):
    run = begin(tmp_path, "RISE")
    run.append(rows("a"))
    begin(tmp_path, "other", seed=1).append(rows("a"))
    (run.folder / "manifest.json").write_bytes(content)
    with pytest.warns(BenchWarning, match=rf"manifest\.json' is broken .*{reason}.*: left out"):
        assert [run.identity.seed for run in stored_runs(tmp_path)] == [1]
    again = begin(tmp_path, "RISE")
    assert again.folder == run.folder
    assert (run.folder / "broken-manifest.json").read_bytes() == content
    assert "broken-manifest.json" in again.broken[0]
    assert again.rows()["image_id"].tolist() == ["a"]  # its rows name their run: they are good
    assert len(load_rows(tmp_path, "board")) == 2


def changed(**parts):
    def change(manifest):
        for key, value in parts.items():
            *folders, last = key.split("__")
            place = manifest
            for folder in folders:
                place = place[folder]
            if value is None:
                del place[last]
            else:
                place[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (changed(identity__seed=5), "its key is not that of its identity"),
        (changed(identity__method=None), "expected the key identity.method"),
        (changed(identity__colour=1), "identity: unknown key colour"),
        (changed(identity__dataset__num_images=None), "expected the key identity.dataset.num_im"),
        (changed(identity__backbone__name=7), "identity.backbone.name: expected str"),
        (changed(protocols__x={"name": "x"}), "protocols.x: protocol"),
        (changed(protocols__x={**protocol(), "citation": ""}), "protocols.x: its key is not"),
        (changed(leaderboards__board={"x": {"label": "x"}}), "expected a key of protocols"),
        (changed(leaderboards=["board"]), "leaderboards: expected a mapping"),
        (changed(leaderboards__board=3), "leaderboards.board: expected a mapping"),
        (changed(leaderboards__board={"x": {"label": 3}}), "board.x.label: expected str"),
        (changed(version="1"), "version: expected int"),
        (changed(provenance="me"), "provenance: expected a mapping"),
        (changed(provenance__passes=[]), "provenance.passes: expected a mapping"),
        (
            changed(leaderboards__board={"x": {"label": "x", "reproduces": {}}}),
            "expected the key leaderboards.board.x.reproduces.table",
        ),
    ],
)
def test_a_foreign_manifest_is_none(tmp_path, change, reason):
    run = begin(tmp_path, "RISE")
    manifest = json.loads((run.folder / "manifest.json").read_text())
    change(manifest)
    (run.folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.warns(BenchWarning, match=reason):
        assert stored_runs(tmp_path) == []
    begin(tmp_path, "RISE")
    assert len(stored_runs(tmp_path)) == 1


def test_a_run_may_repeat_a_table_that_lacks_its_method(tmp_path):
    repeats = {"table": "cub", "backbone": "ResNet-101", "method": None, "deviations": []}
    begin(tmp_path, "random").set_label("board", "random", repeats)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (run,) = stored_runs(tmp_path, "board")
    assert run.reproduces("board") == Reproduced("cub", "ResNet-101")


def test_a_manifest_of_another_run_is_set_aside(tmp_path):
    run, other = begin(tmp_path, "RISE"), begin(tmp_path, "other", seed=1)
    run.append(rows("a"))
    content = (other.folder / "manifest.json").read_bytes()
    (run.folder / "manifest.json").write_bytes(content)
    with pytest.warns(BenchWarning, match="has the same run as"):
        assert len(stored_runs(tmp_path)) == 1
    again = begin(tmp_path, "RISE")
    assert "it is another run's" in again.broken[0]
    assert again.rows()["image_id"].tolist() == ["a"]


def test_rows_without_a_manifest_are_told(tmp_path):
    run = begin(tmp_path, "RISE")
    run.append(rows("a"))
    begin(tmp_path, "other", seed=1).append(rows("a"))
    (run.folder / "manifest.json").unlink()
    with pytest.warns(BenchWarning, match=r"manifest\.json' cannot be read: No such file"):
        assert len(load_rows(tmp_path)) == 1


@pytest.mark.parametrize("content", ["{", "[]", '{"a": "reason"}', '{"a": {"reason": 1}}'])
def test_broken_failures_are_left_out_and_begun_anew(tmp_path, content):
    run = begin(tmp_path)
    path = run.folder / "failures.json"
    path.write_text(content)
    with pytest.warns(BenchWarning, match=r"failures\.json' is broken"):
        assert run.failures(run.rows()) == {}
    with pytest.warns(BenchWarning, match=r"broken-failures\.json"):
        run.record_failure("b", "NaN")
    assert run.failures(run.rows()) == {"b": "NaN"}
