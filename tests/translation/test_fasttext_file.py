"""A model file that fastText would hang or crash on is refused before it sees it."""

from __future__ import annotations

import struct
from importlib.resources import files
from pathlib import Path

import pytest

from translation.fasttext_file import DamagedModel, check_model
from translation.identification import IdentifierError, load_identifier

UNQUANTISED = Path(__file__).parent / "data" / "glotlid_labels.bin"
QUANTISED = Path(str(files("translation").joinpath("models", "identifier", "identifier.ftz")))


@pytest.mark.parametrize("path", [UNQUANTISED, QUANTISED])
def test_a_whole_model_passes(path: Path) -> None:
    check_model(path)


@pytest.mark.parametrize("path", [UNQUANTISED, QUANTISED])
@pytest.mark.parametrize("share", [0.0, 0.0001, 0.02, 0.3, 0.6, 0.9999])
def test_a_cut_model_is_refused_with_its_name(path: Path, share: float, tmp_path: Path) -> None:
    cut = tmp_path / "cut.bin"
    data = path.read_bytes()
    cut.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(IdentifierError, match=r"cut\.bin is not a fastText classifier \(.*(cut|not start)"):
        load_identifier(str(cut))


@pytest.mark.parametrize(
    ("offset", "layout", "value", "message"),
    [
        (0, "<i", 7, "does not start as one"),
        (4, "<i", 99, "version 99, known: 11 and 12"),
        (8, "<i", -1, "-1 dimensions"),
        (8, "<i", 9, "input matrix of .* not"),
        (40, "<i", 0, "no buckets"),
        (64, "<i", 2**31 - 1, "2147483647 entries"),
        (84, "<q", 5, "n-grams that|input matrix"),
        (92, "<200s", b"x" * 200, "its dictionary has not"),
    ],
)
def test_damaged_numbers_are_refused(
    offset: int, layout: str, value: object, message: str, tmp_path: Path
) -> None:
    data = bytearray(UNQUANTISED.read_bytes())
    struct.pack_into(layout, data, offset, value)
    path = tmp_path / "lid.bin"
    path.write_bytes(data)
    with pytest.raises(DamagedModel, match=message):
        check_model(path)


def test_noise_after_the_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lid.bin"
    path.write_bytes(UNQUANTISED.read_bytes()[:92] + b"\xab\xcd\xef" * 10_000)
    with pytest.raises(DamagedModel, match="its dictionary has not"):
        check_model(path)
