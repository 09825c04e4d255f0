"""A folder of image files comes out in one shape, whatever their sizes, modes and orientations; bad files are named."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_files import Bytes, encoded, loaded, noise, pixels, png_of_16_bits, refusal
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image, ImageOps
from torchvision.datasets import ImageFolder
from torchvision.transforms import CenterCrop, Compose, Resize

from benchsuite import Preparation
from benchsuite.errors import DataMissingError, ParameterError
from benchsuite.kit import images
from benchsuite.kit.images import ImageFile, View, decoded
from benchsuite.kit.store import read_manifest
from benchsuite_plugins.datasets import folder as folder_module
from benchsuite_plugins.datasets.folder import Folder

SIDE = 16
RGB, GREY = View(SIDE, 3), View(SIDE, 1)
COLOURS = noise(SIDE, SIDE, 3)
SHADES = noise(SIDE, SIDE, seed=1)


def view_of(data: bytes, view: View = RGB) -> Bytes:
    """What is kept of an image file, (H, W) or (H, W, 3). Raises AssertionError with the reason for a bad one."""
    (block,) = decoded([ImageFile("the file", "train", lambda: data)], view)
    assert not block.bad, block.bad
    return block.images[0].transpose(1, 2, 0).squeeze()


def why_not(data: bytes, view: View = RGB) -> str:
    """The reason why an image file is bad."""
    (block,) = decoded([ImageFile("the file", "train", lambda: data)], view)
    ((name, reason),) = block.bad
    assert (name, len(block.images)) == ("the file", 0)
    return reason


# Files and modes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "options"),
    [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("PPM", {}), ("TGA", {})]
    + [("WEBP", {"lossless": True}), ("JPEG2000", {})],
)
def test_lossless_formats_keep_every_bit(format: str, options: dict[str, Any]) -> None:
    assert np.array_equal(view_of(encoded(COLOURS, format, **options)), COLOURS)


def test_an_animation_is_its_first_frame() -> None:
    frames = [Image.fromarray(SHADES), Image.fromarray(255 - SHADES)]
    moving = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert getattr(Image.open(io.BytesIO(moving)), "n_frames", 1) == 2
    assert np.array_equal(view_of(moving, GREY), SHADES)


@pytest.mark.parametrize(("format", "type_"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2")])
def test_grey_of_16_bits_is_rounded_to_8_where_pillow_would_clip(format: str, type_: str) -> None:
    values = np.arange(2**16).reshape(256, 256)
    data = encoded(Image.fromarray(values.astype(type_)), format)
    image = Image.open(io.BytesIO(data))
    assert image.mode.startswith("I;16")
    assert not np.array_equal(np.asarray(image.convert("L")), np.rint(values / 257))
    assert np.array_equal(view_of(data, View(256, 1)), np.rint(values / 257))
    assert np.array_equal(view_of(data, View(256, 3)), np.rint(values / 257)[..., None].repeat(3, axis=2))


def test_colours_of_16_bits_are_within_one_of_8() -> None:
    values = np.random.default_rng(0).integers(0, 2**16, (SIDE, SIDE, 3))
    assert np.abs(view_of(png_of_16_bits(values.astype(np.uint16))) - values / 257).max() < 1


def test_palettes_are_looked_up_and_their_transparent_entry_is_white() -> None:
    palette = noise(256, 3)
    image = Image.fromarray(SHADES).copy()
    image.putpalette(palette.tobytes())
    assert image.mode == "P"
    assert np.array_equal(view_of(encoded(image)), palette[SHADES])
    entry = int(SHADES[3, 5])
    palette[entry] = 255
    assert np.array_equal(view_of(encoded(image, transparency=entry)), palette[SHADES])


@pytest.mark.parametrize("colours", [COLOURS, SHADES], ids=["RGBA", "LA"])
def test_what_is_transparent_shows_white(colours: Bytes) -> None:
    alpha = noise(SIDE, SIDE, seed=2)
    alpha[0], alpha[1] = 0, 255
    data = encoded(np.dstack([colours, alpha]))
    assert Image.open(io.BytesIO(data)).mode in ("RGBA", "LA")
    colours = colours if colours.ndim == 3 else colours[..., None].repeat(3, axis=2)
    share = alpha[..., None] / 255
    seen = view_of(data).astype(float)
    assert np.array_equal(seen[0], np.full((SIDE, 3), 255)) and np.array_equal(seen[1], colours[1])
    assert np.abs(seen - (share * colours + (1 - share) * 255)).max() <= 1


def test_the_colour_that_stands_for_transparency_is_white() -> None:
    red, green, blue = COLOURS[4, 7].tolist()
    expected = COLOURS.copy()
    expected[4, 7] = 255
    assert np.array_equal(view_of(encoded(COLOURS, transparency=(red, green, blue))), expected)


def test_one_bit_is_black_or_white() -> None:
    bits = SHADES > 127
    assert np.array_equal(view_of(encoded(Image.fromarray(bits)), GREY), bits * 255)


@pytest.mark.parametrize(
    ("ink", "colour"), [((0, 255, 255, 0), (255, 0, 0)), ((255, 0, 255, 0), (0, 255, 0)), ((0, 0, 0, 255), (0, 0, 0))]
)
def test_cmyk_jpegs_are_seen_as_they_are_printed(ink: tuple[int, ...], colour: tuple[int, ...]) -> None:
    seen = view_of(encoded(Image.new("CMYK", (SIDE, SIDE), ink), "JPEG"))
    assert np.abs(seen.astype(int) - colour).max() <= 3


def test_grey_of_colours_is_their_luma() -> None:
    """0.299 R + 0.587 G + 0.114 B, ITU-R BT.601."""
    assert np.abs(view_of(encoded(COLOURS), GREY) - COLOURS @ [0.299, 0.587, 0.114]).max() < 1


UPRIGHT: dict[int, Callable[[Bytes], Bytes]] = {  # by the EXIF standard: where the first row and column are to be seen
    1: lambda stored: stored,  # top, left
    2: lambda stored: stored[:, ::-1],  # top, right
    3: lambda stored: stored[::-1, ::-1],  # bottom, right
    4: lambda stored: stored[::-1],  # bottom, left
    5: lambda stored: stored.swapaxes(0, 1),  # left, top
    6: lambda stored: stored.swapaxes(0, 1)[:, ::-1],  # right, top
    7: lambda stored: stored.swapaxes(0, 1)[::-1, ::-1],  # right, bottom
    8: lambda stored: stored.swapaxes(0, 1)[::-1],  # left, bottom
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_images_stand_upright_whatever_way_the_camera_was_held(format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(COLOURS, format, exif=exif, **options)
    stored = np.asarray(Image.open(io.BytesIO(encoded(COLOURS, format, **options))))  # JPEG has changed them
    assert np.array_equal(view_of(data), UPRIGHT[orientation](stored))
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(view_of(data), ImageOps.exif_transpose(image))


# Sizes ---------------------------------------------------------------------------------------------------------------


@given(
    st.tuples(st.integers(1, 80), st.integers(1, 80)), st.integers(1, 40), st.sampled_from([1, 3]), st.integers(0, 9)
)
@settings(deadline=None, max_examples=60)
def test_larger_and_smaller_images_are_resized_and_cropped_as_by_torchvision(
    shape: tuple[int, int], size: int, channels: int, seed: int
) -> None:
    original = Image.fromarray(noise(*shape, *([3] if channels == 3 else []), seed=seed))
    expected = np.asarray(Compose([Resize(size), CenterCrop(size)])(original))
    assert np.array_equal(view_of(encoded(original), View(size, channels)), expected.squeeze())


@given(st.integers(1, 30), st.integers(0, 12), st.integers(0, 12), st.integers(1, 40))
@settings(deadline=None, max_examples=60)
def test_a_crop_is_the_centred_square_of_the_original_resized(crop: int, left: int, top: int, size: int) -> None:
    original = Image.fromarray(noise(crop + 2 * top, crop + 2 * left, 3))
    square = original.crop((left, top, left + crop, top + crop))
    expected = np.asarray(square.resize((size, size), Image.Resampling.BILINEAR))
    assert np.array_equal(view_of(encoded(original), View(size, 3, crop)), expected.squeeze())


# Bad files -----------------------------------------------------------------------------------------------------------

JPEG = encoded(noise(64, 64, 3), "JPEG")
DEEP = Image.fromarray(np.array([[0, 70_000], [1, 2]], np.int32))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"these are words", "it is no image, or none of a known format"),
        (b"", "it is no image, or none of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "it is no image, or none of a known"),
        (JPEG[: len(JPEG) // 2], "image file is truncated"),
        (JPEG[:3], "it is no image, or none of a known format"),
        (encoded(COLOURS)[:-100], "image file is truncated"),
        (encoded(Image.fromarray(np.ones((9, 9), np.float32)), "TIFF"), "it holds floating-point pixels, whose range"),
        (encoded(DEEP, "TIFF"), "it holds values from 0 to 70000; save it with 8 or 16 bits"),
    ],
    ids=["text", "no bytes", "PostScript", "half a JPEG", "three bytes", "cut PNG", "floats", "32 bits"],
)
def test_what_is_no_image_or_damaged_says_so(data: bytes, reason: str) -> None:
    assert why_not(data).startswith(reason)


def test_no_file_is_handed_to_another_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would run Ghostscript for PostScript, whatever the name of its file."""
    called: list[Any] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *arguments: called.append(arguments))
    why_not(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    assert called == []


def test_an_image_smaller_than_the_crop_is_refused() -> None:
    data = encoded(noise(30, 20, 3))
    assert why_not(data, View(8, 3, 21)) == "it has 20 x 30 pixels, fewer than the crop of 21"
    assert view_of(data, View(8, 3, 20)).shape == (8, 8, 3)


def test_what_a_reader_raises_is_the_reason_and_the_others_are_read() -> None:
    def unreadable() -> bytes:
        raise PermissionError("Permission denied")

    files = [ImageFile(str(n), "train", lambda: encoded(COLOURS), label=n) for n in range(4)]
    files[1] = replace(files[1], read=unreadable)
    (block,) = decoded(files, RGB)
    assert block.bad == (("1", "Permission denied"),)
    assert block.labels is not None and block.labels.tolist() == [0, 2, 3]
    assert len(block.images) == 3


# Folders -------------------------------------------------------------------------------------------------------------


def filled(root: Path, files: dict[str, bytes]) -> Path:
    """A folder of ``files``, by their names relative to it."""
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def shade(value: int) -> bytes:
    """An image that can be told by its one shade."""
    return encoded(Image.new("L", (20, 24), value))


def folder(root: Path, **options: Any) -> Folder:
    return Folder(path=str(root), **{"size": 8, **options})


def shades(dataset: Folder, cache: Path, **work: Any) -> list[int]:
    """The shade of each image, in the order of the store."""
    loaded(dataset, cache, **work)
    stored = np.load(dataset.store_folder(cache) / "images.npy")
    assert bool((stored == stored[:, :1, :1, :1]).all())
    return stored[:, 0, 0, 0].tolist()


@pytest.mark.parametrize(
    "names",
    [["1.png", "10.png", "2.png"], ["a/b/c/1.png", "a/b/d.png", "e.png"], ["a/1.png", "b.png", "b/2.png"]]
    + [["a/1.png", "a/2.png", "a/3/4.png"]],
    ids=["flat", "nested", "one beside the folders", "one folder"],
)
def test_images_come_in_the_order_of_their_names_without_classes(names: list[str], tmp_path: Path) -> None:
    root = filled(tmp_path / "root", {name: shade(50 * n) for n, name in reversed(list(enumerate(names)))})
    assert shades(folder(root), tmp_path) == [0, 50, 100]
    assert folder(root).load("train", tmp_path).labels is None


def test_subfolders_are_classes_as_torchvision_has_them(tmp_path: Path) -> None:
    names = [f"{kind}/{deeper}{n}.png" for kind in ("dog", "Cat", "ox") for deeper in ("", "x/") for n in range(8)]
    root = filled(tmp_path / "root", {name: shade(5 * n) for n, name in enumerate(names)})
    oracle = ImageFolder(root)
    train, test = loaded(folder(root), tmp_path)
    stored = np.load(folder(root).store_folder(tmp_path) / "labels.npy")
    assert sorted(zip(shades(folder(root), tmp_path), stored.tolist(), strict=True)) == sorted(
        (image.getpixel((0, 0))[0], label) for image, label in oracle
    )
    assert list(train.label_names) == oracle.classes == ["Cat", "dog", "ox"]
    assert train.n_classes == test.n_classes == 3
    assert test.labels is not None and test.labels.tolist() == [0, 2]


@pytest.mark.parametrize("valid", ["val", "valid", "validation"])
def test_folders_called_train_and_test_are_the_official_split_and_classes_lie_below(valid: str, tmp_path: Path) -> None:
    names = [f"{part}/{kind}/{n}.png" for part in ("train", valid, "test") for kind in ("a", "b") for n in range(3)]
    root = filled(tmp_path / "root", {name: shade(10 * n) for n, name in enumerate(names)})
    train, test = loaded(folder(root, split="official"), tmp_path)
    for samples, first in ((train, 0), (test, 120)):
        assert pixels(samples)[:, 0, 0, 0].tolist() == list(range(first, first + 60, 10))
        assert samples.labels is not None and samples.labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert samples.label_names == ("a", "b")
    assert shades(folder(root), tmp_path) == list(range(0, 180, 10))  # every one of them


def test_a_folder_without_parts_has_no_official_split(tmp_path: Path) -> None:
    root = filled(tmp_path / "root", {"train/1.png": shade(1), "other/1.png": shade(2)})
    loaded(folder(root), tmp_path)
    with pytest.raises(ParameterError, match="split='official' is not allowed, since .* has no split of its own"):
        folder(root, split="official").content(tmp_path)


def test_whatever_lies_about_is_ignored_and_only_what_is_not_hidden_is_mentioned(tmp_path: Path) -> None:
    rubbish = [".DS_Store", ".hidden.png", "__MACOSX/._1.png", ".git/2.png", "a/.thumbnails/1.png"]
    seen = ["Thumbs.db", "notes.txt", "a/list.TXT", "README", "labels.h5", "clip.mpg", "figure.eps"]
    good = {"1.PNG": shade(1), "2.JpEg": encoded(Image.new("L", (9, 9), 2), "JPEG"), "a/3.jpg": shade(3)}
    root = filled(tmp_path / "root", good | dict.fromkeys(rubbish + seen, b"rubbish"))
    (root / "folder.png").mkdir()
    told: list[str] = []
    assert shades(folder(root), tmp_path, say=told.append) == [1, 2, 3]
    assert len(told) == 1 and told[0].startswith(f"folder[path={root},size=8]: ignored what is no image (2 .txt, ")
    again: list[str] = []
    clean = filled(tmp_path / "clean", good | dict.fromkeys(rubbish, b"rubbish"))
    loaded(folder(clean), tmp_path, say=again.append)
    assert again == []


def test_links_to_files_and_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    elsewhere = filled(tmp_path / "elsewhere", {"1.png": shade(1), "b/2.png": shade(2), "b/3.png": shade(3)})
    root = filled(tmp_path / "root", {"a/0.png": shade(0)})
    (root / "a" / "1.png").symlink_to(elsewhere / "1.png")
    (root / "b").symlink_to(elsewhere / "b")
    (elsewhere / "b" / "back").symlink_to(root)
    (root / "a" / "itself").symlink_to(root / "a")
    (tmp_path / "link").symlink_to(root)
    assert shades(folder(tmp_path / "link"), tmp_path) == [0, 1, 2, 3]


def test_a_link_to_nowhere_is_a_bad_image(tmp_path: Path) -> None:
    root = filled(tmp_path / "root", {"1.png": shade(1)})
    (root / "2.png").symlink_to("nowhere.png")
    assert "1 of 2 images, unreadable: 2.png: [Errno 2] No such file" in refusal(folder(root), tmp_path)


def test_names_may_hold_spaces_and_any_letters(tmp_path: Path) -> None:
    names = ["a b/ü 1.png", "a b/图.png", "été/ß'\".png"]
    root = filled(tmp_path / "my root", {name: shade(n) for n, name in enumerate(names)} | {"été/x y.png": b""})
    message = refusal(folder(root), tmp_path)
    assert "été/x y.png: it is no image" in message
    assert message.endswith(f"or leave them out: benchsuite prepare 'folder[path={root},size=8]' --skip-bad")
    assert shades(folder(root), tmp_path, skip_bad=True) == [0, 1, 2]
    assert folder(root).load("train", tmp_path).label_names == ("a b", "été")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that are not text")
def test_names_that_are_not_text_are_read_all_the_same(tmp_path: Path) -> None:
    root = filled(tmp_path / "root", {"2.png": shade(2)})
    (root / os.fsdecode(b"\xff.png")).write_bytes(shade(255))
    assert shades(folder(root), tmp_path) == [2, 255]
    assert folder(root).content(tmp_path)


def test_sizes_modes_and_formats_may_be_mixed(tmp_path: Path) -> None:
    grey, colour = Image.fromarray(noise(30, 50)), Image.fromarray(noise(5, 90, 3))
    made = {f"{mode}.png": encoded(colour.convert(mode)) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")}
    made |= {"16.png": encoded(Image.fromarray(noise(40, 40).astype(np.uint16) * 257)), "a.gif": encoded(grey, "GIF")}
    made |= {"cmyk.jpg": encoded(colour.convert("CMYK"), "JPEG"), "grey.jpeg": encoded(grey, "JPEG")}
    made |= {"one.webp": encoded(colour, "WEBP"), "b.bmp": encoded(colour, "BMP"), "c.tif": encoded(grey, "TIFF")}
    root = filled(tmp_path / "root", made)
    for channels in (1, 3):
        train, test = loaded(folder(root, size=33, channels=channels), tmp_path)
        assert (train.shape, len(train) + len(test)) == ((channels, 33, 33), len(made))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a/.hidden.png": shade(1)}, "no images in ROOT or below it, no files; known are .png, .jpg, .webp"),
        ({"1.txt": b"", "a/2.csv": b""}, "no images in ROOT or below it, only 2 files of other kinds"),
        (None, "there is no folder ROOT; select one with folder[path=DIR]"),
    ],
)
def test_a_folder_without_images_is_refused(files: dict[str, bytes] | None, message: str, tmp_path: Path) -> None:
    root = tmp_path / "root" if files is None else filled(tmp_path / "root", files)
    assert refusal(folder(root), tmp_path).startswith(message.replace("ROOT", str(root)))


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    root = filled(tmp_path, {"1.png": shade(1)}) / "1.png"
    assert f"there is no folder {root}" in refusal(folder(root), tmp_path)


def test_a_folder_that_cannot_be_listed_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, scandir = filled(tmp_path / "root", {"1.png": shade(1), "closed/2.png": shade(2)}), os.scandir

    def listed(path: Any) -> Any:
        if str(path) == str(root / "closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", listed)
    message = refusal(folder(root), tmp_path)
    assert f"cannot list the images in {root}: [Errno 13] Permission denied" in message and "closed" in message


def test_bad_images_among_good_ones_are_named_five_at_most_or_left_out(tmp_path: Path) -> None:
    good = {f"{kind}/{n}.png": shade(10 * n) for kind in ("a", "b") for n in range(10)}
    bad = {f"a/{n}.png": b"words" for n in range(3, 8)} | {"b/0.jpg": JPEG[:-200], "b/9.png": b""}
    root = filled(tmp_path / "root", good | bad)
    message = refusal(folder(root), tmp_path)
    assert "because of 7 of 21 images, unreadable: a/3.png: it is no image" in message
    assert message.count(".png: ") == 5 and "a/7.png: " in message and "; and 2 others; repair or remove" in message
    told: list[str] = []
    assert shades(folder(root), tmp_path, skip_bad=True, say=told.append) == [0, 10, 20, 80, 90, *range(0, 90, 10)]
    assert len(told) == 1 and "left out 7 of 21 images, unreadable: a/3.png: " in told[0]
    labels = np.load(folder(root).store_folder(tmp_path) / "labels.npy")
    manifest = read_manifest(folder(root).store_folder(tmp_path))
    assert labels.tolist() == [0] * 5 + [1] * 9
    assert manifest is not None and (manifest.skipped, len(manifest)) == (7, 14)


def test_the_search_for_bad_images_ends_when_there_are_plenty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_BLOCK", 8)
    bad = [f"{n:03d}.png" for n in range(25)]
    root = filled(tmp_path / "root", {f"{n:03d}.png": shade(n) for n in range(60)} | dict.fromkeys(bad, b""))
    assert "because of 24 or more of 60 images" in refusal(folder(root), tmp_path)
    assert shades(folder(root), tmp_path, skip_bad=True) == list(range(25, 60))


def test_a_folder_of_nothing_but_bad_images_is_refused_even_if_they_may_be_left_out(tmp_path: Path) -> None:
    root = filled(tmp_path / "root", {"1.png": b"", "2.png": b""})
    assert "of 2 images 0 can be read; training and testing need one each" in refusal(
        folder(root), tmp_path, skip_bad=True
    )


def test_an_image_smaller_than_the_crop_is_named_and_one_smaller_than_the_size_enlarged(tmp_path: Path) -> None:
    root = filled(tmp_path / "root", {"large.png": encoded(noise(30, 30, 3)), "small.png": encoded(noise(12, 30, 3))})
    message = refusal(folder(root, crop=20), tmp_path)
    assert "1 of 2 images, unreadable: small.png: it has 30 x 12 pixels, fewer than the crop of 20" in message
    assert loaded(folder(root, size=64), tmp_path)[0].shape == (3, 64, 64)


def test_the_fingerprint_is_of_the_images_and_their_names_not_of_their_place(tmp_path: Path) -> None:
    files = {"a/1.png": shade(1), "b/2.png": shade(2), "b/4.png": shade(4)}

    def content(place: str, files: dict[str, bytes], **options: Any) -> str:
        dataset = folder(filled(tmp_path / place, files), **options)
        dataset.prepare(tmp_path, Preparation(skip_bad=True))
        return dataset.content(tmp_path)

    here = content("here", files)
    others = [
        content("pixel", files | {"b/2.png": shade(3)}),
        content("name", {"a/1.png": shade(1), "b/3.png": shade(2), "b/4.png": shade(4)}),
        content("class", {"a/1.png": shade(1), "c/2.png": shade(2), "c/4.png": shade(4)}),
        content("fewer", {"a/1.png": shade(1), "b/2.png": shade(2)}),
        content("another class", files | {"0/bad.png": b""}),
        content("no classes", files | {"bad.png": b""}),
        *(content("here", files, size=9), content("here", files, channels=1), content("here", files, crop=5)),
    ]
    assert content("elsewhere", files) == here == content("with a bad one", files | {"a/0.png": b""})
    assert len({here, *others}) == 1 + len(others)


@pytest.mark.parametrize(
    "change",
    [
        lambda root: filled(root, {"a/9.png": shade(9)}),
        lambda root: (root / "a/1.png").unlink(),
        lambda root: filled(root, {"a/1.png": shade(9)}),
    ],
)
def test_a_folder_that_has_changed_has_to_be_prepared_again(change: Callable[[Path], Any], tmp_path: Path) -> None:
    root = filled(tmp_path / "root", {f"a/{n}.png": shade(n) for n in range(4)})
    loaded(folder(root), tmp_path)
    before = folder(root).content(tmp_path)
    change(root)
    with pytest.raises(DataMissingError) as error:
        folder(root).content(tmp_path)
    assert f"has changed since it was prepared; run: benchsuite prepare 'folder[path={root},size=8]'" in str(
        error.value
    )
    expected = [Image.open(path).getpixel((0, 0)) for path in sorted(root.rglob("*.png"))]
    assert shades(folder(root), tmp_path) == expected
    assert folder(root).content(tmp_path) != before


def test_a_folder_that_is_gone_leaves_the_store_as_it_is(tmp_path: Path) -> None:
    root = filled(tmp_path / "root", {"1.png": shade(1), "2.png": shade(2)})
    loaded(folder(root), tmp_path)
    before = folder(root).content(tmp_path)
    shutil.rmtree(root)
    assert folder(root).content(tmp_path) == before
    assert len(folder(root).load("train", tmp_path)) == 1


@pytest.mark.parametrize("change", [".DS_Store", "a/notes.txt", "runs/one/run.json", "a/new/.hidden.png"])
def test_what_is_no_image_does_not_change_a_folder(change: str, tmp_path: Path) -> None:
    root = filled(tmp_path / "root", {f"a/{n}.png": shade(n) for n in range(4)})
    loaded(folder(root), tmp_path)
    before = folder(root).content(tmp_path)
    filled(root, {change: b"{}"})
    assert folder(root).content(tmp_path) == before


def test_the_pictures_of_a_run_in_the_folder_are_no_data(tmp_path: Path) -> None:
    root = filled(tmp_path / "root", {f"{n}.png": shade(n) for n in range(4)})
    filled(root, {"runs/one/run.json": b"{}", "runs/one/cells/a/samples.png": shade(200)})
    assert shades(folder(root), tmp_path) == [0, 1, 2, 3]


def test_an_image_added_while_the_folder_is_read_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = filled(tmp_path / "root", {f"{n}.png": shade(n) for n in range(4)})
    listed = folder_module.images_below

    def slow(path: Path) -> Any:
        found = listed(path)
        filled(root, {f"later-{len(list(root.iterdir()))}.png": shade(9)})
        return found

    monkeypatch.setattr(folder_module, "images_below", slow)
    folder(root).prepare(tmp_path, Preparation())
    monkeypatch.undo()
    with pytest.raises(DataMissingError, match="has changed since it was prepared"):
        folder(root).content(tmp_path)


def test_without_test_images_the_validation_images_are_for_testing(tmp_path: Path) -> None:
    files = {f"{part}/{label}/{n}.png": shade(n) for part in ("train", "val") for label in "ab" for n in range(3)}
    root = filled(tmp_path / "root", files)
    train, test = loaded(folder(root, split="official"), tmp_path)
    assert (len(train), len(test), train.label_names) == (6, 6, ("a", "b"))


@pytest.mark.parametrize("stray", ["preview.png", "unlabelled/1.png"])
def test_folders_of_parts_are_no_classes_and_what_spoils_the_split_is_named(stray: str, tmp_path: Path) -> None:
    files = {f"{part}/{n}.png": shade(n) for part in ("train", "test") for n in range(3)}
    root = filled(tmp_path / "root", files | {stray: shade(9)})
    said: list[str] = []
    folder(root).prepare(tmp_path, Preparation(say=said.append))
    assert f"its folders are no parts of an official split, since {stray} is in none of them" in said[0]
    assert folder(root).load("train", tmp_path).label_names == ()


def test_links_in_circles_pipes_and_deep_folders_neither_stop_nor_hang_it(tmp_path: Path) -> None:
    root = filled(tmp_path / "root", {f"{n}.png": shade(n) for n in range(3)})
    (root / "self").symlink_to("self")
    (root / "nowhere.png").symlink_to("nothing")
    os.mkfifo(root / "pipe.png")
    deep = root
    for _ in range(300):
        deep = deep / "d"
        deep.mkdir()
    assert "1 of 4 images, unreadable: nowhere.png: " in refusal(folder(root), tmp_path)
    assert shades(folder(root), tmp_path, skip_bad=True) == [0, 1, 2]


def test_an_image_of_one_line_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    files = {f"{n}.png": shade(n) for n in range(3)} | {"line.png": encoded(Image.new("L", (30_000, 2)))}
    message = refusal(folder(filled(tmp_path / "root", files), size=64), tmp_path)
    assert "line.png: it has 30000 x 2 pixels, too long for a square" in message


def test_large_images_are_written_in_small_blocks() -> None:
    view = View(size=1024, channels=3)
    files = [ImageFile(str(n), "train", lambda: shade(1)) for n in range(25)]
    assert [len(block.images) for block in decoded(files, view)] == [10, 10, 5]


@pytest.mark.parametrize("path", ["a,b", "[a]"])
def test_a_path_that_no_selection_can_hold_is_refused(path: str) -> None:
    with pytest.raises(ParameterError, match="a selection cannot hold its commas or brackets; rename it, or make"):
        folder(Path(path))
