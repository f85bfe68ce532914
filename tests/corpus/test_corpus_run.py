"""Runs over a corpus with a model in memory: the rows, runs that go on, and what stops one."""

from __future__ import annotations

import json
import math
import os
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from corpora import LONG, leftovers, rows_of, write_corpus
from tiny_llama import tiny_llama

import chainrule
from chainrule.corpus.output import Output
from chainrule.errors import InputError, ModelError, OutputError

SIZE = 400  # characters of a part


@pytest.fixture(scope="module")
def texts(fortunes):
    return [text[:60] for text in fortunes[:120]]


@pytest.fixture(scope="module")
def files(tmp_path_factory, texts):
    return write_corpus(tmp_path_factory.mktemp("corpus"), texts)


@pytest.fixture
def score(tiny, files, tmp_path):
    """Score the corpus into a folder; what was said is in `score.said`."""

    def run(out="out", inputs=files, lm=tiny, part_size=SIZE, **options):
        run.said = []
        return chainrule.score_corpus(inputs, tmp_path / out, lm, part_size=part_size, say=run.said.append, **options)

    return run


def tables_equal(a: Path, b: Path) -> bool:
    return rows_of(a).equals(rows_of(b))


def test_rows_are_those_of_score_batch_bit_for_bit(score, tiny, files, texts, tmp_path):
    corpus = score(keep=("id", "lang"), per="both")
    rows = corpus.to_arrow()
    assert rows["file"].to_pylist() == [file for file in files for _ in range(30)]
    assert rows["row"].to_pylist() == [*range(30)] * 4
    assert rows["id"].to_pylist()[1:] == [f"{file}-{i}" for file in range(4) for i in range(30)][1:]
    assert rows["lang"].to_pylist()[:4] == [None, "en", "de", "en"]  # the first row cannot be read
    failed = [i for i, error in enumerate(rows["error"].to_pylist()) if error]
    assert failed == [0, 31]
    expected = [text for i, text in enumerate(texts) if i not in failed]
    expected[57] = LONG  # the last one of the second file, in windows
    scores = tiny.score_batch(expected)
    good = rows.take([i for i in range(120) if i not in failed])
    wanted = scores.to_arrow()
    for name in ("logprob", "tokens", "bits", "perplexity", "bytes", "bits_per_byte", "windows", "least_context", "cut"):
        assert good[name].to_pylist() == wanted[name].to_pylist(), name
    for name in ("ids", "logprobs", "ranks", "entropies_bits"):
        assert np.array_equal(np.concatenate(good[name].to_pylist()), getattr(scores, name)), name
        assert [len(each) for each in good[name].to_pylist()] == scores.tokens.tolist()
    bad = rows.take(failed).to_pylist()
    assert all(
        row[name] is None for row in bad for name in row if rows.schema.names.index(name) > rows.schema.names.index("error")
    )
    assert "0xff" in bad[0]["error"]
    assert "is empty" in bad[1]["error"]
    assert (corpus.documents, corpus.failed, corpus.first_error) == (120, 2, bad[0]["error"])
    assert (corpus.tokens, corpus.bytes) == (scores.tokens.sum(), scores.bytes.sum())
    hashes = rows["text_blake2"].to_pylist()
    assert hashes[0] is None
    assert hashes[1] == blake2b(texts[1].encode(), digest_size=16).hexdigest()


def test_numbers_do_not_depend_on_parts(score, tmp_path):
    for size in (100, 3000, 10**6):
        score(out=str(size), part_size=size, per="both")
    counts = [len(list((tmp_path / str(size)).glob("part-*"))) for size in (100, 3000, 10**6)]
    assert counts[0] > counts[1] > counts[2] == 1
    assert tables_equal(tmp_path / "100", tmp_path / "3000")
    assert tables_equal(tmp_path / "100", tmp_path / str(10**6))


@pytest.mark.parametrize(("per", "has", "lacks"), [("document", "logprob", "ids"), ("token", "ids", "logprob")])
def test_kinds_of_rows(score, per, has, lacks):
    names = score(per=per).to_arrow().schema.names
    assert names[:4] == ["file", "row", "text_blake2", "error"]
    assert has in names
    assert lacks not in names


def test_a_run_goes_on_with_what_is_missing_only(score, tmp_path, monkeypatch):
    score()
    parts = sorted((tmp_path / "out").glob("part-*"))
    whole, expected = {part.name: part.read_bytes() for part in parts}, rows_of(tmp_path / "out")
    for part in parts[::3]:
        part.unlink()
    times = {part.name: part.stat().st_mtime_ns for part in parts if part.exists()}
    corpus = score()
    assert rows_of(tmp_path / "out").equals(expected)
    assert {part.name: part.read_bytes() for part in parts} == whole
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in times} == times
    assert (corpus.documents, corpus.failed) == (120, 2)
    monkeypatch.setattr(chainrule.LanguageModel, "score_batch", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        score(out="other")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda raw: raw[: len(raw) // 2], "it is damaged"),
        (lambda raw: b"", "it is damaged"),
        (lambda raw: raw[:40] + bytes([raw[40] ^ 1]) + raw[41:], "it is damaged"),
    ],
)
def test_a_damaged_part_is_scored_again(score, tmp_path, damage, words):
    score()
    part = sorted((tmp_path / "out").glob("part-*"))[1]
    whole = part.read_bytes()
    part.write_bytes(damage(whole))
    score()
    assert part.read_bytes() == whole
    assert [words in said for said in score.said if "again" in said] == [True]


def test_a_part_of_another_corpus_is_scored_again(score, tmp_path):
    score()
    parts = sorted((tmp_path / "out").glob("part-*"))
    whole = parts[1].read_bytes()
    parts[1].write_bytes(parts[2].read_bytes())
    score()
    assert parts[1].read_bytes() == whole
    assert any("other documents" in said for said in score.said)
    pa.parquet.write_table(pa.table({"x": [1]}), parts[1])
    score()
    assert parts[1].read_bytes() == whole
    assert any("not written by this program" in said for said in score.said)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"per": "both"}, "per was 'document' and is 'both'"),
        ({"temperature": 2.0}, "temperature was 1.0 and is 2.0"),
        ({"end": True}, "end was not set and is True"),
        ({"window": False}, "window was not set and is False"),
        ({"keep": ("lang",)}, "keep was"),
        ({"limit": 5}, "limit was not set and is 5"),
        ({"part_size": 500}, "part size was 400 and is 500"),
        ({"id": "id"}, "id was not set and is 'id'"),
    ],
)
def test_other_settings_are_refused_with_the_difference(score, tmp_path, options, words):
    score()
    before = rows_of(tmp_path / "out")
    with pytest.raises(InputError, match=words):
        score(**options)
    assert rows_of(tmp_path / "out").equals(before)
    score(fresh=True, **options)
    assert (tmp_path / "out" / "_manifest.json").exists()


def test_another_model_is_refused(score, tiny, tiny_folder, tmp_path):
    score()
    other = tiny_llama()
    with torch.no_grad():
        next(other.parameters())[0, 0] += 1e-3
    with pytest.raises(InputError, match=r"revision was 'sha256:.*' and is 'sha256:"):
        score(lm=chainrule.load(other, tiny.tokenizer))
    with pytest.raises(InputError, match="dtype was 'float32' and is 'float64'"):
        score(lm=chainrule.load(tiny_folder, dtype="float64"))
    with pytest.raises(InputError, match="start was 'bos' and is 'given'"):
        score(lm=chainrule.load(tiny_folder, start="given"))


def test_changed_files_are_refused_with_their_names(score, tmp_path):
    a, b = tmp_path / "a.txt", tmp_path / "b.txt"
    a.write_text("one\ntwo\n")
    b.write_text("three\n")
    score(inputs=[a, b])
    b.write_text("threE\n")
    with pytest.raises(InputError, match=r"out was begun otherwise: .*b.txt has changed\. Give the same again"):
        score(inputs=[a, b])
    b.write_text("three and more\n")
    with pytest.raises(InputError, match=r"b.txt has changed \(6 bytes, now 15\)"):
        score(inputs=[a, b])
    b.write_text("three\n")
    with pytest.raises(InputError, match=r"b.txt is not among the files any more"):
        score(inputs=[a])
    with pytest.raises(InputError, match="the files come in another order"):
        score(inputs=[b, a])
    assert score(inputs=[a, b]).documents == 3


def test_a_text_without_a_number_is_a_row_and_harms_no_other(score, tiny, texts, tmp_path, monkeypatch):
    own = type(tiny).score_batch

    def score_batch(self, batch, **options):
        if any("NaN" in text for text in batch):
            raise ModelError("tiny gave NaN for 1 of 9 factors")
        return own(self, batch, **options)

    monkeypatch.setattr(type(tiny), "score_batch", score_batch)
    path = tmp_path / "a.txt"
    path.write_text("".join(f"{'NaN' if i in (7, 40) else i} text\n" for i in range(60)))
    rows = score(inputs=[path], part_size=10**6).to_arrow().to_pylist()
    assert [i for i, row in enumerate(rows) if row["error"]] == [7, 40]
    assert rows[7]["error"] == "tiny gave NaN for 1 of 9 factors"
    assert all(math.isfinite(row["logprob"]) for i, row in enumerate(rows) if i not in (7, 40))


def test_too_long_without_windows(score):
    rows = score(window=False).to_arrow().to_pylist()
    assert "it needs a context of 121 embeddings, and the model takes 64" in rows[59]["error"]


def test_strict_stops_at_the_first(score, tmp_path):
    with pytest.raises(InputError, match="0xff"):
        score(strict=True)
    assert rows_of(tmp_path / "out").num_rows < 120
    with pytest.raises(InputError, match="0xff"):  # also if its part is there
        score(strict=True)
    assert score().documents == 120
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": "x y", "id": id}) + "\n" for id in ("a", "b", "a")))
    with pytest.raises(InputError, match=r"that an earlier row has, first line 3 of .*: a"):
        score(out="ids", inputs=[path], id="id", strict=True)
    corpus = score(out="ids", inputs=[path], id="id")
    assert corpus.to_arrow(["id"]).to_pydict() == {"id": ["a", "b", "a"]}
    assert corpus.notes == (f"1 row with a value in the column 'id' (--id) that an earlier row has, first line 3 of {path}: a",)


def test_our_columns_give_way_to_those_of_the_user(score, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "b", "file": "mine", "row": 7, "logprob": "x"}\n{"text": "a", "file": "z", "row": 1}\n')
    corpus = score(inputs=[path], keep="all")
    rows = corpus.to_arrow()
    assert rows.schema.names[:4] == ["text", "file", "row", "logprob"]
    assert rows["row"].to_pylist() == [7, 1]
    assert rows["row_chainrule"].to_pylist() == [0, 1]
    assert corpus.to_arrow(["logprob_chainrule"]).column(0).null_count == 0
    assert corpus.summary().whole.documents == 2


def test_two_runs_on_one_folder(score, tmp_path):
    with Output(tmp_path / "out"), pytest.raises(OutputError, match=rf"is being written by process {os.getpid()} on "):
        score()
    assert score().documents == 120


def test_folders_that_are_not_ours(score, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot write to"):
        score(out="file")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "part-1.parquet").write_text("x")
    with pytest.raises(InputError, match=r"has part-1.parquet, but no _manifest.json"):
        score()
    score(fresh=True)
    (tmp_path / "out" / "_manifest.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        score()
    (tmp_path / "out" / "_manifest.json").write_text('{"format": 99}')
    with pytest.raises(InputError, match="another format"):
        score()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    score(fresh=True)
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def test_a_full_disk_loses_no_part(score, tmp_path, monkeypatch):
    from chainrule.corpus import output

    own, left = output.write_bytes, [4]

    def write(path, raw, inputs=()):
        left[0] -= 1
        if left[0] < 0:
            raise OutputError(f"cannot write {path}: No space left on device")
        own(path, raw, inputs)

    monkeypatch.setattr(output, "write_bytes", write)
    with pytest.raises(OutputError, match="No space left") as raised:
        score()
    assert raised.value.__notes__ == [
        f"{rows_of(tmp_path / 'out').num_rows} documents are done; the same command goes on from there"
    ]
    assert len(list((tmp_path / "out").glob("part-*"))) == 3
    left[0] = 10**6
    assert score().documents == 120
    assert leftovers(tmp_path / "out") == []


def test_lists_are_large_where_2_31_entries_are_possible(score, monkeypatch):
    from chainrule.corpus import run

    assert str(score(per="token").to_arrow().schema.field("ids").type) == "list<element: int32>"
    monkeypatch.setattr(run, "_MANY", 1000)
    large = score(out="large", per="token").to_arrow()
    assert str(large.schema.field("ids").type) == "large_list<element: int32>"
    assert large["ids"].to_pylist() == score(per="token").to_arrow()["ids"].to_pylist()


def test_parts_say_where_they_come_from(score, tmp_path):
    score()
    for part in (tmp_path / "out").glob("part-*"):
        own = json.loads(pyarrow.parquet.read_schema(part).metadata[b"chainrule"])
        assert own["start"] == "bos"
        assert own["revision"].startswith("sha256:")


def test_estimate_agrees_with_the_run(score, tiny, files):
    corpus = score(part_size=10**6)
    estimate = chainrule.estimate_corpus(files, tiny, say=lambda _: None)
    names = ("documents", "failed", "tokens", "bytes", "contexts", "first_error")
    assert {name: getattr(estimate, name) for name in names} == {name: getattr(corpus, name) for name in names}
    without = chainrule.estimate_corpus(files, tiny, window=False, say=lambda _: None)
    assert without.failed == estimate.failed + 1
    assert 0 < without.tokens < estimate.tokens
    assert estimate.seconds == estimate.contexts / estimate.contexts_per_second > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [({"per": "word"}, "per must be one of"), ({"limit": 0}, "limit must be"), ({"keep": "lang"}, "keep must be a list"),
     ({"workers": 2}, "the model is in memory"), ({"ray": "auto"}, "the model is in memory"),
     ({"dtype": "float64"}, "dtype= is"),
     ({"part_size": -1}, "part_size must be"), ({"window": 1}, "window must be"), ({"start": "eos"}, "start= is for"),
     ({"inputs": []}, "nothing to score")],
)  # fmt: skip
def test_options_that_cannot_be_used(score, tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        score(**options)
    assert not list((tmp_path / "out").glob("part-*"))


def test_progress(tiny, files, tmp_path):
    seen = []
    chainrule.score_corpus(files, tmp_path / "out", tiny, part_size=SIZE, progress=seen.append)
    assert [state.documents for state in seen] == sorted(state.documents for state in seen)
    last = seen[-1]
    assert (last.stage, last.documents, last.failed, last.total) == ("scoring", 120, 2, 120)
    assert 0 < last.distinct <= 1
    assert last.tokens_per_second > 0
    assert last.seconds_left == 0
    assert {state.stage for state in seen} == {"reading", "loading", "scoring"}


def test_a_file_that_is_changed_during_a_run(score, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one\ntwo\n")

    def change(state):
        if state.stage == "scoring" and path.read_text() == "one\ntwo\n":
            path.write_text("one\ntwo\nthree\n")

    with pytest.raises(InputError, match=r"a.txt was changed while it was read, .*: use --fresh"):
        score(inputs=[path], progress=change)
    with pytest.raises(InputError, match="has changed"):
        score(inputs=[path])
    assert score(inputs=[path], fresh=True).documents == 3
