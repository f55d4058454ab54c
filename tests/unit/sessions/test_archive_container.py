from __future__ import annotations

import hashlib
import io
import lzma
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.sessions.archive import checksums
from actors.sessions.archive.container import Content, read, read_checksums, verify, write
from actors.sessions.archive.errors import ArchiveDamaged

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"2026-03-10/p/a.jsonl": b"one\n" * 5000, "2026-03-10/p/b.jsonl": b"", "2026-03-10/q/\udcff\n\\.jsonl": b"two"}


def digests_of(files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def contents_of(files: dict[str, bytes]) -> list[Content]:
    return [Content(name, len(data), 1_770_000_000.25, io.BytesIO(data)) for name, data in files.items()]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "10.tar.xz"
    write(path, digests_of(FILES), contents_of(FILES), 0)
    return path


def test_what_goes_in_comes_out(archive: Path) -> None:
    assert {content.name: content.stream.read() for content in read(archive)} == FILES
    assert {content.modified for content in read(archive)} == {1_770_000_000.25}
    assert read_checksums(archive) == digests_of(FILES)
    verify(archive, digests_of(FILES))


def test_a_name_that_comes_twice_is_stored_once(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.xz"
    write(path, digests_of(FILES), [*contents_of(FILES), *contents_of(FILES)], 0)
    assert [content.name for content in read(path)] == list(FILES)


def test_ordinary_tools_unpack_and_check_it(tmp_path: Path) -> None:
    plain = {name: data for name, data in FILES.items() if name.isascii()}
    write(tmp_path / "x.tar.xz", digests_of(plain), contents_of(plain), 0)
    with tarfile.open(tmp_path / "x.tar.xz") as tar:
        tar.extractall(tmp_path, filter="data")
    checked = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=tmp_path, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    ("expected", "complaint"),
    [
        (FILES | {"c": b"3"}, "1 files are missing, the first is c"),
        (
            {name: data for name, data in FILES.items() if "a.jsonl" not in name},
            "a.jsonl has SHA-256 .* expected is None",
        ),
        (FILES | {"2026-03-10/p/a.jsonl": b"other"}, "a.jsonl has SHA-256 .* it changed while it was read"),
    ],
)
def test_verify_finds_every_difference(archive: Path, expected: dict[str, bytes], complaint: str) -> None:
    with pytest.raises(ArchiveDamaged, match=complaint):
        verify(archive, digests_of(expected))


@given(st.data())
def test_a_flipped_or_missing_byte_is_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("damaged") / "x.tar.xz"
    write(path, digests_of(FILES), contents_of(FILES), 0)
    whole = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        whole[at] ^= 0x40
    else:
        del whole[at:]
    path.write_bytes(whole)
    with pytest.raises(ArchiveDamaged, match=r"x\.tar\.xz"):
        verify(path, digests_of(FILES))


def test_an_archive_without_checksums_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.xz"
    with tarfile.open(path, "w:xz") as tar:
        tar.addfile(tarfile.TarInfo("a"), io.BytesIO())
    with pytest.raises(ArchiveDamaged, match="does not begin with SHA256SUMS"):
        read_checksums(path)


def test_a_folder_inside_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.xz"
    with tarfile.open(path, "w:xz") as tar:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(tarfile.TarInfo(checksums.NAME))
        tar.addfile(folder)
    with pytest.raises(ArchiveDamaged, match="folder is no file"):
        list(read(path))


def test_reading_the_checksums_does_not_unpack_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.xz"
    noise = {"big": lzma.compress(b"") + bytes(range(256)) * 40_000}
    write(path, digests_of(noise), contents_of(noise), 0)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 100)
    assert read_checksums(path) == digests_of(noise)


def test_checksums_are_as_sha256sum_writes_them() -> None:
    sums = {"b": "1" * 64, "a\nb": "2" * 64, "c\\n": "3" * 64}
    text = checksums.dump(sums)
    assert text == f"\\{'2' * 64}  a\\nb\n{'1' * 64}  b\n\\{'3' * 64}  c\\\\n\n".encode()


def test_a_line_that_is_no_checksum_is_refused() -> None:
    with pytest.raises(ValueError, match="SHA256SUMS has the line 'nonsense'"):
        checksums.parse(b"nonsense\n")


@given(st.dictionaries(st.text(min_size=1), st.binary().map(lambda data: hashlib.sha256(data).hexdigest())))
def test_any_name_survives_the_checksum_file(sums: dict[str, str]) -> None:
    assert checksums.parse(checksums.dump(sums)) == sums
