import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platecheck.data.yolo import read_boxes, read_label
from platecheck.errors import DataError
from tests.support.photos import png


def put(path: Path, text: str | None = None) -> Path:
    """A photo, or a text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if text is None:
        path.write_bytes(png())
    else:
        path.write_text(text)
    return path


def said(path: Path, text: str, **options: int) -> str:
    with pytest.raises(DataError) as caught:
        read_label(put(path, text), **options)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("photo", "label", "split"),
    [
        ("images/a.jpg", "labels/a.txt", "all"),
        ("images/train/a.jpg", "labels/train/a.txt", "train"),
        ("images/val/deep/a.jpg", "labels/val/deep/a.txt", "val"),
        ("valid/images/a.jpg", "valid/labels/a.txt", "val"),
    ],
)
def test_every_layout_is_read(tmp_path: Path, photo: str, label: str, split: str) -> None:
    put(tmp_path / photo)
    put(tmp_path / label, "3 0.5 0.5 0.2 0.4\n\n0 0.25 0.25 0.5 0.5\n")
    (found,) = read_boxes(tmp_path)
    assert found.path == tmp_path / photo
    assert found.split == split
    np.testing.assert_allclose(found.boxes, [(0.4, 0.3, 0.6, 0.7), (0, 0, 0.5, 0.5)], atol=1e-6)


def test_photo_without_label_file_has_no_boxes(tmp_path: Path) -> None:
    put(tmp_path / "images/a.jpg")
    put(tmp_path / "images/b.jpg")
    put(tmp_path / "labels/b.txt", "0 0.5 0.5 0.2 0.4")
    assert [len(each.boxes) for each in read_boxes(tmp_path)] == [0, 1]


@pytest.mark.parametrize("label", ["labels/a.TXT", "labels/b.txt", "labels/train/a.txt"])
def test_labels_that_belong_to_no_photo_are_an_error(tmp_path: Path, label: str) -> None:
    put(tmp_path / "images/a.jpg")
    put(tmp_path / label, "0 0.5 0.5 0.2 0.4")
    with pytest.raises(DataError, match=r"no photo in .* has a label file: of a\.jpg .* a\.txt"):
        read_boxes(tmp_path)


@pytest.mark.parametrize("beside", ["images/b.jpg", "images/kitchen/b.jpg"])
def test_photos_beside_the_splits_are_an_error(tmp_path: Path, beside: str) -> None:
    put(tmp_path / "images/train/a.jpg")
    put(tmp_path / "labels/train/a.txt", "")
    put(tmp_path / beside)
    with pytest.raises(DataError, match=r"1 photos beside it, such as .*b\.jpg"):
        read_boxes(tmp_path)


@pytest.mark.parametrize("names", ["plate", "{-1: plate}", "{1000000000: plate}", "3"])
def test_names_of_classes_that_are_no_list_are_an_error(tmp_path: Path, names: str) -> None:
    put(tmp_path / "images/a.jpg")
    put(tmp_path / "labels/a.txt", "")
    put(tmp_path / "data.yaml", f"names: {names}")
    with pytest.raises(DataError, match="no list of class names"):
        read_boxes(tmp_path)


def test_names_of_classes_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    put(tmp_path / "images/a.jpg")
    put(tmp_path / "labels/a.txt", "0 0.5 0.5 0.2 0.4\n1 0.5 0.5 0.2 0.4")
    put(tmp_path / "classes.txt", "\ufeffplate\ncup")
    assert len(read_boxes(tmp_path, ["plate"])[0].boxes) == 1


def test_outline_is_read_as_its_extent(tmp_path: Path) -> None:
    label = put(tmp_path / "a.txt", "0 0.1 0.2 0.5 0.1 0.3 0.9\n")
    np.testing.assert_allclose(read_label(label), [(0.1, 0.1, 0.5, 0.9)], atol=1e-6)


@pytest.mark.parametrize(
    "names",
    ["names: [fork, plate, glass]\n", "names: {0: fork, 1: plate, 2: glass}\nnc: 3\n"],
)
def test_classes_that_are_no_dishes_are_left_out(tmp_path: Path, names: str) -> None:
    put(tmp_path / "images/a.jpg")
    put(tmp_path / "labels/a.txt", "0 0.5 0.5 0.2 0.4\n1 0.5 0.5 0.5 0.5\n")
    put(tmp_path / "data.yaml", names)
    assert len(read_boxes(tmp_path)[0].boxes) == 2
    np.testing.assert_allclose(
        read_boxes(tmp_path, ["plate", "glass"])[0].boxes, [(0.25, 0.25, 0.75, 0.75)]
    )
    with pytest.raises(DataError, match="no class 'pan'; it has: fork, plate, glass"):
        read_boxes(tmp_path, ["pan"])


def test_class_without_a_name_is_an_error(tmp_path: Path) -> None:
    put(tmp_path / "images/a.jpg")
    put(tmp_path / "labels/a.txt", "7 0.5 0.5 0.2 0.4\n")
    put(tmp_path / "classes.txt", "plate\nglass\n")
    with pytest.raises(DataError, match=r"a\.txt, line 1: class 7 has no name: there are 2"):
        read_boxes(tmp_path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("plate 0.5 0.5 0.1 0.1", "not 'plate'"),
        ("-1 0.5 0.5 0.1 0.1", "not '-1'"),
        ("0 0.5 0.5 0.1", "not 4 fields"),
        ("0 0.5 0.5 0.1 0.1 0.9", "not 6 fields"),
        ("0 0.5 0.5 wide 0.1", "found '0.5 0.5 wide 0.1'"),
        ("0 0.5 nan 0.1 0.1", "not finite"),
        ("0 320 240 64 64", "outside the photo"),
        ("0 0.95 0.5 0.2 0.1", "outside the photo"),
        ("0 0.5 0.5 0 0.1", "no width"),
        ("0 0.5 0.5 0.1 -0.1", "no height"),
    ],
)
def test_malformed_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    message = said(tmp_path / "a.txt", f"0 0.5 0.5 0.1 0.1\n{line}\n")
    assert "line 2" in message
    assert reason in message


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ((), "has no images folder"),
        (("images/a.jpg",), "labels is missing"),
        (("train/images/a.jpg",), "labels is missing"),
    ],
)
def test_wrong_layout_is_explained(tmp_path: Path, files: tuple[str, ...], reason: str) -> None:
    for name in files:
        put(tmp_path / name)
    with pytest.raises(DataError, match=reason):
        read_boxes(tmp_path)
    with pytest.raises(DataError, match="not a folder"):
        read_boxes(tmp_path / "gone")


@given(st.text(st.sampled_from(string.digits + " .-en\t\n"), max_size=60))
def test_any_text_is_boxes_in_the_photo_or_an_error_with_its_line(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    label = tmp_path_factory.getbasetemp() / "any.txt"
    label.write_text(text)
    boxes, problem = np.zeros((0, 4)), ""
    try:
        boxes = read_label(label)
    except DataError as error:
        problem = str(error)
    assert not problem or "any.txt, line " in problem
    assert ((boxes >= 0) & (boxes <= 1)).all()
    assert (boxes[:, :2] < boxes[:, 2:]).all()


SHARES = st.floats(0.02, 0.98)


@given(st.lists(st.tuples(SHARES, SHARES, SHARES, SHARES), max_size=5))
def test_written_boxes_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[float, float, float, float]]
) -> None:
    boxes = [(x * (1 - w), y * (1 - h), w, h) for x, y, w, h in drawn]
    label = tmp_path_factory.getbasetemp() / "written.txt"
    lines = (f"0 {x + w / 2:.7f} {y + h / 2:.7f} {w:.7f} {h:.7f}" for x, y, w, h in boxes)
    label.write_text("\n".join(lines))
    expected = np.array([(x, y, x + w, y + h) for x, y, w, h in boxes]).reshape(-1, 4)
    np.testing.assert_allclose(read_label(label), expected, atol=1e-5)
