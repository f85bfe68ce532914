"""The model of lm-evaluation-harness beside the harness's own, `hf`: requests, whole tasks, and the command line.

These tests need lm_eval, which has an environment of its own: make harness.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval", reason="lm_eval is not installed here: make harness")
os.environ["HF_DATASETS_OFFLINE"] = "1"

import torch
from harness_models import CONTEXT, FAMILIES, write
from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM, CachingLM, TemplateLM
from lm_eval.api.registry import get_model
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from text_zoo import CORPUS

import chainrule
from chainrule import InputError, LanguageModel, ModelError
from chainrule.evaluation.lm_eval import ChainruleLM

DATA = Path(__file__).resolve().parents[2] / "benchmarks" / "data"
TEXTS = CORPUS[:3]
PAIRS = [
    *((line[:cut], line[cut:end]) for line in TEXTS for cut, end in ((0, 9), (9, 20), (16, 44))),
    ("Hello world, ", "hello"),
    ("a \n\n ", "b"),
    ("", "Hello world"),
    ("", "<s>Hello"),
    ("<s>Hello", " there"),
    *(("Pack my", choice) for choice in (" A", " B", " C", " D", " five dozen", " box")),
    *((TEXTS[2] * 5, choice) for choice in (" liquor jugs", " box", " x")),  # longer than the context
]


def requests(kind: str, arguments: list[tuple[Any, ...]]) -> list[Instance]:
    return [Instance(kind, {}, each, i) for i, each in enumerate(arguments)]


class Both:
    """One model, twice. Without its cache `hf` has no fault where contexts overlap; see below."""

    def __init__(self, folder: Path, dtype: str = "float32", **options: Any) -> None:
        self.hf = HFLM(str(folder), dtype=dtype, device="cpu", batch_size=3, **({"logits_cache": False} | options))
        self.ours = ChainruleLM(str(folder), dtype=dtype)

    def __call__(self, kind: str, arguments: list[tuple[Any, ...]]) -> tuple[list[Any], list[Any]]:
        return tuple(getattr(lm, kind)(requests(kind, arguments), disable_tqdm=True) for lm in (self.hf, self.ours))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {family: write(family, tmp_path_factory.mktemp("family")) for family in FAMILIES}


@pytest.fixture(params=list(FAMILIES))
def folder(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Path:
    return folders[request.param]


def assert_equal(hf: list[tuple[float, bool]], ours: list[tuple[float, bool]], within: float) -> None:
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in hf]
    assert max(abs(a - b) for (a, _), (b, _) in zip(hf, ours, strict=True)) < within


@pytest.mark.parametrize(("dtype", "within"), [("float32", 1e-4), ("float64", 1e-9)])
def test_the_same_log_likelihoods(folder: Path, dtype: str, within: float):
    both = Both(folder, dtype)
    assert (both.ours.max_length, both.ours.prefix_token_id) == (both.hf.max_length, both.hf.prefix_token_id)
    hf, ours = both("loglikelihood", PAIRS)
    assert_equal(hf, ours, within)
    greedy = [
        (text, both.hf.generate_until(requests("", [(text, {"max_gen_toks": 2})]), True)[0]) for text in ("Hello", TEXTS[0])
    ]
    assert_equal(*both("loglikelihood", [pair for pair in greedy if pair[1]]), within)


def test_the_same_rolling_log_likelihoods(folder: Path):
    """In float64, since `hf` sums in the dtype of the model."""
    hf, ours = Both(folder, "float64")("loglikelihood_rolling", [("",), ("Hello",), (TEXTS[2] * 8,), (CORPUS[3] * 2,)])
    assert ours == pytest.approx(hf, abs=1e-8)


def test_the_same_texts(folder: Path):
    arguments = [
        ("Hello world", {"max_gen_toks": 9}),
        ("Hello world", {"until": ["e", "\n"], "max_gen_toks": 30, "do_sample": False}),
        (TEXTS[2] * 5, {"until": ["\n\n"], "max_gen_toks": 8, "temperature": 0.0}),
        ("<s>Hello", {"until": "o", "max_gen_toks": 20}),
    ]
    both = Both(folder, "float64")
    both.hf.batch_size_per_gpu = 1  # in a batch, the first context decides on the start symbol of all
    hf, ours = both("generate_until", arguments)
    assert ours == hf


@pytest.mark.parametrize(("start", "add"), [("bos", True), ("given", False)])
def test_a_start_symbol_is_that_of_add_bos_token(folders: dict[str, Path], start: str, add: bool):
    family = folders["mistral, SentencePiece, <s>"]
    hf = HFLM(str(family), dtype="float64", device="cpu", add_bos_token=add, logits_cache=False)
    ours = ChainruleLM(str(family), dtype="float64", start=start)
    assert_equal(*(lm.loglikelihood(requests("", PAIRS), True) for lm in (hf, ours)), 1e-9)


def test_a_shorter_max_length(folder: Path):
    hf = HFLM(str(folder), dtype="float64", device="cpu", max_length=20, logits_cache=False)
    ours = ChainruleLM(str(folder), dtype="float64", max_length=20)
    pairs = [(text, continuation) for text, continuation in PAIRS if len(continuation) < 12]
    assert_equal(*(lm.loglikelihood(requests("", pairs), True) for lm in (hf, ours)), 1e-9)
    texts = [(TEXTS[1],), (TEXTS[2] * 2,)]
    assert ours.loglikelihood_rolling(requests("", texts), True) == pytest.approx(
        hf.loglikelihood_rolling(requests("", texts), True), abs=1e-8
    )


def test_hf_reads_the_wrong_position_where_contexts_overlap(folders: dict[str, Path]):
    """Not ours: it shares logits between requests whose context and continuation end alike, and takes the first ones.

    With logits_cache=False it does not, and then agrees. If this test fails, a newer harness has mended it: docs/lm-eval.md.
    """
    folder, pairs = str(folders["llama, byte level"]), requests("", [("", "Hello world"), ("<s>Hello", " there")])
    cached, plain = (HFLM(folder, dtype="float64", device="cpu", logits_cache=cache) for cache in (True, False))
    ours = ChainruleLM(folder, dtype="float64")
    a, b, c = (lm.loglikelihood(pairs, True) for lm in (cached, plain, ours))
    assert_equal(b, c, 1e-9)
    assert abs(a[1][0] - b[1][0]) > 0.01


def test_encodings_are_those_of_the_template(folder: Path):
    """TemplateLM is the harness's own code for its conventions, with our tokenizer."""
    lm = ChainruleLM(str(folder))
    for context, continuation in PAIRS:
        if context:
            [part] = lm.convention.parts([(context, continuation)])
            assert (part.context_ids.tolist(), part.ids.tolist()) == TemplateLM._encode_pair(lm, context, continuation)
    assert TemplateLM.loglikelihood(lm, requests("", PAIRS), True) == lm.loglikelihood(requests("", PAIRS), True)


@pytest.mark.parametrize("most", [1, 2, 7, 50])
def test_windows_are_those_of_the_harness(folder: Path, most: int):
    lm = ChainruleLM(str(folder), max_length=most)
    for text in ("", "Hello", TEXTS[0] * 3):
        ids = lm.tok_encode(text)
        want = map(make_disjoint_window, get_rolling_token_windows(ids, lm.prefix_token_id, most, 1))
        assert [(part.context_ids.tolist(), part.ids.tolist()) for part in lm.convention.windows(text)] == list(want)


def test_windows_of_chainrule(folder: Path):
    text = TEXTS[2] * 8
    lm = ChainruleLM(str(folder), windows="chainrule")
    ids = lm.tokenizer.encode(text, add_special_tokens=False)
    assert lm.loglikelihood_rolling(requests("", [(text,)]), True) == [lm.lm.score(ids, window=CONTEXT).logprob]


# Tasks

_HEAD = """task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/{file}, shots: {folder}/{file}}}}}
test_split: test
fewshot_split: shots
fewshot_config: {{sampler: first_n}}
"""
TASKS = {
    "choices": """output_type: multiple_choice
doc_to_text: "{{passage}}\\nQuestion: What follows?\\nAnswer:"
doc_to_choice: "{{choices}}"
doc_to_target: label
metric_list: [{metric: acc}, {metric: acc_norm}, {metric: acc_mutual_info}]
""",
    "letters": """output_type: multiple_choice
doc_to_text: "{{passage}}\\nA. {{choices[0]}}\\nB. {{choices[1]}}\\nC. {{choices[2]}}\\nAnswer:"
doc_to_choice: ["A", "B", "C"]
doc_to_target: label
metric_list: [{metric: acc}, {metric: acc_norm}, {metric: brier_score}]
""",
    "cloze": """output_type: loglikelihood
doc_to_text: "{{passage}}"
doc_to_target: " {{choices[label]}}"
metric_list: [{metric: perplexity}, {metric: acc}]
""",
    "rolling": """output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{passage}}"
metric_list: [{metric: word_perplexity}, {metric: byte_perplexity}, {metric: bits_per_byte}]
""",
    "words": """output_type: generate_until
doc_to_text: "{{passage}}"
doc_to_target: " {{choices[label]}}"
generation_kwargs: {until: [".", "\\n"], max_gen_toks: 6}
metric_list: [{metric: exact_match}]
""",
}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tasks of each kind, from sentences of a book in the public domain: a passage, and three words that may follow."""
    folder = tmp_path_factory.mktemp("tasks")
    words = (DATA / "book.txt").read_text(encoding="utf-8")[20_000:60_000].split()
    with (folder / "book.jsonl").open("w") as file:
        for i in range(6):
            passage, rest = words[i * 400 : i * 400 + 30 + 8 * i], words[i * 400 + 30 + 8 * i :]
            label = i % 3
            choices = [" ".join(rest[k : k + 3]) for k in (50, 90)]
            choices.insert(label, " ".join(rest[:3]))
            file.write(json.dumps({"passage": " ".join(passage), "choices": choices, "label": label}) + "\n")
    for name, text in TASKS.items():
        (folder / f"{name}.yaml").write_text(_HEAD.format(name=name, folder=folder, file="book.jsonl") + text)
    return folder


def metrics(lm: LM, tasks: Path, names: list[str], **options: Any) -> dict[str, dict[str, float]]:
    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    found = simple_evaluate(lm, tasks=names, task_manager=manager, bootstrap_iters=0, **options)["results"]
    return {name: {metric: x for metric, x in found[name].items() if isinstance(x, float | int)} for name in names}


def assert_equal_metrics(both: Both, tasks: Path, names: list[str], relative: float, **options: Any) -> None:
    hf, ours = (metrics(lm, tasks, names, **options) for lm in (both.hf, both.ours))
    for name in names:
        assert len(ours[name]) >= 2
        assert ours[name] == pytest.approx(hf[name], rel=relative), name


@pytest.mark.parametrize("options", [{}, {"num_fewshot": 1}, {"num_fewshot": 2, "apply_chat_template": True}], ids=str)
def test_the_same_metrics(folder: Path, tasks: Path, options: dict[str, Any]):
    names = [name for name in TASKS if name != "rolling" or not options]
    assert_equal_metrics(Both(folder, "float64", logits_cache=True), tasks, names, 1e-9, **options)


def test_the_same_metrics_of_a_real_model(real: LanguageModel, tasks: Path):
    folder = Path(real.model.lm.config._name_or_path)
    both = Both(folder, logits_cache=True)
    names = [name for name in TASKS if name != "words"]
    # a relative difference of a perplexity is one of its logarithm, in nats
    assert_equal_metrics(both, tasks, names, 1e-4, limit=3)
    assert_equal_metrics(both, tasks, ["choices", "letters", "words"], 1e-4, num_fewshot=1, limit=2, apply_chat_template=True)
    hf, ours = both("loglikelihood", [pair for pair in PAIRS if not pair[0].startswith(TEXTS[2] * 5)])
    assert_equal(hf, ours, 1e-4)


# The class


def test_the_harness_finds_it_by_its_name(folders: dict[str, Path]):
    lm = get_model("chainrule").create_from_arg_string(
        f"pretrained={folders['llama, byte level']},dtype=float32", {"batch_size": 4}
    )
    assert isinstance(lm, ChainruleLM)
    assert (lm.rank, lm.world_size, lm.device) == (0, 1, torch.device("cpu"))


def test_a_cache_answers_without_the_model(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lm = ChainruleLM(str(folders["llama, byte level"]))
    kinds = {
        "loglikelihood": [("a", " b"), ("a", " c")],
        "loglikelihood_rolling": [("ab",)],
        "generate_until": [("a", {"max_gen_toks": 2})],
    }
    first = {kind: getattr(CachingLM(lm, str(tmp_path / "c")), kind)(requests(kind, each)) for kind, each in kinds.items()}
    monkeypatch.setattr(lm, "lm", None)
    for kind, each in kinds.items():
        assert getattr(CachingLM(lm, str(tmp_path / "c")), kind)(requests(kind, each)) == first[kind]


def test_samples_follow_from_the_harnesss_seed(folders: dict[str, Path]):
    lm = ChainruleLM(str(folders["llama, byte level"]))
    call = requests("", [("Hello", {"do_sample": True, "temperature": 1.0, "max_gen_toks": 12})] * 2)
    texts = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        texts.append(lm.generate_until(call, True))
    assert texts[0] == texts[1] != texts[2]
    assert texts[0][0] != texts[0][1]


def test_results_are_in_the_order_of_the_requests(tiny: LanguageModel):
    lm = ChainruleLM(tiny)
    alone = [lm.loglikelihood(requests("", [pair]), True)[0] for pair in PAIRS[:9]]
    assert lm.loglikelihood(requests("", PAIRS[:9]), True) == alone
    assert lm.loglikelihood(requests("", PAIRS[8::-1]), True) == alone[::-1]
    assert lm.loglikelihood([], True) == lm.loglikelihood_rolling([], True) == lm.generate_until([], True) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"peft": "x"}, r"^chainrule has no model argument peft \(did you mean adapter\?\); it takes pretrained, dtype"),
        ({"maxlength": 3, "b": 1}, r"no model argument maxlength, b \(did you mean max_length\?\)"),
        ({"trust_remote_code": True}, r"^chainrule has no model argument trust_remote_code; it takes"),
        ({"windows": "mine"}, r"^windows='mine' is unknown: choose one of harness, chainrule$"),
        ({"max_length": 0}, r"^max_length must be a whole number, 1 or more, not 0$"),
        ({"dtype": "bfloat16", "adapter": "x"}, r"^dtype, adapter cannot be chosen for a LanguageModel, which is loaded"),
        ({"start": "none"}, r"start='none' is not a start policy"),
    ],
)
def test_arguments_that_are_refused(tiny: LanguageModel, options: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        ChainruleLM(tiny, **options)


def test_models_that_are_refused(tiny: LanguageModel, abc: LanguageModel, caplog: pytest.LogCaptureFixture):
    with pytest.raises(ModelError, match="there is no model folder or file"):
        ChainruleLM("/nowhere")
    with pytest.raises(InputError, match="has no tokenizer, and the harness scores texts"):
        ChainruleLM(chainrule.load(tiny.model.lm))
    with pytest.raises(InputError, match="has no chat template: leave out --apply_chat_template"):
        ChainruleLM(abc).apply_chat_template([{"role": "user", "content": "a"}])
    assert ChainruleLM(abc).loglikelihood(requests("", [("B", "C")]), True) == [
        (abc.score("C", context="B", start="given").logprob, False)
    ]
    caplog.clear()
    ChainruleLM(tiny, batch_size=1)
    assert not caplog.records
    ChainruleLM(tiny, batch_size="auto")
    assert [record.message for record in caplog.records if "chainrule" in record.name] == [
        "chainrule ignores batch_size: it computes all requests of a call together, each context once"
    ]


def test_contexts_that_are_cut_are_told(tiny: LanguageModel, caplog: pytest.LogCaptureFixture):
    ChainruleLM(tiny).loglikelihood(requests("", [(TEXTS[0] * 9, " a"), ("b", " a")]), True)
    assert "1 of 2 contexts were cut from the left to max_length=64" in caplog.text


def test_a_template_that_refuses_system_messages(folders: dict[str, Path]):
    both = Both(folders["llama, byte level"])
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}{{ messages[0]['content'] }}"
    history = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    for template in (both.ours.tokenizer.chat_template, refusing):
        both.hf.tokenizer.chat_template = both.ours.tokenizer.chat_template = template
        assert both.ours.apply_chat_template(history) == both.hf.apply_chat_template(history)
        assert both.ours.chat_template(True) == both.hf.chat_template(True) == template
    assert both.ours.tokenizer_name == both.hf.tokenizer_name


@pytest.fixture
def argv() -> Iterator[Callable[[str], None]]:
    import sys

    before = list(sys.argv)
    yield
    assert sys.argv == before


def test_the_command_line(command: Callable[..., Any], tasks: Path, folders: dict[str, Path], tmp_path: Path, argv: Any):
    folder = folders["llama, byte level"]
    line = ["--model", "chainrule", "--model_args", f"pretrained={folder}", "--tasks", "choices", "--include_path", str(tasks)]
    code, out, err = command("lm-eval", *line, "--output_path", str(tmp_path / "out"), "--limit", "2")
    assert code == 0, err
    assert "|choices|" in out
    [file] = (tmp_path / "out").rglob("results_*.json")
    config = json.loads(file.read_text())["config"]
    assert config["model"] == "chainrule"
    assert config["model_revision"].startswith("sha256:")
    code, _, err = command("lm-eval", *line, "--nothing", "1")
    assert (code, err.splitlines()[-1]) == (2, "lm-eval: error: unrecognized arguments: --nothing 1")
    code, _, err = command("lm-eval", "--model", "chainrule", "--model_args", "pretrained=/nowhere", "--tasks", "choices",
                           "--include_path", str(tasks))  # fmt: skip
    assert (code, err.splitlines()[-1]) == (2, "chainrule: there is no model folder or file '/nowhere'; check the path")


def test_the_harness_still_finds_its_own_models():
    """Its registry reads them only while it is empty, and importing ours fills it."""
    code = "import chainrule.evaluation.lm_eval as ours, lm_eval.api.registry as r; print(r.get_model('hf').__name__)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.split() == ["HFLM"], run.stderr[-500:]
