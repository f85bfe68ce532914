"""Fingerprints of weight files: plain digests, remembered only while a file is unchanged."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chainrule import ModelError
from chainrule.models import fingerprint as module
from chainrule.models.fingerprint import fingerprint


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "FOLDER", "fingerprints")
    return tmp_path / "cache"


def _old(file: Path, content: bytes, at: int = 1_000_000_000) -> Path:
    """A file whose time of modification is long past. Its time of change is now, so `settle` is needed too."""
    file.write_bytes(content)
    os.utime(file, (at, at))
    return file


@pytest.fixture
def settle(monkeypatch):
    monkeypatch.setattr(module, "_SETTLED", -1)


@pytest.fixture
def read(monkeypatch):
    """The digests that were computed."""
    computed, plain = [], hashlib.file_digest

    def counted(*arguments):
        computed.append(arguments[0].name)
        return plain(*arguments)

    monkeypatch.setattr(module.hashlib, "file_digest", counted)
    return computed


def _plain(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def test_one_file_has_its_plain_digest_and_several_one_that_depends_on_names_but_not_on_their_order(tmp_path):
    a, b = _old(tmp_path / "a", b"one"), _old(tmp_path / "b", b"two")
    assert fingerprint([a]) == _plain(b"one")
    lines = f"{_plain(b'one')[7:]}  a\n{_plain(b'two')[7:]}  b\n"
    assert fingerprint([b, a]) == fingerprint([a, b]) == _plain(lines.encode())


def test_a_file_is_read_once(tmp_path, settle, read):
    file = _old(tmp_path / "a", b"one")
    assert fingerprint([file]) == fingerprint([file]) == _plain(b"one")
    assert len(read) == 1


@pytest.mark.parametrize("change", ["size", "time", "inode", "path", "in place"])
def test_a_changed_file_is_read_again(tmp_path, settle, read, change):
    file = _old(tmp_path / "a", b"one")
    fingerprint([file])
    if change == "size":
        _old(file, b"three")
    elif change == "time":
        _old(file, b"two", at=1_000_000_001)
    elif change == "inode":
        os.replace(_old(tmp_path / "new", b"two"), file)
    elif change == "path":
        file = file.rename(tmp_path / "b")
    else:  # same size, same inode, and the time of modification set back
        _old(file, b"two")
    assert fingerprint([file]) == _plain(file.read_bytes())
    assert len(read) == 2


def test_a_file_modified_just_now_is_not_remembered(tmp_path, read, cache):
    file = tmp_path / "a"
    file.write_bytes(b"one")
    assert fingerprint([file]) == fingerprint([file])
    assert len(read) == 2
    assert not cache.exists()


@pytest.mark.parametrize("damage", ["", "[]", "{", "null", '{"sha256": 1}'])
def test_a_damaged_entry_is_replaced(tmp_path, settle, read, cache, damage):
    file = _old(tmp_path / "a", b"one")
    fingerprint([file])
    (entry,) = (cache / "fingerprints").iterdir()
    entry.write_text(damage)
    assert fingerprint([file]) == fingerprint([file]) == _plain(b"one")
    assert len(read) == 2
    assert json.loads(entry.read_text())["size"] == 3


def test_it_works_without_a_writable_cache(tmp_path, settle, monkeypatch):
    file = _old(tmp_path / "a", b"one")
    for place in (file / "below a file", "~nobody-of-this-name"):
        monkeypatch.setenv("CHAINRULE_CACHE", str(place))
        assert fingerprint([file]) == _plain(b"one")


def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        fingerprint([tmp_path / "absent"])


def test_it_imports_nothing_heavy():
    code = "import sys, chainrule.models.fingerprint\nprint({'torch', 'numpy', 'transformers', 'safetensors'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
