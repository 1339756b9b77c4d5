"""Which files a person's paths name, and how they become batches of pixels."""

import os
import unicodedata
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hybridnets.data import pictures
from hybridnets.data.decoding import Form, decode
from hybridnets.data.pictures import (
    ImageFile,
    count_images,
    describe_broken,
    find_files,
    misfit,
    read_batches,
    thumbnail_of,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 6, 5, 3), np.uint8)  # (N, H, W, C)
FORM = Form(3, 6, 5, "pad")


def save(path: Path, pixels: np.ndarray = PIXELS[0]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def names(*paths: Path) -> list[str]:
    return [file.path.name for file in find_files(paths)[0]]


def test_paths_keep_their_order_and_folders_are_sorted(tmp_path: Path) -> None:
    for name in ("c/b.png", "c/a.JPG", "c/z/y.webp", "c/d/x.tiff", "last.png", "c/d/.hidden.png", "c/.git/w.png"):
        save(tmp_path / name)
    np.save(tmp_path / "c" / "n.npy", PIXELS)
    (tmp_path / "c" / "notes.txt").touch()
    files, others = find_files([tmp_path / "last.png", tmp_path / "c"])
    assert [file.path.relative_to(tmp_path).as_posix() for file in files] == [
        *("last.png", "c/a.JPG", "c/b.png", "c/n.npy", "c/d/x.tiff", "c/z/y.webp")
    ]
    assert [file.group for file in files] == [None, None, None, None, "d", "z"]
    assert {file.named for file in find_files([tmp_path, tmp_path / "c" / ".."])[0]} == {tmp_path.name}
    assert others == [tmp_path / "c" / "notes.txt"]
    assert names(tmp_path / "c" / "b.png", tmp_path / "c" / "b.png", tmp_path / "last.png") == ["b.png", "last.png"]


def test_patterns_name_files_and_folders(tmp_path: Path) -> None:
    for name in ("a/2.png", "a/1.png", "b/deep/3.png", "b/4.bmp", "[x].png", ".h.png"):
        save(tmp_path / name)
    assert names(tmp_path / "*" / "*.png") == ["1.png", "2.png"]
    assert names(tmp_path / "**" / "*.png") == ["[x].png", "1.png", "2.png", "3.png"]
    assert names(tmp_path / "[ab]") == ["1.png", "2.png", "4.bmp", "3.png"]
    assert names(tmp_path / "[x].png") == ["[x].png"]  # a name that exists is no pattern


@pytest.mark.parametrize(
    "name", ["a b = c.png", "여우 사진.png", "ığüş İ.png", unicodedata.normalize("NFD", "여우.png")]
)
def test_names_of_any_letters(tmp_path: Path, name: str) -> None:
    save(tmp_path / name)
    assert names(tmp_path / name) == names(tmp_path) == names(tmp_path / "*.png") == [name]


def test_the_name_of_a_folder_is_one_however_it_was_typed(tmp_path: Path) -> None:
    save(tmp_path / unicodedata.normalize("NFD", "고양이") / "a.png")
    ((file,), _) = find_files([tmp_path])
    assert file.group == "고양이"


def test_links_are_followed_and_a_loop_ends(tmp_path: Path) -> None:
    save(tmp_path / "real" / "a.png")
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "cat").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "up").symlink_to(tmp_path / "top")
    ((file,), _) = find_files([tmp_path / "top"])
    assert (file.path.name, file.group) == ("a.png", "cat")


def test_a_link_that_is_no_loop_is_followed(tmp_path: Path) -> None:
    save(tmp_path / "a" / "x" / "1.png")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "y").symlink_to("../a/x")
    files, _ = find_files([tmp_path])
    assert [file.path.relative_to(tmp_path).as_posix() for file in files] == ["a/x/1.png", "b/y/1.png"]


def test_what_file_managers_leave_behind_is_ignored(tmp_path: Path) -> None:
    for name in ("1.png", "__MACOSX/1.png", "@eaDir/1.png"):
        save(tmp_path / name)
    (tmp_path / "Thumbs.db").touch()
    files, others = find_files([tmp_path])
    assert ([file.path.name for file in files], others) == (["1.png"], [])


def test_what_names_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"PATH not found: .*none\.png"):
        find_files([tmp_path / "none.png"])
    with pytest.raises(ValueError, match=r"no file matches PATH .*\*\.png"):
        find_files([tmp_path / "*.png"])
    (tmp_path / "text.txt").touch()
    with pytest.raises(ValueError, match=r"PATH must hold an image \(\.png.*\.npy\) if it is a folder, and"):
        find_files([tmp_path])


def test_batches_have_the_decoded_pixels_and_a_limited_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "EVALUATION_BATCH_SIZE", 3)
    paths = [save(tmp_path / f"{i}.png", PIXELS[i]) for i in range(4)]
    paths.append(save(tmp_path / "wide.png", PIXELS[0].repeat(2, axis=1)))
    np.save(tmp_path / "last.npy", PIXELS)
    np.save(tmp_path / "first.npy", PIXELS.transpose(0, 3, 1, 2))
    files, _ = find_files([*paths, tmp_path / "last.npy", tmp_path / "first.npy"])
    assert count_images(files) == 5 + 7 + 7
    broken: dict[Path, str] = {}
    batches = list(read_batches(files, FORM, broken))
    assert broken == {}
    assert [len(batch.images) for batch in batches] == [3, 2, 3, 3, 1, 3, 3, 1]
    assert [batch.resized for batch in batches] == [0, 1, 0, 0, 0, 0, 0, 0]
    expected = [*map(str, paths), *(f"{tmp_path}/{name}.npy[{i}]" for name in ("last", "first") for i in range(7))]
    assert [image.name for batch in batches for image in batch.images] == expected
    np.testing.assert_array_equal(batches[0].pixels, PIXELS[:3].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(batches[1].pixels[1], decode(paths[-1], FORM))
    np.testing.assert_array_equal(np.concatenate([batch.pixels for batch in batches[2:5]]), PIXELS)


@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_array_of_another_size_is_resized_as_pictures_are(
    tmp_path: Path, channels: int, channels_first: bool
) -> None:
    images = PIXELS.repeat(2, axis=1)[..., :channels]  # (7, 12, 5, channels)
    np.save(tmp_path / "a.npy", images.transpose(0, 3, 1, 2) if channels_first else images)
    broken: dict[Path, str] = {}
    (batch,) = read_batches([ImageFile(tmp_path / "a.npy")], FORM, broken)
    assert (broken, batch.resized) == ({}, 7)
    expected = decode(Image.fromarray(images[2] if channels == 3 else images[2, ..., 0]), FORM)
    np.testing.assert_array_equal(batch.pixels[2], expected)


def test_broken_files_are_left_out_and_named(tmp_path: Path) -> None:
    good = save(tmp_path / "good.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "half.png").write_bytes(good.read_bytes()[:-40])
    (tmp_path / "folder.png").mkdir()
    np.save(tmp_path / "float.npy", PIXELS.astype(np.float32))
    np.save(tmp_path / "flat.npy", PIXELS[..., 0])
    np.save(tmp_path / "none.npy", PIXELS[:0])
    np.save(tmp_path / "objects.npy", np.array([{}]))
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    order = ["empty.png", "good.png", "text.jpg", "half.png", "folder.png", "gone.png", "float.npy", "flat.npy"]
    files = [ImageFile(tmp_path / name) for name in [*order, "none.npy", "objects.npy", "text.npy"]]
    broken: dict[Path, str] = {}
    batches = list(read_batches(files, FORM, broken))
    assert [image.name for batch in batches for image in batch.images] == [str(good)]
    assert count_images(files) == 6 + 7 + 7 + 0 + 1 + 1
    kind = "it is not a PNG, JPEG, WEBP, BMP or TIFF"
    rule = "its images must be uint8 of shape (B, 3, 6, 5) or (B, 6, 5, 3), got"
    no_array = "it is no complete .npy of uint8 images (ValueError)"
    reasons = {path.name: reason for path, reason in broken.items()}
    assert "truncated" in reasons.pop("half.png")
    assert reasons == {
        "empty.png": kind,
        "text.jpg": kind,
        "folder.png": "it is no plain file",
        "gone.png": "No such file or directory",
        "float.npy": f"{rule} float32 of (7, 6, 5, 3)",
        "flat.npy": f"{rule} uint8 of (7, 6, 5)",
        "none.npy": "it holds no image",
        "objects.npy": no_array,
        "text.npy": no_array,
    }


def test_an_array_whose_images_cannot_be_resized_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "EVALUATION_BATCH_SIZE", 3)
    resize = Image.Image.resize
    calls = []

    def failing(*settings: object, **more: object) -> object:
        calls.append(0)
        if len(calls) == 5:
            raise MemoryError
        return resize(*settings, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "resize", failing)
    np.save(tmp_path / "wide.npy", PIXELS.repeat(2, axis=2))
    np.save(tmp_path / "good.npy", PIXELS)
    broken: dict[Path, str] = {}
    files = [ImageFile(tmp_path / "wide.npy"), ImageFile(tmp_path / "good.npy")]
    batches = list(read_batches(files, Form(3, 6, 5, "stretch"), broken))
    assert broken == {tmp_path / "wide.npy": "its image 4: memory is short"}
    expected = [*(f"wide.npy[{i}]" for i in (0, 1, 2, 3, 5, 6)), *(f"good.npy[{i}]" for i in range(7))]
    assert [Path(image.name).name for batch in batches for image in batch.images] == expected


def test_one_sentence_names_the_first_broken_files() -> None:
    broken = {f"{i}.png": f"reason {i}" for i in range(1005)}
    assert describe_broken(broken) == (
        "1,005 files cannot be used: 0.png (reason 0), 1.png (reason 1), 2.png (reason 2) and 1,002 more"
    )
    assert describe_broken({"a": "b", "c": "d"}) == "2 files cannot be used: a (b), c (d)"
    assert describe_broken({"a": "b"}) == "a cannot be used: b"


def test_pictures_have_one_channel_or_three(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"images of 4 channels, as the run's are, must be in a \.npy, got"):
        list(read_batches([ImageFile(save(tmp_path / "a.png"))], Form(4, 6, 5), {}))
    np.save(tmp_path / "four.npy", np.zeros((2, 4, 6, 5), np.uint8))
    (batch,) = read_batches([ImageFile(tmp_path / "four.npy")], Form(4, 6, 5), {})
    assert batch.pixels.shape == (2, 4, 6, 5)


def test_arrays_of_either_order_fit() -> None:
    assert misfit(np.dtype("uint8"), (9, 3, 6, 5), FORM) == misfit("torch.uint8", (9, 6, 5, 3), FORM) == ""
    assert misfit("int64", (9, 3, 6, 5), FORM).endswith("got int64 of (9, 3, 6, 5)")


def test_an_image_of_a_file_or_of_an_array_can_be_looked_at(tmp_path: Path) -> None:
    file = ImageFile(save(tmp_path / "a.png", PIXELS[1]))
    np.save(tmp_path / "a.npy", PIXELS.transpose(0, 3, 1, 2))
    for image in (pictures.Image(file), pictures.Image(ImageFile(tmp_path / "a.npy"), 1)):
        np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(thumbnail_of(image, 6)))), PIXELS[1])


def test_an_array_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Neither where images are counted for the bar, nor where they are read."""
    os.mkfifo(tmp_path / "pipe.npy")
    files, broken = [ImageFile(tmp_path / "pipe.npy")], dict[Path, str]()
    assert count_images(files) == 1
    assert list(read_batches(files, FORM, broken)) == []
    assert broken == {tmp_path / "pipe.npy": "it is no plain file"}
