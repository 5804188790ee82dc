"""Inspecting on the command line, in archives and over HTTP."""

import base64
import csv
import io
import json
from collections import Counter
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from serving_fixtures import ask, metric

from platecheck import Inspector
from platecheck.errors import ModelError
from platecheck.serving.keys import add_key
from tests.conftest import Cli
from tests.support.cameras import http_server
from tests.support.photos import encode
from tests.support.raw_http import RawAnswer, request
from tests.support.server import Server
from tests.support.writing import write_detector, write_model

KEYS = ["photo", "width", "height", "verdict", "counts", "dishes", "quality", "error"]
PNG = {"Content-Type": "image/png"}


def rack(*levels: int, height: int = 200, width: int = 200) -> bytes:
    """A photo of up to four dishes, one in each quarter; bright ones are dirty."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for number, level in enumerate(levels):
        y, x = number // 2 * height // 2, number % 2 * width // 2
        pixels[y + height // 10 : y + height * 2 // 5, x + width // 10 : x + width * 2 // 5] = level
    return encode(pixels, "PNG")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """Options of a command: a model that takes dark dishes for clean, and what finds them."""
    folder = tmp_path_factory.mktemp("models")
    model = write_model(folder / "m.onnx", evidence=4, thresholds={"clean": 0.55})
    return ["--model", model, "--detector", write_detector(folder / "d.onnx")]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of four photos; the last cannot be read."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, levels in {"a": (250, 135), "b": (135, 135, 135), "c": ()}.items():
        (folder / f"{name}.png").write_bytes(rack(*levels))
    (folder / "d.png").write_bytes(b"torn")
    return folder


# --- command line


def test_inspect_prints_each_photo_and_its_dishes(
    cli: Cli, models: list[str | Path], photos: Path
) -> None:
    answer = cli("inspect", photos, *models)
    assert (answer.code, answer.err) == (1, "")
    lines = answer.out.splitlines()
    assert lines[0] == f"{photos}/a.png  dirty  2 dishes: 1 clean, 1 dirty"
    assert lines[1].split()[4] == "dirty"
    assert lines[3] == f"{photos}/b.png  clean  3 dishes: 3 clean"
    assert lines[7] == f"{photos}/c.png  no dish"
    assert lines[8].startswith(f"{photos}/d.png  cannot be read:")
    assert lines[9] == "1 of 4 photos could not be read:"


def test_inspect_json_is_that_of_the_inspector(
    cli: Cli, models: list[str | Path], photos: Path
) -> None:
    answer = cli("inspect", photos, *models, "--json")
    found = json.loads(answer.out)
    inspector = Inspector.load(models[1], models[3])
    expected = inspector.inspect_many(sorted(photos.iterdir()))
    assert found == json.loads(json.dumps([each.as_dict() for each in expected]))
    assert all(list(each) == KEYS for each in found)
    assert [each["verdict"] for each in found] == ["dirty", "clean", "no dish", None]
    assert set(found[0]["dishes"][0]) == {"box", "score", "label", "probability", "probabilities"}


def test_inspect_csv_has_a_row_per_dish(cli: Cli, models: list[str | Path], photos: Path) -> None:
    answer = cli("inspect", photos, *models, "--csv")
    rows = list(csv.DictReader(io.StringIO(answer.out)))
    assert answer.code == 1
    assert [
        (Path(row["photo"]).stem, row["verdict"], row["dish"], row["label"]) for row in rows
    ] == [
        ("a", "dirty", "1", "dirty"),
        ("a", "dirty", "2", "clean"),
        ("b", "clean", "1", "clean"),
        ("b", "clean", "2", "clean"),
        ("b", "clean", "3", "clean"),
        ("c", "no dish", "", ""),
        ("d", "", "", ""),
    ]
    assert float(rows[0]["x0"]) < float(rows[0]["x1"]) <= 200
    assert float(rows[0]["clean"]) + float(rows[0]["dirty"]) == pytest.approx(1, abs=1e-5)
    assert rows[0]["quality"] == "ok"
    assert rows[-1]["error"]


def test_inspect_save_writes_pictures_into_a_new_folder(
    cli: Cli, models: list[str | Path], photos: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "saved"
    assert cli("inspect", photos, *models, "--save", saved).code == 1
    pictures = sorted(path for path in saved.iterdir() if path.suffix == ".jpg")
    assert [path.name for path in pictures] == ["0001-a.jpg", "0002-b.jpg", "0003-c.jpg"]
    with Image.open(pictures[0]) as drawn:
        assert drawn.size == (640, 640)
        colors = np.asarray(drawn).reshape(-1, 3).astype(int)
    assert (np.abs(colors - (213, 94, 0)).sum(axis=1) < 60).sum() > 200
    refused = cli("inspect", photos, *models, "--save", photos)
    assert (refused.code, refused.out) == (2, "")
    assert "is not empty; choose a new folder for --save" in refused.err


def test_inspect_save_shortens_names_and_reads_urls_once(
    cli: Cli, models: list[str | Path], tmp_path: Path
) -> None:
    long = tmp_path / f"{'é' * 120}.png"
    long.write_bytes(rack(250))
    asked = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        request.send_response(200)
        request.end_headers()
        request.wfile.write(rack(135))

    saved = tmp_path / "saved"
    with http_server(answer) as url:
        options = [*models, "--allow-private-urls", "--save", saved]
        assert cli("inspect", long, f"{url}/a.png", *options).code == 0
    assert asked == ["/a.png"]
    names = sorted(path.name for path in saved.iterdir() if path.suffix == ".jpg")
    assert names == [f"0001-{'é' * 80}.jpg", "0002-a.jpg"]


def test_inspect_reports_a_name_that_no_file_can_have_and_goes_on(
    cli: Cli, models: list[str | Path], tmp_path: Path
) -> None:
    photo = tmp_path / "new\nline\x1b.png"
    photo.write_bytes(rack(250))
    answer = cli("inspect", "a" * 300, photo, *models, "--json", "--save", tmp_path / "saved")
    assert answer.code == 1
    missing, found = json.loads(answer.out)
    assert "File name too long" in missing["error"]
    assert found["counts"]["dirty"] == 1
    assert (tmp_path / "saved/0002-new_line_.jpg").is_file()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--strict"], "unreadable photos (--strict)"),
        (["--json", "--csv"], "--json and --csv are mutually exclusive"),
        (["--detector", "gone.onnx"], "no model file at gone.onnx"),
    ],
)
def test_inspect_errors_are_one_line(
    cli: Cli, models: list[str | Path], photos: Path, options: list[str], says: str
) -> None:
    answer = cli("inspect", photos, *models, *options)
    assert answer.code == 2
    assert says in answer.err
    assert len(answer.err.splitlines()) == 1


def test_inspect_takes_lists_and_globs_as_predict_does(
    cli: Cli, models: list[str | Path], photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "list.txt").write_text("photos/a.png\nphotos/c.png\n")
    answer = cli("inspect", tmp_path / "list.txt", photos / "[b]*.png", *models, "--json")
    assert [Path(each["photo"]).stem for each in json.loads(answer.out)] == ["a", "c", "b"]
    assert answer.code == 0


def test_predict_says_why_a_poor_photo_is_unsure(cli: Cli, tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.onnx", quality_check=True)
    Image.new("RGB", (90, 80), (30, 30, 30)).save(tmp_path / "dark.png")
    answer = cli("predict", tmp_path / "dark.png", "--model", model)
    assert answer.out.rstrip().endswith("unsure  (clean 95.5%, too dark: add light)")
    found = json.loads(cli("predict", tmp_path / "dark.png", "--model", model, "--json").out)
    assert (found[0]["label"], found[0]["quality"]) == ("unsure", "too dark")


# --- archives


def test_batch_inspect_writes_a_row_per_dish(
    cli: Cli, models: list[str | Path], photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    answer = cli("batch", photos, out, "--inspect", *models, "--json", "--shard-rows", 2)
    assert answer.code == 1
    summary = json.loads(answer.out)
    assert (summary["photos"], summary["errors"]) == (4, 1)
    assert summary["labels"] == {"dirty": 1, "clean": 4, "no dish": 1}
    rows = pq.read_table(out).to_pylist()
    assert [(Path(row["path"]).stem, row["dish"], row["label"]) for row in rows] == [
        ("a", 1, "dirty"),
        ("a", 2, "clean"),
        ("b", 1, "clean"),
        ("b", 2, "clean"),
        ("b", 3, "clean"),
        ("c", None, "no dish"),
        ("d", None, None),
    ]
    inspector = Inspector.load(models[1], models[3])
    found = [
        dish for each in inspector.inspect_many(sorted(photos.iterdir())) for dish in each.dishes
    ]
    dishes = (row for row in rows if row["dish"] is not None)
    for row, dish in zip(dishes, found, strict=True):
        assert [row[side] for side in ("x0", "y0", "x1", "y1")] == pytest.approx(dish.box)
        assert row["probability_dirty"] == pytest.approx(dish.prediction.probabilities["dirty"])
        assert (row["score"], row["quality"]) == (pytest.approx(dish.score), "ok")
    assert rows[-1]["error"]
    refused = cli("batch", photos, tmp_path / "b.csv", *models)
    assert "--detector requires --inspect" in refused.err


def test_batch_of_another_kind_does_not_resume(
    cli: Cli, models: list[str | Path], photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    state = tmp_path / "out.csv.shards"
    state.mkdir()
    options = {"source": str(photos), "model": "another", "shard_rows": 1000}
    (state / "job.json").write_text(json.dumps({"options": options, "photos": None}))
    answer = cli("batch", photos, out, "--inspect", *models)
    assert answer.code == 2
    assert "was started with model another" in answer.err


# --- service


def form(*photos: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    body = b""
    for name, content in photos:
        head = f'--x\r\nContent-Disposition: form-data; name="photos"; filename="{name}"\r\n\r\n'
        body += head.encode() + content + b"\r\n"
    return body + b"--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}


def told(answer: RawAnswer) -> Any:
    assert answer.status == 200, answer
    return json.loads(answer.body)


def test_service_inspects_the_photos_of_a_form(models: list[str | Path], tmp_path: Path) -> None:
    key = {"Authorization": f"Bearer {add_key(tmp_path / 'keys.txt', 'cook')}"}
    with Server(*models, "--keys", tmp_path / "keys.txt", max_photos=3) as server:

        def post(path: str, body: bytes, **headers: str) -> RawAnswer:
            return ask(server, request("POST", path, body, {**PNG, **key, **headers}))

        photos = [("two.png", rack(250, 135)), ("bad.png", b"text"), ("none.png", rack())]
        body, kind = form(*photos)
        answer = told(post("/v1/inspect?heatmap=true", body, **kind))
        inspector = Inspector.load(models[1], models[3])
        assert answer["model"] == inspector.classifier.id
        assert answer["detector"] == inspector.detector.id
        two, bad, none = answer["photos"]
        expected = inspector.inspect(photos[0][1], name="two.png").as_dict()
        expected.pop("error")
        for dish, other in zip(two["dishes"], expected["dishes"], strict=True):
            assert dish.items() >= other.items()
            assert dish["crop"][0] <= dish["box"][0]
            png = base64.b64decode(dish["heatmap"].removeprefix("data:image/png;base64,"))
            assert Image.open(io.BytesIO(png)).size == (16, 16)
        assert {**two, "dishes": None}.items() >= {**expected, "dishes": None}.items()
        assert (bad["name"], bad["error"]["status"]) == ("bad.png", 422)
        assert (none["verdict"], none["dishes"]) == ("no dish", [])
        one = told(post("/v1/inspect", rack(250)))
        assert one["photos"][0]["verdict"] == "dirty"
        assert "heatmap" not in one["photos"][0]["dishes"][0]

        assert post("/v1/inspect", b"text").status == 422
        assert post("/v1/inspect", rack(250), Authorization="Bearer x").status == 401
        too_many, kind = form(*[("a.png", rack())] * 4)
        assert post("/v1/inspect", too_many, **kind).status == 413
        assert metric(server, "platecheck_photos_total", **key) == 5
        assert metric(server, "platecheck_dishes_total", **key) == 3
        described = told(ask(server, request("GET", "/v1/model", headers=key)))
        assert inspector.detector.id in json.dumps(described["detector"])


def test_service_without_a_detector_answers_404(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.onnx", classes=("a", "b"))
    with Server("--model", model) as server:
        answer = ask(server, request("POST", "/v1/inspect", rack(250), PNG))
        assert answer.status == 404
        assert b"no detector" in answer.body
        answer = ask(server, request("POST", "/v1/predict", rack(250), PNG))
        assert answer.status == 200


def test_service_counts_verdicts_and_labels(models: list[str | Path]) -> None:
    from starlette.testclient import TestClient

    from platecheck.serving import observability
    from platecheck.serving.app import create_app
    from platecheck.serving.settings import Settings

    def counts() -> Counter[tuple[str, str]]:
        return Counter(
            {
                (sample.name, sample.labels["answer"]): int(sample.value)
                for metric in (observability.PHOTOS, observability.DISHES)
                for family in metric.collect()
                for sample in family.samples
            }
        )

    app = create_app(Settings(model=models[1], detector=models[3]))
    with TestClient(app, "http://127.0.0.1:8000") as client:
        before = counts()
        files = [("photos", rack(250, 135)), ("photos", rack(135)), ("photos", b"x")]
        assert client.post("/v1/inspect", files=files).status_code == 200
        assert counts() - before == {
            ("platecheck_photos_total", "dirty"): 1,
            ("platecheck_photos_total", "clean"): 1,
            ("platecheck_photos_total", "error"): 1,
            ("platecheck_dishes_total", "dirty"): 1,
            ("platecheck_dishes_total", "clean"): 2,
        }
        example = app.openapi()["components"]["schemas"]["InspectResponse"]["example"]
        assert example["photos"][0]["verdict"] == "dirty"
    with pytest.raises(ModelError, match="inspect takes it as --detector"):
        create_app(Settings(model=models[3]))
