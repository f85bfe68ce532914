"""Models found by name: without torch, without the network where it is not needed, and with advice for mistyped names."""

import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import huggingface_hub
import pytest

from chainrule import ModelError
from chainrule.models import hub
from chainrule.models.locate import Located, locate, locate_tokenizer

COMMIT = "a" * 40


@pytest.fixture(autouse=True)
def cached(tmp_path, monkeypatch) -> Path:
    """An empty cache of the hub, and a client that must not be used."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("the network was used"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("a name was looked up"))
    return tmp_path / "hub"


def put(cache: Path, folder: Path, revision: str = "main") -> Path:
    target = cache / "models--owner--name" / "snapshots" / COMMIT
    shutil.copytree(folder, target)
    ref = cache / "models--owner--name" / "refs" / revision
    ref.parent.mkdir(exist_ok=True)
    ref.write_text(COMMIT)
    return target


@pytest.fixture
def online(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


def closed() -> socket.socket:
    return socket.socket()


def refused(name: str | Path, match: str, **options) -> str:
    with pytest.raises(ModelError, match=match) as caught:
        locate(name, **options)
    return str(caught.value)


# On this disk


def test_each_kind_has_its_path(tiny_folder, tmp_path, cached):
    gguf = tmp_path / "a.GGUF"
    gguf.write_bytes(b"GGUF1234")
    assert locate(tiny_folder) == Located(str(tiny_folder), "folder", tiny_folder)
    assert locate(gguf) == Located(str(gguf), "gguf", gguf)
    folder = put(cached, tiny_folder)
    assert locate("owner/name") == Located("owner/name", "hub", folder)


def test_a_folder_is_checked(tiny_folder, tmp_path):
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "model"))
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    for damaged in (whole[:-1], whole + b"x", whole[:100], whole[:5], b"\xff" * 20, whole[:8] + b"[" + whole[9:]):
        weights.write_bytes(damaged)
        refused(folder, "damaged or truncated")
    weights.unlink()
    refused(folder, "no weights")
    (folder / "config.json").unlink()
    refused(folder, r"no config\.json")


@pytest.mark.parametrize(("content", "match"), [(b"", "is empty"), (b"GG", "truncated"), (b"GGML1234", "begins with b'GGML'")])
def test_a_file_that_is_not_gguf(tmp_path, content, match):
    (tmp_path / "a.gguf").write_bytes(content)
    refused(tmp_path / "a.gguf", match)


def test_revision_and_cache_dir_are_for_the_hub(tiny_folder, tmp_path):
    (tmp_path / "a.gguf").write_bytes(b"GGUF1234")
    refused(tiny_folder, f"revision='v1' is for models of the hub, but {tiny_folder} is a folder; omit it", revision="v1")
    refused(tmp_path / "a.gguf", r"cache_dir='c' is for .* is a \.gguf file", cache_dir="c")


# Mistyped names


@pytest.mark.usefixtures("online")
def test_a_mistyped_name_gets_close_matches_and_no_network(tmp_path, tiny_folder, monkeypatch, cached):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_folder, "my-model")
    (tmp_path / "notes").mkdir()
    put(cached, tiny_folder)
    assert "did you mean smollm2-135m?" in refused("smollm2-135mm", "no model 'smollm2-135mm' here")
    assert "did you mean my-model?" in refused("my-modle", "owner/my-modle")
    assert refused("./my-modl", "no model folder").endswith("did you mean ./my-model")
    assert refused(f"{tmp_path}/my-mode", "no model folder").endswith(f"did you mean {tmp_path}/my-model")
    assert refused(f"{tmp_path}/not", "no model folder").endswith("check the path")
    refused("x" * 5000, "no model folder or file 'xxx")


def test_an_id_that_the_hub_would_refuse_is_not_asked_for():
    for name in ("a b", "a/b/c", "-a", "a--b", "a/../b", "a/", "x" * 97, "a\0b"):
        assert not hub.is_hub_id(name)
    for name in ("gpt2", "owner/name", "owner/name-1.5_x"):
        assert hub.is_hub_id(name)


# The hub


@pytest.mark.usefixtures("online")
def test_a_whole_model_in_the_cache_needs_no_network(cached, tiny_folder):
    folder = put(cached, tiny_folder)
    assert locate("owner/name").path == folder
    assert locate_tokenizer("owner/name") == folder


def test_a_revision_and_another_cache(tiny_folder, tmp_path):
    folder = put(tmp_path / "elsewhere", tiny_folder, "v2")
    assert locate("owner/name", "v2", tmp_path / "elsewhere").path == folder
    assert locate("owner/name", COMMIT, str(tmp_path / "elsewhere")).path == folder
    refused("owner/name", r"'owner/name \(revision v3\)' .*incomplete", revision="v3", cache_dir=tmp_path / "elsewhere")


def test_an_absent_model_offline_names_the_reason(cached, tiny_folder):
    refused("owner/name", r"is not in the hub's cache.*HF_HUB_OFFLINE is set")
    folder = put(cached, tiny_folder)
    (folder / "model.safetensors").unlink()
    refused("owner/name", "no weights")


@pytest.mark.usefixtures("online")
def test_a_look_up_that_hangs_ends_in_time(monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(hub, "SECONDS", 0.05)
    monkeypatch.setattr(socket, "create_connection", lambda *_: over.wait(30) and closed())
    refused("owner/name", r"no answer from huggingface\.co within 0\.05 s")
    over.set()


@pytest.mark.usefixtures("online")
def test_the_hub_is_asked_once(monkeypatch):
    asked = []

    def refuse(address, seconds):
        asked.append((address, seconds))
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", refuse)
    refused("owner/name", r"huggingface\.co: Connection refused")
    assert asked == [(("huggingface.co", 443), hub.SECONDS)]


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, ("hub.example", 443)),
        ({"https_proxy": "http://user:secret@proxy.example:3128"}, ("proxy.example", 3128)),
        ({"https_proxy": "proxy.example"}, ("proxy.example", 80)),
        ({"all_proxy": "socks5://proxy.example"}, ("proxy.example", 1080)),
        ({"https_proxy": "http://proxy.example:3128", "no_proxy": "hub.example"}, ("hub.example", 443)),
    ],
)
def test_a_proxy_is_used(monkeypatch, variables, address):
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert hub._address("https://hub.example") == address


def test_only_the_tokenizer_of_a_tokenizer_is_fetched(monkeypatch, tmp_path):
    patterns = []
    monkeypatch.setattr(hub, "unreachable", lambda: None)
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda _, **how: patterns.append(how["allow_patterns"]) or str(tmp_path)
    )
    assert locate_tokenizer("owner/name") == tmp_path
    assert len(patterns) == 1
    assert not any("safetensors" in pattern for pattern in patterns[0])


def test_it_imports_nothing_heavy(tiny_folder, tmp_path):
    (tmp_path / "a.gguf").write_bytes(b"GGUF1234")
    code = f"""
import sys
from chainrule import ModelError
from chainrule.models.locate import locate
locate({str(tiny_folder)!r}), locate({str(tmp_path / "a.gguf")!r})
for name in ("smollm2-135n", "owner/name"):
    try:
        locate(name)
    except ModelError:
        pass
print(sorted({{"torch", "transformers", "numpy", "pyarrow", "gguf"}} & {{*sys.modules}}))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
