"""The functions that people call: `score_corpus`, and `estimate_corpus`, which says what it would take."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from chainrule._checks import is_whole
from chainrule.corpus.output import Output
from chainrule.corpus.progress import Progress
from chainrule.corpus.result import Corpus, Estimate
from chainrule.corpus.run import Asked, Run
from chainrule.corpus.work import Loading, Scoring, check_per
from chainrule.errors import InputError, short
from chainrule.files.columns import Columns
from chainrule.files.reading import Layout

if TYPE_CHECKING:
    from chainrule.language import LanguageModel

Inputs = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


# fmt: off
def score_corpus(
    inputs: Inputs, output: str | os.PathLike[str], model: str | os.PathLike[str] | LanguageModel | None = None, *,
    text: str | None = None, id: str | None = None, keep: Sequence[str] | Literal["all"] = (),
    per: Literal["document", "token", "both"] = "document", limit: int | None = None, workers: int | Literal["auto"] = "auto",
    ray: str | None = None, part_size: int | None = None, strict: bool = False, fresh: bool = False,
    tokenizer: str | os.PathLike[str] | None = None, dtype: str | None = None, device: str | None = None,
    start: str | int = "auto", revision: str | None = None, cache_dir: str | os.PathLike[str] | None = None,
    adapter: str | os.PathLike[str] | None = None, end: bool | int | None = None, special: str = "text",
    window: int | bool | None = None, stride: int | None = None, temperature: float = 1.0,
    format: str | None = None, encoding: str | None = None, separator: str | None = None, quotes: str | None = None,
    say: Callable[[str], None] | None = None, progress: Callable[[Progress], None] | None = None,
) -> Corpus:
    # fmt: on
    """Score every document of many files once, into a folder of Parquet parts. The same call goes on where a run stopped.

    inputs: files, folders or patterns: Parquet, Arrow, JSON lines, JSON, CSV, TSV or plain lines, also compressed.
    output: the folder of the parts and the manifest. Each part is written whole.
    model: the name of a model, as in `load`: each worker is a process that loads it. Or a `LanguageModel`, which scores in
        this process. The options from `tokenizer` to `adapter` are those of `load`, and for a name only.
    text: the column of the texts (default: "text", or the only column of texts).
    id: a column that identifies a document, kept in the output. Without it, `file` and `row` do.
    keep: further columns of the files that come back; "all": all of them.
    per: what a row has: numbers of the document, lists with an entry for each token, or both.
    limit: the number of documents, from the first, that are scored.
    workers: the number of processes, each with its share of the cores. "auto": a few of several threads, or many of one, by a
        trial of some seconds; one for each GPU with device="cuda".
    ray: a Ray cluster to score on: its address, "auto" for the one that this machine belongs to, or "local" for one that is
        started here. Needs the extra ray. All machines must find the model under its name; files are read and written here.
    part_size: about the number of characters in a part (default: what a worker scores in 20 s).
    strict: stop at the first document that cannot be scored, and at an id that is missing or used twice.
    fresh: remove the parts and the manifest of earlier runs first.
    end: True, or the id of an end symbol: add the factor of the end symbol.
    special: how names of control symbols, such as <|endoftext|>, are read: "text" or "parse".
    window: the largest number of embeddings to condition on (default: the model's own limit); False refuses longer texts.
    stride: the number of tokens from one window to the next (default: half a window).
    temperature: T in softmax(logits / T), which every factor is taken from; 1 is the model itself.
    format, encoding, separator, quotes: how the files are read, if their names do not say it.
    say: called with sentences about the run (default: they go to the log "chainrule").
    progress: called with a `Progress` about twice a second.

    A document that cannot be scored is a row with the reason in `error`. The numbers and their bits do not depend on the
    workers, on the parts or on how often the run was stopped. The first Ctrl-C ends the run after the parts in hand, the
    second one at once. Raises InputError for files and options that cannot be used, or that differ from those of the manifest;
    ModelError; OutputError, after which the same call goes on.
    """
    with Output(output) as folder:
        run = prepared(
            inputs, model, text=text, id=id, keep=keep, per=per, limit=limit, workers=workers, ray=ray, part_size=part_size,
            strict=strict, tokenizer=tokenizer, dtype=dtype, device=device, start=start, revision=revision, cache_dir=cache_dir,
            adapter=adapter, end=end, special=special, window=window, stride=stride, temperature=temperature, format=format,
            encoding=encoding, separator=separator, quotes=quotes, say=say, progress=progress,
        )  # fmt: skip
        return run.score(folder, fresh)


# fmt: off
def estimate_corpus(
    inputs: Inputs, model: str | os.PathLike[str] | LanguageModel | None = None, *, text: str | None = None,
    limit: int | None = None, workers: int | Literal["auto"] = "auto", ray: str | None = None,
    tokenizer: str | os.PathLike[str] | None = None, dtype: str | None = None, device: str | None = None,
    start: str | int = "auto", revision: str | None = None, cache_dir: str | os.PathLike[str] | None = None,
    adapter: str | os.PathLike[str] | None = None, end: bool | int | None = None, special: str = "text",
    window: int | bool | None = None, stride: int | None = None,
    format: str | None = None, encoding: str | None = None, separator: str | None = None, quotes: str | None = None,
    say: Callable[[str], None] | None = None, progress: Callable[[Progress], None] | None = None,
) -> Estimate:
    # fmt: on
    """Count the tokens and distinct contexts of a corpus, and measure how fast they would be scored. Nothing is written.

    The arguments are those of `score_corpus`. All documents are tokenised, and some are scored, for about a second.
    """
    return prepared(
        inputs, model, text=text, limit=limit, workers=workers, ray=ray, tokenizer=tokenizer, dtype=dtype, device=device,
        start=start, revision=revision, cache_dir=cache_dir, adapter=adapter, end=end, special=special, window=window,
        stride=stride, format=format, encoding=encoding, separator=separator, quotes=quotes, say=say, progress=progress,
    ).count()  # fmt: skip


# fmt: off
def prepared(
    inputs: Inputs, model: Any, *, text: str | None = None, id: str | None = None, keep: Any = (), per: str = "document",
    limit: Any = None, workers: Any = "auto", ray: str | None = None, part_size: Any = None, strict: bool = False,
    end: Any = None, special: str = "text", window: Any = None, stride: Any = None, temperature: float = 1.0,
    format: str | None = None, encoding: str | None = None, separator: str | None = None, quotes: str | None = None,
    say: Callable[[str], None] | None = None, progress: Callable[[Progress], None] | None = None, **loading: Any,
) -> Run:
    # fmt: on
    """A run whose files have been found and hashed, with the arguments of `score_corpus`. Raises InputError."""
    check_per(per)
    if workers != "auto" and not is_whole(workers, 1, 1 << 12):
        raise InputError(f"workers must be 'auto' or a whole number, 1 or more, not {short(workers)}")
    for name, value in (("limit", limit), ("part_size", part_size)):
        if value is not None and not is_whole(value, 1):
            raise InputError(f"{name} must be a whole number, 1 or more, not {short(value)}")
    if isinstance(keep, str) and keep != "all":
        raise InputError(f"keep must be a list of columns or 'all', not {short(keep)}")
    lm, how = _model(model, workers != "auto" or ray is not None, loading)
    names = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    asked = Asked(
        tuple(os.fspath(name) for name in names),
        Layout(format, encoding, quotes, separator),
        Columns(text=text, id=id),
        None if keep == "all" else tuple(keep),
        limit,
        strict,
        how,
        Scoring(per, end, special, window, stride, temperature),
        None if workers == "auto" else int(workers),
        part_size,
        ray,
    )
    return Run(asked, lm, say or _log, progress or _silent)


def _model(model: Any, distributed: bool, loading: dict[str, Any]) -> tuple[LanguageModel | None, Loading]:
    """The model in memory, or None; and how workers load it. Raises InputError for options that it does not take."""
    if model is None or isinstance(model, str | os.PathLike):
        paths = {name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in loading.items()}
        return None, Loading(None if model is None else os.fspath(model), **paths)
    if distributed:
        raise InputError("workers= and ray= are for the name of a model, which each worker loads, but the model is in memory")
    given = [name for name, value in loading.items() if value not in (None, "auto")]
    if given:
        raise InputError(f"{given[0]}= is for the name of a model, but the model is in memory; give it to load")
    return model, Loading(model=f"in memory: {model.model.name}")


def _log(sentence: str) -> None:
    logging.getLogger("chainrule").info("%s", sentence)


def _silent(progress: Progress) -> None:
    """Show nothing."""
