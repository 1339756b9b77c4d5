"""Pictures of every kind become the pixels that a person sees, or are refused with the reason."""

import errno
import os
import sys
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from hybridnets.data import decoding, pictures
from hybridnets.data.dataset import DataError
from hybridnets.data.decoding import DecodingError, Form, UnreadError, decode, decode_and_measure, thumbnail
from hybridnets.data.pictures import ImageFile, thumbnail_of

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20  # (H, W)
COLOUR = np.stack([GREY, GREY + 1, 255 - GREY], axis=-1)  # (H, W, 3)
NOISE = np.arange(40 * 40, dtype=np.uint32).reshape(40, 40) * 2654435761 >> 24 & 0xFF
AS_COLOUR, AS_GREY = Form(3, 3, 4), Form(1, 3, 4)


def saved(picture: Image.Image, kind: str, **options: object) -> BytesIO:
    file = BytesIO()
    picture.save(file, kind, **options)
    file.seek(0)
    return file


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_pixels_of_the_right_size_are_kept(kind: str) -> None:
    file = saved(Image.fromarray(COLOUR), kind, **({"lossless": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(decode(file, AS_COLOUR), COLOUR.transpose(2, 0, 1))


def test_a_jpeg_is_read_as_pillow_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(COLOUR).save(path, quality=95)
    np.testing.assert_array_equal(decode(path, AS_COLOUR), np.asarray(Image.open(path)).transpose(2, 0, 1))


def test_grey_and_colour_become_each_other() -> None:
    np.testing.assert_array_equal(decode(Image.fromarray(GREY), AS_COLOUR), np.stack([GREY] * 3))
    equal = np.stack([GREY] * 3, axis=-1)
    np.testing.assert_array_equal(decode(Image.fromarray(equal), AS_GREY), GREY[np.newaxis])


def test_of_sixteen_bits_the_upper_eight_are_kept() -> None:
    deep = GREY.astype(np.uint16) << 8 | 0x7F
    np.testing.assert_array_equal(decode(saved(Image.fromarray(deep), "PNG"), AS_GREY), GREY[np.newaxis])
    np.testing.assert_array_equal(decode(saved(Image.fromarray(deep), "TIFF"), AS_GREY), GREY[np.newaxis])


def test_a_palette_becomes_its_colours() -> None:
    picture = Image.fromarray(GREY // 20).convert("P")
    picture.putpalette([value for i in range(12) for value in (i, 2 * i, 3 * i)])
    expected = np.stack([GREY // 20 * factor for factor in (1, 2, 3)])
    np.testing.assert_array_equal(decode(saved(picture, "PNG"), AS_COLOUR), expected)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_are_white(mode: str) -> None:
    alpha = np.full((3, 4), 255, np.uint8)
    alpha[0] = 0
    if mode == "P":
        picture = Image.fromarray(np.where(alpha, 1, 0).astype(np.uint8)).convert("P")
        picture.putpalette([9, 9, 9, 20, 20, 20])
        file = saved(picture, "PNG", transparency=0)
    else:
        picture = Image.fromarray(np.full((3, 4), 20, np.uint8)).convert(mode)
        picture.putalpha(Image.fromarray(alpha))
        file = saved(picture, "PNG")
    np.testing.assert_array_equal(decode(file, AS_GREY), np.where(alpha, 20, 255)[np.newaxis])


def test_a_picture_is_turned_as_its_camera_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    file = saved(Image.fromarray(np.rot90(COLOUR)), "PNG", exif=exif)
    np.testing.assert_array_equal(decode(file, AS_COLOUR), COLOUR.transpose(2, 0, 1))


def test_other_sizes_are_cropped_padded_or_stretched() -> None:
    wide = np.zeros((2, 6), np.uint8)
    wide[:, 2:4] = 200
    picture = Image.fromarray(wide)
    np.testing.assert_array_equal(decode(picture, Form(1, 2, 2, "crop")), np.full((1, 2, 2), 200))
    padded = decode(Image.fromarray(np.full((2, 6), 200, np.uint8)), Form(1, 6, 6, "pad"))
    np.testing.assert_array_equal(padded[0, :, 0], [0, 0, 200, 200, 0, 0])
    stretched = decode(picture, Form(1, 2, 3, "stretch"))
    np.testing.assert_array_equal(stretched[0, 0] > 100, [False, True, False])


def test_the_size_before_is_that_of_the_upright_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels, size = decode_and_measure(saved(Image.fromarray(COLOUR), "PNG", exif=exif), Form(3, 2, 2))
    assert (pixels.shape, size) == ((3, 2, 2), (4, 3))


def test_a_thumbnail_fits_and_shows_the_pixels_of_a_small_picture() -> None:
    small = np.asarray(Image.open(BytesIO(thumbnail(Image.fromarray(COLOUR), 9))))
    np.testing.assert_array_equal(small, COLOUR.repeat(2, axis=0).repeat(2, axis=1))
    large = Image.open(BytesIO(thumbnail(Image.fromarray(NOISE.astype(np.uint8)).resize((400, 200)), 100)))
    assert (large.size, large.mode, large.format) == ((100, 50), "RGB", "PNG")
    with pytest.raises(DecodingError, match="not a PNG"):
        thumbnail(BytesIO(b"text"), 9)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a PNG, JPEG, WEBP, BMP or TIFF"),
        (b"not a picture", "not a PNG, JPEG, WEBP, BMP or TIFF"),
        (saved(Image.fromarray(NOISE.astype(np.uint8)), "PNG").getvalue()[:-60], "truncated"),
        (saved(Image.fromarray(GREY.astype(np.float32)), "TIFF").getvalue(), "32 bits"),
    ],
    ids=["empty", "text", "truncated", "float"],
)
def test_what_is_no_whole_picture_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(DecodingError, match=reason):
        decode(BytesIO(content), AS_COLOUR)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadError, match="No such file"):
        decode(tmp_path / "none.png", AS_COLOUR)


def test_without_pillow_one_sentence_has_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nobody asked before: run.predict("a.png"), and the page of an array's images."""
    monkeypatch.setattr(decoding, "needs_pillow", lambda: True)
    monkeypatch.setitem(sys.modules, "PIL", None)
    np.save(tmp_path / "a.npy", COLOUR[np.newaxis])
    path = tmp_path / "a.png"
    for call, what in (
        (lambda: decode(path, AS_COLOUR), str(path)),
        (lambda: thumbnail(path, 9), "a thumbnail"),
        (lambda: thumbnail_of(pictures.Image(ImageFile(tmp_path / "a.npy"), 0), 9), "an image as a picture"),
    ):
        with pytest.raises(DataError) as caught:
            call()
        assert str(caught.value) == f"{what} needs Pillow, which is not installed: pip install 'hybridnets[images]'"


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (MemoryError(), UnreadError, "memory is short"),
        (OSError(errno.EIO, "Input/output error"), UnreadError, "Input/output error"),
        (OSError(errno.ESTALE, "Stale file handle"), UnreadError, "Stale file handle"),
        (OSError(errno.EINVAL, "Invalid argument"), DecodingError, "Invalid argument"),  # a place before the file
        (OSError("image file is truncated"), DecodingError, "image file is truncated"),
        (SyntaxError("broken PNG file"), DecodingError, "broken PNG file"),
    ],
)
def test_a_fault_of_the_picture_is_told_from_one_that_may_pass(
    error: Exception, kind: type, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Image.Image, "convert", fail)
    with pytest.raises(DecodingError, match=reason) as caught:
        decode(saved(Image.fromarray(COLOUR), "PNG"), AS_COLOUR)
    assert type(caught.value) is kind


def test_a_pillow_without_webp_does_not_call_a_picture_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda name: name != "webp")
    with pytest.raises(UnreadError, match=r"not a PNG.* or TIFF, as far as a Pillow without webp can tell"):
        decode(BytesIO(b"a WebP"), AS_COLOUR)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DecodingError, match="it is no plain file"):
        decode(tmp_path / "pipe.png", AS_COLOUR)


def test_reading_in_threads_leaves_other_warnings_as_they_are() -> None:
    """Two pictures are read at the same time, and the first one ends first."""
    picture = Image.fromarray(COLOUR)
    with warnings.catch_warnings(action="error"):
        first, second = decoding._upright(picture), decoding._upright(picture)
        for enter in (first.__enter__, second.__enter__):
            enter()
        for leave in (first.__exit__, second.__exit__):
            leave(None, None, None)
        with pytest.raises(UserWarning, match="of another library"):
            warnings.warn("of another library", stacklevel=1)
