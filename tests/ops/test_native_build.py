"""Kernels are compiled once, cached, and loaded only if they are intact and no other user can have written them."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chainrule.ops.library import build, compiler, kept
from chainrule.scratch import SUFFIX

pytestmark = pytest.mark.skipif(not build.status(), reason=f"no compiled kernels: {build.status().reason}")

Fresh = Callable[[], build.Kernels]


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fresh:
    """`build.status` without its cache, with an empty cache folder and a source that compiles at once."""
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "small.c").write_text('#include "small.h"\nint lanes(void) { return LANES; }')
    (sources / "small.h").write_text("#define LANES 16\n")
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "SOURCES", sources)
    monkeypatch.delenv("CHAINRULE_NATIVE", raising=False)
    return build.status.__wrapped__


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], int]:
    """The number of times that the compiler has run."""
    log = tmp_path / "log"
    use_compiler(monkeypatch, tmp_path, f'echo run >> "{log}"\nexec cc "$@"')
    return lambda: len(log.read_text().splitlines()) if log.exists() else 0


def use_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
    """Use a shell script as the compiler."""
    path = tmp_path / "compiler.sh"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("CC", str(path))


def kept_file(tmp_path: Path, suffix: str) -> Path:
    (file,) = (tmp_path / "cache" / "kernels").glob(f"*{suffix}")
    return file


def test_kernels_are_compiled_once(fresh: Fresh, runs: Callable[[], int], tmp_path: Path):
    before = os.umask(0o002)  # the default where every user has a private group
    try:
        assert fresh()
    finally:
        os.umask(before)
    assert fresh().lanes == 16
    assert runs() == 1
    assert sorted(path.suffix for path in (tmp_path / "cache" / "kernels").iterdir()) == [".sha256", ".so"]


@pytest.mark.parametrize("changed", ["small.c", "small.h", "another.c"])
def test_a_change_of_any_source_is_compiled(changed: str, fresh: Fresh, runs: Callable[[], int]):
    assert fresh()
    with open(build.SOURCES / changed, "a") as file:
        file.write("\nextern int unused;\n")
    assert fresh()
    assert runs() == 2


def cut(library: Path) -> None:
    os.truncate(library, library.stat().st_size // 2)


def emptied(library: Path) -> None:
    os.truncate(library, 0)


def flipped(library: Path) -> None:
    content = bytearray(library.read_bytes())
    content[len(content) // 2] ^= 1
    library.write_bytes(content)


def without_digest(library: Path) -> None:
    library.with_suffix(".sha256").unlink()


def emptied_digest(library: Path) -> None:
    emptied(library.with_suffix(".sha256"))


def written_by_others(library: Path) -> None:
    library.chmod(0o777)


def digest_written_by_others(library: Path) -> None:
    library.with_suffix(".sha256").chmod(0o622)


def a_link(library: Path) -> None:
    library.rename(library.parent.parent / "elsewhere")
    library.symlink_to(library.parent.parent / "elsewhere")


def a_link_for_a_digest(library: Path) -> None:
    a_link(library.with_suffix(".sha256"))


def a_pipe(library: Path) -> None:
    library.unlink()
    os.mkfifo(library)


@pytest.mark.parametrize(
    "damage",
    [
        *(cut, emptied, flipped, without_digest, emptied_digest, written_by_others),
        *(digest_written_by_others, a_link, a_link_for_a_digest, a_pipe),
    ],
)
def test_a_damaged_or_untrusted_library_is_compiled_again(damage, fresh: Fresh, runs: Callable[[], int], tmp_path: Path):
    assert fresh()
    library = kept_file(tmp_path, ".so")
    damage(library)
    assert fresh()
    assert runs() == 2
    assert fresh()
    assert runs() == 2  # and kept
    assert not library.is_symlink()
    assert library.stat().st_mode & 0o777 == 0o600


def test_an_intact_library_that_does_not_load_is_compiled_again(fresh: Fresh, runs: Callable[[], int], tmp_path: Path):
    assert fresh()
    library, content = kept_file(tmp_path, ".so"), b"no library"
    library.write_bytes(content)
    library.with_suffix(".sha256").write_text(kept.hashlib.sha256(content).hexdigest())
    assert fresh()
    assert runs() == 2


def test_the_loaded_library_is_the_one_that_was_read(fresh: Fresh, tmp_path: Path):
    """Changes of the file while it is in use have no effect."""
    found = fresh()
    emptied(kept_file(tmp_path, ".so"))
    assert found.library is not None
    assert found.library.lanes() == 16
    assert "/proc/self/fd/" in found.library._name


def test_without_memory_files_a_private_file_is_loaded(fresh: Fresh, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSYS, "no such call")

    monkeypatch.setattr(os, "memfd_create", refuse)
    found = fresh()
    assert found.lanes == 16
    assert found.library is not None
    assert not os.path.exists(found.library._name)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int) -> bool:
    for _ in range(500):
        if not alive(pid):
            return True
        time.sleep(0.01)
    return False


def hang(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A compiler that waits for a child process, and writes the ids of both."""
    pids = tmp_path / "pids"
    use_compiler(monkeypatch, tmp_path, f'sleep 600 &\necho $$ $! >> "{pids}"\nwait')
    return pids


def test_a_compiler_that_hangs_is_run_once(fresh: Fresh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    pids = hang(monkeypatch, tmp_path)
    monkeypatch.setattr(build, "SECONDS", 1)
    found = fresh()
    assert not found
    failure = kept_file(tmp_path, ".failed")
    assert f"it was ended after 1 seconds (not tried again for a day, or until {failure} is removed)" in found.reason
    assert all(gone(int(pid)) for pid in pids.read_text().split())
    assert fresh() == found
    assert len(pids.read_text().split()) == 2  # it has not run again


def test_an_interrupted_compiler_is_ended(fresh: Fresh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    pids = hang(monkeypatch, tmp_path)
    wait, timeouts = subprocess.Popen.wait, []

    def interrupted(process: subprocess.Popen, timeout: float | None = None) -> int:
        timeouts.append(timeout)
        if len(timeouts) > 1:
            return wait(process, timeout)
        while not pids.exists() or len(pids.read_text().split()) < 2:
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fresh()
    assert all(gone(int(pid)) for pid in pids.read_text().split())
    assert not list((tmp_path / "cache" / "kernels").iterdir())  # not a failure of the compiler


def test_a_failure_is_remembered_for_a_day(fresh: Fresh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    log = tmp_path / "log"
    use_compiler(
        monkeypatch, tmp_path, f'echo run >> "{log}"\n[ -e "{tmp_path}/mended" ] && exec cc "$@"\necho it is broken >&2\nexit 3'
    )
    first = fresh()
    assert "could not compile them: it is broken (not tried again for a day" in first.reason
    (tmp_path / "mended").touch()
    assert fresh() == first
    assert log.read_text() == "run\n"
    failure = kept_file(tmp_path, ".failed")
    yesterday = time.time() - kept.DAY - 9
    os.utime(failure, (yesterday, yesterday))
    assert fresh()
    assert not failure.exists()


@pytest.mark.parametrize("damage", [Path.unlink, emptied, written_by_others])
def test_a_failure_is_forgotten(damage, fresh: Fresh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    use_compiler(monkeypatch, tmp_path, f'[ -e "{tmp_path}/mended" ] && exec cc "$@"\nexit 3')
    assert "exit status 3" in fresh().reason
    (tmp_path / "mended").touch()
    damage(kept_file(tmp_path, ".failed"))
    assert fresh()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 0", "it wrote no library"),
        ('while [ "$1" != -o ]; do shift; done; : > "$2"', "the library that it wrote cannot be loaded"),
        ('for last; do source=$other; other=$last; done; echo "int x;" > "$source"; exec cc "$@"', "has no kernels in it"),
        ("echo 'ld: No space left on device' >&2; exit 1", "no space left"),
    ],
)
def test_a_compiler_that_writes_no_library_is_reported(
    script: str, reason: str, fresh: Fresh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    use_compiler(monkeypatch, tmp_path, script)
    assert not fresh()
    assert reason in fresh().reason
    assert len(list((tmp_path / "cache" / "kernels").glob("*.failed"))) == ("space" not in reason)  # a full disk is temporary


def a_file(folder: Path) -> None:
    folder.parent.mkdir()
    folder.touch()


def a_linked_folder(folder: Path) -> None:
    elsewhere = folder.parent.parent / "elsewhere"
    elsewhere.mkdir()
    folder.parent.mkdir()
    folder.symlink_to(elsewhere)


def a_folder_for_all(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o777)


def no_parent(folder: Path) -> None:
    folder.parent.touch()


@pytest.mark.parametrize("damage", [a_file, a_linked_folder, a_folder_for_all, no_parent])
def test_a_folder_that_cannot_be_trusted_is_not_used(damage, fresh: Fresh, runs: Callable[[], int], tmp_path: Path):
    damage(tmp_path / "cache" / "kernels")
    assert fresh()
    assert "16 numbers at a time; not kept, but compiled at each start: " in fresh().reason
    assert runs() == 2
    assert not list(tmp_path.rglob("*.so"))


def test_kernels_are_loaded_despite_a_full_disk(fresh: Fresh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kept.os, "replace", full)
    found = fresh()
    assert found
    assert "not kept, but compiled at each start: [Errno 28]" in found.reason
    assert not list((tmp_path / "cache" / "kernels").iterdir())
    monkeypatch.setenv("CC", "false")
    assert fresh().reason == "false could not compile them: exit status 1"  # and the failure is not remembered


def test_without_a_cache_folder_kernels_are_not_kept(fresh: Fresh, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHAINRULE_CACHE", "~no-such-user/cache")
    assert fresh()
    assert "not kept, but compiled at each start: CHAINRULE_CACHE=~no-such-user/cache does not name a folder" in fresh().reason
    assert "set CHAINRULE_CACHE to a folder to write to" in fresh().reason


@pytest.mark.parametrize("where", ["temporary", "kept"])
def test_leftovers_of_a_killed_process_are_removed(fresh: Fresh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str):
    temporary, kernels = tmp_path / "tmp", tmp_path / "cache" / "kernels"
    temporary.mkdir()
    code = (
        "import os, signal, sys; from pathlib import Path; from chainrule.ops.library import build, compiler\n"
        "def killed(*_, **__): os.kill(os.getpid(), signal.SIGKILL)\n"
        "build.SOURCES = Path(sys.argv[1])\n"
        f"{'compiler._run' if where == 'temporary' else 'os.replace'} = killed\n"
    )
    environment = os.environ | {"TMPDIR": str(temporary)}
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", code + "build.status()", build.SOURCES], env=environment).returncode == -9
        assert (
            len(list((temporary if where == "temporary" else kernels).iterdir())) == 1
        )  # the second run has cleared the first one's
    former = kernels / f".{'0' * 32}.so.4711.123456789"
    former.touch()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    assert fresh()
    assert not list(temporary.iterdir())
    assert sorted(path.suffix for path in kernels.iterdir()) == [".sha256", ".so"]
    part = kernels / f".new-{'0' * 16}{SUFFIX}"  # of a process that was killed just before it deleted it
    part.mkdir()
    assert fresh()
    assert not part.exists()


def test_the_compiler_uses_our_scratch_folder(fresh: Fresh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    use_compiler(monkeypatch, tmp_path, 'echo "$TMPDIR" >&2; exit 1')
    assert re.search(rf"{tmp_path}/chainrule-\w+\.chainrule-part \(not tried", fresh().reason)


def test_a_disk_without_space_for_the_message_is_not_blamed_on_the_compiler(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    use_compiler(monkeypatch, tmp_path, "exit 1")
    monkeypatch.setattr(compiler, "FREE_BYTES", 1 << 60)
    assert f"there is no space left for the compiler's files in {tempfile.gettempdir()}" in fresh().reason
    assert not list((tmp_path / "cache" / "kernels").iterdir())


def test_without_a_temporary_folder_there_are_no_kernels(fresh: Fresh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    assert "could not compile them: [Errno 2] No such file or directory" in fresh().reason
    assert not list((tmp_path / "cache" / "kernels").iterdir())  # not a failure of the compiler


def test_two_processes_at_once(fresh: Fresh, tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from chainrule.ops.library import build\n"
        "build.SOURCES = Path(sys.argv[1]); found = build.status(); print(found.lanes, found.reason)"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, build.SOURCES], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert all(process.communicate()[0].startswith("16 compiled by ") for process in both)
    assert sorted(path.suffix for path in (tmp_path / "cache" / "kernels").iterdir()) == [".sha256", ".so"]
    assert fresh()


def test_a_compiler_is_ended_with_its_child_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    pids = hang(monkeypatch, tmp_path)
    with pytest.raises(compiler.CompilerError, match=r"it was ended after 0.5 seconds"):
        compiler.compiled([os.environ["CC"]], (), {"x.c": "int x;"}, 0.5)
    assert all(gone(int(pid)) for pid in pids.read_text().split())


@pytest.mark.parametrize("choice", ["2", "avx512f", "no"])
def test_an_unknown_choice_is_reported(choice: str, fresh: Fresh, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHAINRULE_NATIVE", choice)
    assert fresh() == build.Kernels(
        False, f"CHAINRULE_NATIVE={choice} is none of 0 (no kernels), 1 (as without it), avx512 (no AMX) and avx2 (no AVX-512)"
    )


def test_choices_are_kept_apart(fresh: Fresh, runs: Callable[[], int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (build.SOURCES / "small.c").write_text(
        "#ifdef __AVX512F__\nint lanes(void) { return 16; }\n#else\nint lanes(void) { return 8; }\n#endif\n"
    )
    own = fresh()
    for choice in ("1", ""):
        monkeypatch.setenv("CHAINRULE_NATIVE", choice)
        assert fresh().lanes == own.lanes
    assert runs() == 1
    monkeypatch.setenv("CHAINRULE_NATIVE", "avx2")
    assert fresh().lanes == 8
    assert runs() == 2
    assert len(list((tmp_path / "cache" / "kernels").glob("*.so"))) == 2


def test_a_compiler_that_cannot_be_parsed_or_found(fresh: Fresh, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CC", "'cc")
    assert "CC='cc cannot be read as a command" in fresh().reason
    monkeypatch.setenv("CC", "/nowhere/cc")
    assert "/nowhere/cc could not compile them: [Errno 2]" in fresh().reason
    monkeypatch.setenv("CC", "''")
    assert "'' could not compile them: " in fresh().reason
    monkeypatch.setenv("CC", " ")  # as if unset
    assert fresh().lanes == 16
