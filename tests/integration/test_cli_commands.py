"""What predict, model, evaluate and data print, and how they end."""

import csv
import io
import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from platecheck.data import download as fetching
from platecheck.data.folders import list_photos, read_photos
from platecheck.data.render import write_dataset
from platecheck.data.splits import describe_split
from platecheck.data.statistics import channel_statistics
from platecheck.training.recipe import bundled_recipes
from tests.conftest import Cli
from tests.support.photos import dirty, grey
from tests.support.writing import write_model, write_photos


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    metrics = {"photos": 40, "correct": 39, "accuracy": 0.975, "accuracy_ci95": (0.871, 0.996)}
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    return write_model(path, thresholds={"dirty": 0.5}, metrics={"test": metrics})


# --- predict


@pytest.fixture
def plates(tmp_path: Path) -> Path:
    """Two clean and two dirty plates, one of them deeper, and something that is no photo."""
    folder = tmp_path / "plates"
    for name, level in (("a.png", 20), ("b.PNG", 240), ("deeper/c.png", 250), ("d.png", 10)):
        grey(folder / name, level)
    (folder / "notes.txt").write_text("not to be looked at")
    return folder


def test_predict_prints_a_line_per_photo(cli: Cli, model: Path, plates: Path) -> None:
    printed = cli("predict", plates / "a.png", plates / "b.PNG", "--model", model).out
    assert printed.splitlines() == [
        f"{plates / 'a.png'}  clean  {1 - dirty(20):.1%}",
        f"{plates / 'b.PNG'}  dirty  {dirty(240):.1%}",
    ]


def test_predict_of_a_folder_as_json(cli: Cli, model: Path, plates: Path) -> None:
    found = json.loads(cli("predict", plates, "--model", model, "--json").out)
    names = [Path(each["photo"]).relative_to(plates).as_posix() for each in found]
    assert names == ["a.png", "b.PNG", "d.png", "deeper/c.png"]
    assert [each["label"] for each in found] == ["clean", "dirty", "clean", "dirty"]
    keys = [
        "photo", "label", "probability", "probabilities", "top_class", "needed", "oddness",
        "quality",
    ]  # fmt: skip
    assert list(found[1]) == keys
    assert found[1]["probabilities"]["dirty"] == found[1]["probability"]
    assert found[1]["probability"] == pytest.approx(dirty(240), abs=1e-5)


def test_predict_as_csv(cli: Cli, model: Path, plates: Path) -> None:
    (plates / "bad,1.jpg").write_bytes(b"")
    answer = cli("predict", plates / "a.png", plates / "bad,1.jpg", "--model", model, "--csv")
    assert answer.code == 1
    header, good, bad = csv.reader(io.StringIO(answer.out))
    assert header == ["photo", "label", "probability", "clean", "dirty", "error"]
    assert good[:2] == [str(plates / "a.png"), "clean"]
    probabilities = [1 - dirty(20), 1 - dirty(20), dirty(20)]
    assert [float(text) for text in good[2:5]] == pytest.approx(probabilities, abs=1e-5)
    assert good[5] == ""
    assert bad == [str(plates / "bad,1.jpg"), "", "", "", "", "the file is empty"]
    for taken in ("error", "Photo", "label", "probability"):
        other = write_model(plates.parent / "m.onnx", classes=("ok", taken))
        lines = cli("predict", plates / "a.png", "--model", other, "--csv").out.splitlines()
        assert lines[0] == f"photo,label,probability,ok,probability_{taken},error"


def test_predict_of_bad_photos_continues_and_ends_with_1(
    cli: Cli, model: Path, plates: Path
) -> None:
    (plates / "aa.jpg").write_bytes(b"not a photo")
    (plates / "x.cr2").write_bytes(b"raw")
    arguments = ["predict", plates, plates / "gone.jpg", "", "--model", model]
    answer = cli(*arguments)
    assert answer.code == 1
    lines = answer.out.splitlines()
    assert lines[8] == "4 of 8 photos could not be read:"
    assert len(lines) == 8 + 1 + 4
    assert "cannot be read: it is not a photo in a format that can be read" in lines[1]
    assert "cannot be read: .cr2 files cannot be read" in lines[4]
    assert "cannot be read: there is no such file" in lines[6]
    assert "cannot be read: it is a folder, not a photo" in lines[7]  # "" is not the current folder
    found = json.loads(cli(*arguments, "--json").out)
    assert [("error" in each) for each in found] == [0, 1, 0, 0, 1, 0, 1, 1]
    strict = cli(*arguments, "--strict")
    assert strict.code == 2
    assert f"unreadable photos (--strict): {plates / 'aa.jpg'}: it is not" in strict.err


def test_predict_prints_no_probability_of_unsure_and_no_dish(cli: Cli, tmp_path: Path) -> None:
    grey(tmp_path / "a.png", 130)
    unsure = write_model(tmp_path / "m.onnx", thresholds={"clean": 0.9, "dirty": 0.9})
    printed = cli("predict", tmp_path / "a.png", "--model", unsure).out
    assert printed.split("  ", 1)[1] == "unsure  (dirty 51.9%, threshold 90.0%)\n"  # not 52
    no_dish = write_model(tmp_path / "o.onnx", oddness=True, oddness_limit=0.1)
    assert cli("predict", tmp_path / "a.png", "--model", no_dish).out.endswith("  not a dish\n")


def test_predict_of_globs_and_lists_keeps_their_order(
    cli: Cli, model: Path, plates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(plates.parent)
    (plates / "list.txt").write_bytes(b"\xef\xbb\xbf# mine\r\nb.PNG\r\n\r\n")
    (plates / "list.csv").write_text(f"id;Photo\n1;{plates.name}/a.png\n2;b.PNG\n")
    arguments = [f"{plates.name}/list.txt", f"{plates.name}/[ab].*", f"{plates.name}/list.csv"]
    found = json.loads(cli("predict", *arguments, "--model", model, "--json").out)
    names = [Path(each["photo"]).name for each in found]
    assert names == ["b.PNG", "a.png", "b.PNG", "a.png", "b.PNG"]


def test_predict_with_max_pixels_refuses_larger_photos(cli: Cli, model: Path, plates: Path) -> None:
    answer = cli("predict", plates / "a.png", "--model", model, "--max-pixels", "10")
    assert answer.code == 1
    assert "more than the limit of 10" in answer.out


def test_predict_of_stdin_reads_one_photo(
    cli: Cli, model: Path, plates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    send((plates / "b.PNG").read_bytes())
    printed = cli("predict", "-", plates / "a.png", "--model", model, "--json").out
    found = [(each["photo"], each["label"]) for each in json.loads(printed)]
    assert found == [("<stdin>", "dirty"), (str(plates / "a.png"), "clean")]
    send(b"")
    empty = cli("predict", "-", "--model", model)
    assert empty.code == 1
    assert "<stdin>  cannot be read: the file is empty" in empty.out


# --- model


def test_model_prints_the_metadata(cli: Cli, model: Path) -> None:
    printed = cli("model", model).out
    for text in (
        *(str(model), "clean, dirty", "16×16 pixels", "float32", "tiny, seed 7, epoch 3", "1.2500"),
        *("predicts dirty", "at 50.0% or more", "platecheck 0.1.0"),
        "39/40 = 97.50%  (95 % interval 87.1% to 99.6%)",
    ):
        assert text in printed
    content = json.loads(cli("model", model, "--json").out)
    assert content["classes"] == ["clean", "dirty"]
    assert content["metrics"]["test"]["correct"] == 39
    assert content["thresholds"] == {"dirty": 0.5}


def test_model_of_the_bundled_one_has_metrics_with_intervals(cli: Cli) -> None:
    content = json.loads(cli("model", "--json").out)
    assert content["classes"] == ["clean", "dirty"]
    assert content["recipe"] in bundled_recipes()
    for metrics in content["metrics"].values():
        low, high = metrics["accuracy_ci95"]
        assert low < metrics["accuracy"] < high
        assert metrics["accuracy"] == metrics["correct"] / metrics["photos"]


# --- evaluate

EVALUATION_KEYS = [
    *("photos", "correct", "accuracy", "accuracy_ci95", "precision", "recall", "f1", "auroc"),
    *("ece", "brier", "mean_confidence", "classes", "confusion_matrix", "per_class"),
    *("majority_baseline", "mistakes", "unreadable"),
]


@pytest.fixture
def evaluated(tmp_path: Path) -> Path:
    """Test photos: 3 clean (one bright, so taken for dirty), 2 dirty, one that cannot be opened."""
    folder = tmp_path / "evaluated"
    for place, levels in (
        ("test/clean", {"a": 10, "b": 20, "c": 200}),
        ("test/dirty", {"a": 250, "b": 180}),
        ("val/clean", {"a": 0}),
        ("val/dirty", {"a": 255}),
    ):
        for name, level in levels.items():
            grey(folder / place / f"{name}.png", level)
    (folder / "test/dirty/bad.jpg").write_bytes(b"not a photo")
    return folder


def test_evaluate_as_json(cli: Cli, model: Path, evaluated: Path) -> None:
    answer = cli("evaluate", model, "--data", evaluated, "--json")
    assert answer.code == 1  # one cannot be read
    found = json.loads(answer.out)
    assert list(found) == [*EVALUATION_KEYS, "answers"]
    assert found["answers"]["coverage"]["count"] == 5
    assert (found["photos"], found["correct"], found["accuracy"]) == (5, 4, 0.8)
    assert found["classes"] == ["clean", "dirty"]
    assert found["confusion_matrix"] == [[2, 1], [0, 2]]
    assert found["recall"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["auroc"] == pytest.approx(5 / 6)
    assert found["per_class"]["clean"]["support"] == 3
    probability = pytest.approx(dirty(200), abs=1e-5)
    mistake = {"label": "clean", "predicted": "dirty", "probability": probability}
    assert found["mistakes"] == [{"path": str(evaluated / "test/clean/c.png"), **mistake}]
    reason = "it is not a photo in a format that can be read"
    bad = {"path": str(evaluated / "test/dirty/bad.jpg"), "reason": reason}
    assert found["unreadable"] == [bad]


def test_evaluate_prints_metrics_and_mistakes(cli: Cli, model: Path, evaluated: Path) -> None:
    answer = cli("evaluate", model, "--data", evaluated)
    assert answer.code == 1
    for text in (
        "5 of 'test'",
        "4/5 = 80.00%",
        "1 mistakes, most confident first:",
        f"{evaluated}/test/clean/c.png: clean predicted as dirty ({dirty(200):.1%})",
        "1 unreadable photos were skipped:",
        f"{evaluated}/test/dirty/bad.jpg: it is not a photo",
    ):
        assert text in answer.out


def test_evaluate_takes_a_named_split_or_the_only_one(
    cli: Cli, model: Path, evaluated: Path, tmp_path: Path
) -> None:
    def counted(*arguments: str | Path) -> int:
        return int(json.loads(cli("evaluate", model, "--data", *arguments, "--json").out)["photos"])

    assert counted(evaluated, "--split", "val") == 2
    (evaluated / "test").rename(tmp_path / "whole")
    assert counted(tmp_path / "whole") == 5
    strict = cli("evaluate", model, "--data", tmp_path / "whole", "--strict")
    assert strict.code == 2
    assert "unreadable photos (--strict)" in strict.err
    (evaluated / "val").rename(evaluated / "holdout")
    assert counted(evaluated) == 2


def test_evaluate_of_one_class_has_no_auroc(cli: Cli, model: Path, tmp_path: Path) -> None:
    for i in range(3):
        grey(tmp_path / f"set/dirty/{i}.png", 200 + i)
    found = json.loads(cli("evaluate", model, "--data", tmp_path / "set", "--json").out)
    assert (found["photos"], found["auroc"]) == (3, None)
    assert "a class has no photos" in cli("evaluate", model, "--data", tmp_path / "set").out


def test_evaluate_leaves_out_photos_that_the_model_was_selected_on(
    cli: Cli, tmp_path: Path
) -> None:
    counts = {"train/clean": 1, "train/dirty": 1, "test/clean": 6, "test/dirty": 9}
    photos = read_photos(write_photos(tmp_path / "set", counts))
    selected = write_model(tmp_path / "m.onnx", division=describe_split(photos, seed=0))
    command = ["evaluate", selected, "--data", tmp_path / "set", "--json"]
    assert json.loads(cli(*command).out)["photos"] == 8
    assert json.loads(cli(*command, "--split", "val").out)["photos"] == 7
    # One photo more, and they are not the photos that the model was selected on.
    write_photos(tmp_path / "set", {"test/dirty/new": 1})
    assert json.loads(cli(*command).out)["photos"] == 16


# --- data


def test_data_stats_prints_statistics_and_counts(cli: Cli, rendered: Path) -> None:
    found = json.loads(cli("data", "stats", rendered, "--size", "32", "--json").out)
    train = [photo.path for photo in list_photos(rendered).split("train")]
    expected = json.loads(json.dumps(asdict(channel_statistics(train, size=32))))
    assert {key: found[key] for key in expected} == expected
    assert (found["split"], found["size"], found["photos"]) == ("train", 32, 28)
    assert found["counts"]["test"] == {"clean": 3, "dirty": 3}
    assert found["unreadable"] == []
    assert found["fingerprint"] == read_photos(rendered).fingerprint()

    printed = cli("data", "stats", rendered, "--size", "32").out
    assert "28 photos of 'train' at 32×32" in printed
    for name in ("mean", "std", "pooled_std"):
        assert "  ".join(f"{value:.4f}" for value in found[name]) in printed
    rows = [line.split() for line in printed.splitlines()[:4]]
    counts = (("test", "3"), ("train", "14"), ("val", "3"))
    assert rows == [["split", "clean", "dirty"], *([split, n, n] for split, n in counts)]


def test_data_stats_of_unreadable_photos_names_or_refuses_them(cli: Cli, tmp_path: Path) -> None:
    write_photos(tmp_path, {"clean": 2, "dirty": 2})
    for number in range(12):
        (tmp_path / f"clean/bad{number:02}.jpg").write_bytes(b"")
    answer = cli("data", "stats", tmp_path, "--size", "8")
    assert answer.code == 1
    assert "12 unreadable photos were skipped:" in answer.out
    assert f"{tmp_path}/clean/bad00.jpg: the file is empty" in answer.out
    assert "… and 2 more" in answer.out
    found = json.loads(cli("data", "stats", tmp_path, "--size", "8", "--json").out)
    assert (found["split"], found["photos"], len(found["unreadable"])) == ("all", 4, 12)
    assert "unreadable photos (--strict)" in cli("data", "stats", tmp_path, "--strict").err


def test_data_render_writes_photos_as_its_options_say(cli: Cli, tmp_path: Path) -> None:
    options = ["-n", "12", "--size", "32", "--seed", "3", "--masks"]
    printed = cli("data", "render", tmp_path / "a", *options).out
    assert printed == f"12 photos of rendered dishes in {tmp_path / 'a'}\n"
    write_dataset(tmp_path / "b", photos=12, size=32, seed=3, workers=1)
    a, b = read_photos(tmp_path / "a"), read_photos(tmp_path / "b")
    assert a.fingerprint() == b.fingerprint()
    assert (tmp_path / "a/masks").is_dir()
    assert not (tmp_path / "b/masks").exists()


def test_data_render_scenes_writes_a_yolo_dataset(cli: Cli, tmp_path: Path) -> None:
    arguments = ["-n", "4", "--size", "160", "--seed", "3", "--kind", "hob"]
    printed = cli("data", "render", "--scenes", tmp_path / "a", *arguments).out
    assert printed == f"4 photos of rendered scenes in {tmp_path / 'a'}\n"
    found = json.loads(cli("data", "render", "--scenes", tmp_path / "b", *arguments, "--json").out)
    assert found["folder"] == str(tmp_path / "b")
    assert (found["photos"], found["kinds"], found["labels"]) == (4, {"hob": 4}, {})
    names = [sorted(p.relative_to(tmp_path / n) for p in (tmp_path / n).rglob("*")) for n in "ab"]
    assert names[0] == names[1]
    assert len(list((tmp_path / "a/images").rglob("*.jpg"))) == 4
    assert not (tmp_path / "a/masks").exists()


def test_data_render_reports_counts_as_json(cli: Cli, tmp_path: Path) -> None:
    arguments = ["-n", "12", "--size", "32", "--json"]
    found = json.loads(cli("data", "render", tmp_path / "a", *arguments).out)
    assert found["photos"] == sum(found["counts"].values()) == sum(found["backgrounds"].values())
    assert found["counts"]["test/dirty"] >= 1


def test_data_render_scenes_rejects_a_confounded_background(cli: Cli, tmp_path: Path) -> None:
    result = cli("data", "render", "--scenes", tmp_path / "a", "--confound", "0.9")
    assert result.code == 2
    assert "scenes have no class; omit --confound" in result.err
    assert not (tmp_path / "a").exists()


def test_data_fetch_copies_what_is_missing_and_names_failures(
    cli: Cli, tmp_path: Path, rendered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = read_photos(rendered).photos
    names = [photo.name for photo in photos]
    rows = [f"{photo.name},{photo.sha256},{photo.path.stat().st_size}" for photo in photos]
    (tmp_path / "manifest.csv").write_text("\n".join(["path,sha256,bytes", *rows]))
    monkeypatch.setattr(fetching, "MANIFEST", tmp_path / "manifest.csv")

    part = tmp_path / "part"
    for said in ("40 photos fetched, 0 already there", "0 photos fetched, 40 already there"):
        assert said in cli("data", "fetch", part, "--from", rendered).out
        assert [photo.name for photo in list_photos(part).photos] == names
    val = cli("data", "fetch", tmp_path / "val", "--from", rendered, "--split", "val")
    assert "6 photos fetched" in val.out
    (part / names[0]).unlink()
    (part / names[1]).write_bytes(b"another photo")
    failed = cli("data", "fetch", tmp_path / "new", "--from", part)
    assert failed.code == 1
    assert "38 photos fetched" in failed.out
    assert names[1] in failed.out


@pytest.mark.real_photos
def test_data_stats_of_the_real_photos_equals_the_published(cli: Cli, real_photos: Path) -> None:
    found = json.loads(cli("data", "stats", real_photos, "--json").out)
    assert [round(value, 4) for value in found["mean"]] == [0.5195, 0.4997, 0.4699]
    assert [round(value, 4) for value in found["std"]] == [0.1759, 0.1831, 0.1978]
    assert found["counts"]["train"] == {"clean": 231, "dirty": 227}
