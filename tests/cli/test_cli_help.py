"""The pages of help: their widths and words, and their examples, each of which is run."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import transformers as tf
import typer
from masked_zoo import strong
from text_zoo import wordpiece

from chainrule.cli.app import PANELS
from chainrule.cli.examples import EXAMPLES, START
from chainrule.cli.parameters import parameters_of
from chainrule.program import app
from chainrule.serving.server import listening_socket

PAGES = ["", *EXAMPLES]
TASK = """task: rain
dataset_path: json
dataset_kwargs: {data_files: {test: tasks/rain.json}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{text}}"
doc_to_choice: "{{choices}}"
doc_to_target: label
"""


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_pages_fit_the_terminal(command, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    for name in PAGES:
        code, out, err = command(*filter(None, [name]), "--help")
        assert (code, err) == (0, "")
        tables = [line for line in out.splitlines() if "chainrule " not in line and "|" not in line]
        assert [line for line in tables if len(line) > min(width, 100) and "google-bert" not in line] == [], name


def test_words_of_users_not_of_programmers(command):
    text = "".join(command(*filter(None, [name]), "--help")[1] for name in PAGES)
    for word in ("<str>", "INTEGER", "list[", "<bool>", "x>=0", "[default", "None"):
        assert word not in text


def test_options_of_one_name_have_one_short_name_and_one_metavar():
    spelled: dict[str, set[tuple[tuple[str, ...], str]]] = {}
    for each in typer.main.get_command(app).commands.values():
        for parameter in parameters_of(each.callback):
            if parameter.names:
                spelled.setdefault(parameter.names[0], set()).add((parameter.names, parameter.metavar))
    assert {name: ways for name, ways in spelled.items() if len(ways) > 1} == {}


def test_every_command_has_a_group_and_one_line(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = command("--help")
    lines = out.splitlines()
    assert [panel for panel in PANELS if f"{panel}:" not in lines] == []
    assert [name for name in EXAMPLES if sum(line.startswith(f"  {name} ") for line in lines) != 1] == []
    assert [line for line in lines if line.startswith(" " * 17) and "  " not in line.strip()] == []
    assert command()[:2] == (0, out)


def test_help_is_bold_in_a_terminal_only(command, monkeypatch):
    from chainrule.cli import help as pages

    assert "\033" not in command("score", "--help")[1]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for variable, value, bold in (("TERM", "xterm", True), ("TERM", "dumb", False), ("NO_COLOR", "1", False)):
        monkeypatch.setenv(variable, value)
        assert ("\033[1m" in pages.command_page("x", "", [], [])) == bold


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random masked model in a folder."""
    path, tokenizer = tmp_path_factory.mktemp("tiny-bert"), wordpiece()
    config = tf.BertConfig(vocab_size=tokenizer.size, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                           intermediate_size=24, max_position_embeddings=32)  # fmt: skip
    strong(tf.BertForMaskedLM(config)).save_pretrained(path)
    tokenizer.hf.save_pretrained(path)
    return path


@pytest.fixture
def folder(tiny_folder: Path, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with the files and models that the examples name. A packaged model counts as pulled."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("chainrule.models.packaged.pull", lambda name, say: tmp_path / name)
    Path("items.csv").write_text("item,number,sentence\n1,plural,They are here.\n1,singular,They is here.\n")
    Path("pairs.csv").write_text("good,bad,type\nIt is dark.,It are dark.,agreement\n")
    rows = [{"question": "It is", "choices": ["dark", "light"], "answer": i} for i in (0, 1)]
    Path("questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("goals.csv").write_text("goal,sol1,sol2,label\nTo boil water,heat it.,cool it.,0\n")
    Path("sentences.csv").write_text("item,sentence\n1,It is raining.\n")
    Path("regions.csv").write_text("item,sentence\n1,It is|raining.\n")
    Path("rows.csv").write_text("item,condition,word\n1,a,It\n1,a,rains.\n")
    Path("cities.txt").write_text(" Paris\n London\n")
    Path("texts.txt").write_text("It is raining.\nIt is dark.\n")
    Path("book.txt").write_text("It is raining.")
    Path("mine.json").write_text("[-7.5, -1.3, -2.9, -1.6]")
    region = {"region_number": 1, "content": "It is dark."}
    item = {"item_number": 1, "conditions": [{"condition_name": "a", "regions": [region]}]}
    formula = {"type": "formula", "formula": "(1;%a%) > 0"}
    Path("agreement.json").write_text(json.dumps({"predictions": [formula], "items": [item]}))
    Path("shards").mkdir()
    Path("shards/a.jsonl").write_text('{"text": "a"}\n')
    Path("shards/b.jsonl").write_text('{"text": "b"}\n')
    Path("tasks").mkdir()
    Path("tasks/rain.yaml").write_text(TASK)
    Path("tasks/rain.json").write_text(json.dumps([{"text": "It is", "choices": ["dark", "raining"], "label": 1}]))
    Path("google-bert").mkdir()
    for name in ("my-model", "my-tuned-model"):
        Path(name).symlink_to(tiny_folder, target_is_directory=True)
    for name in ("my-bert", "google-bert/bert-base-uncased"):
        Path(name).symlink_to(bert, target_is_directory=True)
    monkeypatch.setattr("chainrule.serving.server.server_of", lambda app, most, on_start: Stopping(on_start))
    monkeypatch.setattr("chainrule.serving.server.listening_socket", lambda *_: listening_socket("127.0.0.1", 0))


class Stopping:
    """A server that starts, and stops at once."""

    def __init__(self, on_start: Callable[[], None]) -> None:
        self._on_start = on_start

    def run(self, sockets: object) -> None:
        self._on_start()


def words_of(example: str) -> list[str]:
    """The arguments of an example; the tiny model in place of the default one."""
    words = shlex.split(example, comments=True)[1:]
    named = "--model" in words or "my-model/" in words or words[0] in ("pull", "models", "doctor", "completion")
    return words if named else [*words, "--model", "my-model"]


@pytest.mark.parametrize("example", [*START, *(example for examples in EXAMPLES.values() for example in examples)])
def test_examples(command, folder, example):
    if "lm-eval" in example and find_spec("lm_eval") is None:
        pytest.skip("lm_eval is not installed here: make harness")
    if "--decode" in example:
        assert command("verify", "--code", "book.txt", "-o", "book.code", "--model", "my-model")[0] == 0
    code, out, err = command(*words_of(example))
    assert code == 0, err
    assert out or "-o " in example or "serving" in err
    if "--json" in example:
        json.loads(out)


def test_every_command_has_examples():
    assert set(EXAMPLES) == set(typer.main.get_command(app).commands)
    assert [name for name, examples in EXAMPLES.items() if not 2 <= len(examples) <= 4] == []
