import errno
import io
import os
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

import bench.assets.unpacking
from bench.assets.unpacking import Part, unpack
from bench.errors import BenchError, BrokenFileError

FILES = {
    "birds/images/1.png": b"one" * 1000,
    "birds/images/2.png": b"two",
    "birds/list.txt": b"1.png 0\n2.png 1",
    "README": b"of no use",
}


def tar(path, files=FILES, *others, mode="w:gz"):
    """A tar file of these files, then of other members as they are."""
    with tarfile.open(path, mode) as file:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o4777
            file.addfile(member, io.BytesIO(content))
        for member in others:
            file.addfile(member)
    return path


def zipped(path, files=FILES):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def special(name, kind, target=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def here_is():
    return sorted(path.name for path in Path().iterdir())


def found(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in Path(folder).rglob("*")
        if path.is_file()
    }


def refused(archive, target="data", part=None, kind=BenchError):
    """The one line that refuses it; nothing else appears."""
    before = here_is()
    with pytest.raises(kind) as error:
        unpack(Path(archive), Path(target), part)
    assert here_is() == before
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("make", [tar, zipped, lambda path: tar(path, mode="w:xz")])
def test_a_part_of_an_archive(make):
    archive = make(Path("archive"))
    sizes = []
    unpack(archive, Path("data/birds"), Part("birds", ("images/*.png",)), on_file=sizes.append)
    assert found("data") == {
        f"birds/images/{n}.png": FILES[f"birds/images/{n}.png"] for n in (1, 2)
    }
    assert sizes == [3000, 3]
    assert not Path("data/birds/images/1.png").stat().st_mode & stat.S_ISUID
    unpack(archive, Path("all"))
    assert found("all") == FILES
    assert here_is() == ["all", "archive", "data"]
    assert "is there already" in refused(archive)


def test_folders_of_their_own_are_kept():
    unpack(tar("a.tar", FILES, special("birds/empty", tarfile.DIRTYPE), mode="w"), Path("data"))
    assert Path("data/birds/empty").is_dir()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("../out", "leads out of the folder"),
        ("birds/../../out", "leads out of the folder"),
        ("birds\\..\\..\\out", "leads out of the folder"),
        ("/etc/out", "is an absolute path"),
        ("C:\\out", "is an absolute path"),
    ],
)
@pytest.mark.parametrize("make", [tar, zipped])
def test_paths_that_lead_elsewhere(make, name, told):
    archive = make(Path("archive"), FILES | {name: b"x"})
    assert told in refused(archive)
    assert told in refused(archive, part=Part("birds"))  # also where it is no part


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (tarfile.SYMTYPE, "is a link"),
        (tarfile.LNKTYPE, "is a link"),
        (tarfile.CHRTYPE, "is no file"),
        (tarfile.FIFOTYPE, "is no file"),
    ],
)
def test_links_and_devices(kind, told):
    assert told in refused(tar("a.tgz", FILES, special("birds/x", kind, "birds/list.txt")))


def test_links_and_encrypted_files_in_a_zip():
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile("a.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
    assert "'link' is a link" in refused("a.zip")
    content = bytearray(zipped(Path("b.zip"), {"x": b"x"}).read_bytes())
    for header, offset in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        content[content.index(header) + offset] |= 1
    Path("b.zip").write_bytes(content)
    assert "is encrypted" in refused("b.zip")


def test_too_many(monkeypatch):
    archive = tar("a.tgz")
    monkeypatch.setattr(bench.assets.unpacking, "MOST_FILES", 3)
    assert "more than 3 members" in refused(archive)


def test_too_large(monkeypatch):
    archive = tar("a.tgz")
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=3002))
    told = refused(archive, part=Part("birds/images"))
    assert "declares files of 3.0 kB or more, and 3.0 kB are free" in told
    unpack(Path(archive), Path("few"), Part("birds", ("list.txt",)))  # that much there is


def test_a_bomb_is_refused_by_what_it_declares():
    bomb = tarfile.TarInfo("zeros")
    bomb.size = 2**60
    Path("bomb.tar").write_bytes(bomb.tobuf() + bytes(10240))
    assert "it declares files of 1.2 EB or more" in refused("bomb.tar")


@pytest.mark.parametrize("part", [Part("cats"), Part("birds", ("*.gif",)), Part("birds", count=2)])
def test_another_archive(part):
    told = refused(tar("a.tgz"), part=part)
    assert "is it another archive?" in told


@pytest.mark.parametrize("make", [tar, zipped, lambda *given: tar(*given, mode="w")])
@pytest.mark.parametrize("kept", [0.3, 0.8])
def test_damaged_archives(make, kept):
    archive = make(Path("archive"), FILES | {"birds/noise": os.urandom(50_000)})
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * kept)])
    assert "is broken" in refused(archive, kind=BrokenFileError)
    archive.write_bytes(b"<html>404</html>")
    assert "is broken" in refused(archive, kind=BrokenFileError)


def test_content_that_is_not_what_was_packed():
    archive = zipped(Path("archive"), {"noise": os.urandom(50_000)})
    content = bytearray(archive.read_bytes())
    content[20_000] ^= 1
    archive.write_bytes(content)
    assert "CRC" in refused(archive, kind=BrokenFileError)


def test_a_member_twice():
    double = tarfile.TarInfo("README")
    assert "File exists" in refused(tar("a.tgz", FILES, double))


def test_interrupted_unpacking_is_begun_anew(monkeypatch):
    archive = Path(tar("a.tgz"))
    copy, calls = shutil.copyfileobj, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        copy(*arguments)

    monkeypatch.setattr(shutil, "copyfileobj", interrupted)
    with pytest.raises(KeyboardInterrupt):
        unpack(archive, Path("data"))
    assert here_is() == ["a.tgz"]
    Path(".data.unpacking/birds").mkdir(parents=True)  # as a killed process leaves it
    Path(".data.unpacking/birds/half").touch()
    unpack(archive, Path("data"))
    assert found("data") == FILES
    assert here_is() == ["a.tgz", "data"]


def test_the_folder_appears_at_once(monkeypatch):
    archive = tar("a.tgz")

    def killed(*arguments):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "rename", killed)
    assert "Input/output error" in refused(archive)


def test_a_disk_that_fills(monkeypatch):
    archive = tar("a.tgz")

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfileobj", full)
    assert "No space left on device; what was unpacked is removed" in refused(archive)


def test_what_is_added_is_whole_with_the_rest():
    archive = Path(tar("a.tgz"))

    def finish(folder):
        (folder / "labels.txt").write_text("1")
        raise BenchError("labels that do not fit")

    with pytest.raises(BenchError, match="labels that do not fit"):
        unpack(archive, Path("data"), finish=finish)
    assert here_is() == ["a.tgz"]
