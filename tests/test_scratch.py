"""Scratch files and folders: leftovers of killed processes are removed, and no other files."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chainrule import scratch
from chainrule.scratch import DAY, ScratchFile, clear_leftovers, scratch_folder

MAKE = {
    "file": "from chainrule.scratch import ScratchFile\nkept = ScratchFile(here / 'out.csv')\nkept.path.write_text('half')",
    "folder": "from chainrule.scratch import scratch_folder\nkept = scratch_folder(here, '.pull-')\n"
    "(kept.__enter__() / 'wheel').write_text('half')",
}


@pytest.fixture(params=["file", "folder"])
def maker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen]:
    """A process that has created a scratch file or folder, and waits."""
    code = f"import sys; from pathlib import Path\nhere = Path(sys.argv[1])\n{MAKE[request.param]}\n"
    code += "print('ready', flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def clear(folder: Path) -> None:
    clear_leftovers(folder, ".out.csv.")
    clear_leftovers(folder, ".pull-")


def test_the_next_process_removes_leftovers_of_a_killed_one(maker: subprocess.Popen, tmp_path: Path):
    (left,) = os.listdir(tmp_path)
    assert left.endswith(scratch.SUFFIX)
    maker.send_signal(signal.SIGKILL)
    maker.wait()
    assert os.listdir(tmp_path) == [left]
    with scratch_folder(tmp_path, ".pull-") as folder:
        scratch_file = ScratchFile(tmp_path / "out.csv")
        assert sorted(os.listdir(tmp_path)) == sorted([folder.name, scratch_file.path.name])
    scratch_file.discard()
    assert not os.listdir(tmp_path)


def test_files_of_a_live_process_are_kept(maker: subprocess.Popen, tmp_path: Path):
    before = sorted(tmp_path.rglob("*"))
    clear(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_of_a_process_killed_before_locking_is_removed(tmp_path: Path):
    (tmp_path / f".pull-{'0' * 16}{scratch.SUFFIX}").mkdir()
    clear(tmp_path)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("removed", [True, False])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_file_removed_as_a_leftover_is_created_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, removed: bool
):
    """Between creation and locking, another process has removed it, or holds the lock to remove it."""
    own, others = scratch._locked, []

    def late(opened, path):
        if not others:
            others.append(scratch._opened(path, 0))
            assert own(others[0], path)
            if removed:
                others[0].close()
                clear(tmp_path)
        return own(opened, path)

    monkeypatch.setattr(scratch, "_locked", late)
    created = ScratchFile(tmp_path / "out.csv") if kind == "file" else scratch_folder(tmp_path, ".pull-")
    path = created.path if isinstance(created, ScratchFile) else created.__enter__()
    assert path.exists()
    assert len(os.listdir(tmp_path)) == (1 if removed else 2)
    others[0].close()
    clear(tmp_path)
    assert os.listdir(tmp_path) == [path.name]


def test_concurrent_creation_and_removal(tmp_path: Path):
    errors: list[object] = []

    def work() -> None:
        for _ in range(60):
            try:
                scratch_file = ScratchFile(tmp_path / "out.csv")
                scratch_file.path.write_text("whole")
                with scratch_folder(tmp_path, ".pull-") as folder:
                    (folder / "wheel").write_text("whole")
                    clear(tmp_path)
                    time.sleep(0)
                    assert (folder / "wheel").read_text() == "whole"
                assert scratch_file.commit().read_text() == "whole"
            except BaseException as error:
                errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert os.listdir(tmp_path) == ["out.csv"]


def test_files_of_the_user_are_kept(tmp_path: Path):
    part = f"{'0' * 16}{scratch.SUFFIX}"
    own = tmp_path / "own"
    own.mkdir()
    (own / "thesis").write_text("years of work")
    for name in (
        ".out.csv",
        ".out.csv.part",
        f".out.csv.{part}.gz",
        f"out.csv.{part}",
        f".out-csv.{part}",
        f".pull-{part[1:]}",
    ):
        (tmp_path / name).write_text("mine")
    (tmp_path / ".pull-abcdefgh").mkdir()
    (tmp_path / f".out.csv.{part}").symlink_to(own / "thesis")
    (tmp_path / f".pull-{part}").symlink_to(own)
    os.mkfifo(tmp_path / f".pull-{'1' * 16}{scratch.SUFFIX}")
    before = sorted(tmp_path.rglob("*"))
    clear(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_files_of_another_user_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / f".out.csv.{'0' * 16}{scratch.SUFFIX}").touch()
    (tmp_path / f".pull-{'0' * 16}{scratch.SUFFIX}").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    clear(tmp_path)
    assert len(os.listdir(tmp_path)) == 2


@pytest.mark.parametrize("missing", ["module", "on this disk"])
def test_without_locks_a_leftover_is_older_than_a_day(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    if missing == "module":
        monkeypatch.setattr(scratch, "fcntl", None)
    else:
        monkeypatch.setattr(scratch.fcntl, "flock", refuse)
    file, folder = ScratchFile(tmp_path / "out.csv"), scratch_folder(tmp_path, ".pull-")
    paths = [file.path, folder.__enter__()]
    clear(tmp_path)
    assert all(path.exists() for path in paths)
    for path in paths:
        os.utime(path, (time.time() - DAY - 9,) * 2)
    clear(tmp_path)
    assert not os.listdir(tmp_path)
    again = ScratchFile(tmp_path / "out.csv")
    again.path.write_text("whole")
    assert again.commit().read_text() == "whole"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o604, None])
def test_the_mode_is_kept(tmp_path: Path, mode: int | None):
    target = tmp_path / "out.csv"
    if mode is not None:
        target.write_text("before")
        target.chmod(mode)
    before = os.umask(0o027)
    try:
        scratch_file = ScratchFile(target)
        assert (scratch_file.path.stat().st_mode & 0o777) & ~(
            0o640 if mode is None else mode
        ) == 0  # the scratch file is not more readable
        scratch_file.path.write_text("after")
        scratch_file.commit()
    finally:
        os.umask(before)
    assert target.read_text() == "after"
    assert target.stat().st_mode & 0o777 == (0o640 if mode is None else mode)


def test_a_link_is_followed(tmp_path: Path):
    (tmp_path / "data").mkdir()
    target, link = tmp_path / "data" / "real.csv", tmp_path / "out.csv"
    link.symlink_to(target)
    for content in ("first", "second"):  # at first, the target does not exist
        scratch_file = ScratchFile(link)
        scratch_file.path.write_text(content)
        assert scratch_file.commit() == link
        assert link.is_symlink()
        assert target.read_text() == content
    assert os.listdir(tmp_path / "data") == ["real.csv"]


def test_the_old_file_is_kept_until_commit(tmp_path: Path):
    target = tmp_path / "out.csv"
    target.write_text("before")
    scratch_file = ScratchFile(target)
    scratch_file.path.write_text("half")
    assert target.read_text() == "before"
    scratch_file.discard()
    scratch_file.discard()
    assert target.read_text() == "before"
    assert os.listdir(tmp_path) == ["out.csv"]


def test_commit_under_another_name(tmp_path: Path):
    scratch_file = ScratchFile(tmp_path / "out.csv")
    scratch_file.path.write_text("some")
    assert scratch_file.commit(tmp_path / "other.csv") == tmp_path / "other.csv"
    scratch_file.discard()
    assert os.listdir(tmp_path) == ["other.csv"]


@pytest.mark.parametrize("links", [True, False])
def test_keep_as_never_writes_over_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, links: bool):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    name = tmp_path / "out.incomplete.csv"
    name.write_text("mine")
    (tmp_path / "out.incomplete-2.csv").symlink_to(tmp_path / "nowhere")
    for number in (3, 4):
        scratch_file = ScratchFile(tmp_path / "out.csv")
        scratch_file.path.write_text(f"kept {number}")
        assert scratch_file.keep_as(name) == tmp_path / f"out.incomplete-{number}.csv"
        assert not scratch_file.path.exists()
        scratch_file.discard()
    assert name.read_text() == "mine"
    assert [(tmp_path / f"out.incomplete-{n}.csv").read_text() for n in (3, 4)] == ["kept 3", "kept 4"]
    assert len(os.listdir(tmp_path)) == 4


@pytest.mark.parametrize("name", ["x" * 255, "日" * 85, "a\nb*[c]", "-"])
def test_any_name(tmp_path: Path, name: str):
    scratch_file = ScratchFile(tmp_path / name)
    scratch_file.path.write_text("some")
    left = scratch_file.path.with_name(scratch_file.path.name.replace(scratch_file.path.name[-31:-15], "0" * 16))
    left.touch()
    assert ScratchFile(tmp_path / name).path != left
    assert not left.exists()
    assert scratch_file.commit().read_text() == "some"


@pytest.mark.parametrize(("target", "error"), [("folder", IsADirectoryError), ("/dev/null", OSError), ("no/such/out", OSError)])
def test_targets_that_cannot_be_overwritten(tmp_path: Path, target: str, error: type[OSError]):
    (tmp_path / "folder").mkdir()
    with pytest.raises(error):
        ScratchFile(tmp_path / target)
    assert os.listdir(tmp_path) == ["folder"]
    assert Path("/dev/null").is_char_device()


def test_a_read_only_file_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "out.csv").write_text("mine")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root can write everywhere
    with pytest.raises(PermissionError):
        ScratchFile(tmp_path / "out.csv")


def test_a_child_of_a_killed_process_cannot_write_to_the_next_folder(tmp_path: Path):
    """A compiler may continue to run after the process that started it was killed."""
    left = tmp_path / f".pull-{'0' * 16}{scratch.SUFFIX}"
    left.mkdir()
    code = "import sys\nfor i in range(10**6):\n  open(f'{sys.argv[1]}/{i}', 'w').close()"
    with subprocess.Popen([sys.executable, "-c", code, left], stderr=subprocess.DEVNULL) as orphan:
        while not (left / "99").exists():
            time.sleep(0.01)
        clear(tmp_path)
        assert orphan.wait(60) == 1
    assert not os.listdir(tmp_path)


def test_a_full_disk_leaves_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(OSError, match="No space left"), scratch_folder(tmp_path, ".pull-"):
        pass
    assert not os.listdir(tmp_path)
