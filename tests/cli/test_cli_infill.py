"""chainrule infill, and chainrule generate --order."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from model_zoo import untouched_any_order
from text_zoo import byte_level

import chainrule


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_infill(command, tmp_path: Path):
    """An any-order model in a folder, as `load` takes it."""
    tokenizer = byte_level()
    untouched_any_order("llama", 16, vocab_size=tokenizer.size).save_pretrained(tmp_path / "model")
    tokenizer.hf.save_pretrained(tmp_path / "model")
    lm = chainrule.load(tmp_path / "model")
    model = ("--model", str(tmp_path / "model"))
    code, out, err = command("infill", "The____ sat", "--lengths", "2", "--order", "1,0", "--json", *model)
    assert (code, err) == (0, "")
    item, expected = json.loads(out), lm.infill("The____ sat", [2], order=(1, 0), top=3)
    assert (item["index"], item["text"], item["logprob"]) == (0, expected.text, expected.logprob)
    assert item["kind"] == "conditional"
    assert expected.ordering.order.tolist() == [2, 1]
    code, out, _ = command("infill", "The____ sat", "--explain", *model)
    assert code == 0
    assert out.splitlines()[2].split()[:2] == ["0", str(1 + len(lm.tokenizer.encode("The")) + len(lm.tokenizer.encode(" sat")))]
    code, out, _ = command("generate", "The", "--order", "right-to-left", "--max-tokens", "3", *model)
    assert (code, rows_of(out)[0]["text"]) == (0, lm.generate("The", order="right-to-left", max_tokens=3).text)
    for bad, message in (
        (("--lengths", "x"), "--lengths takes whole numbers"),
        (("--lengths", "1,2"), "the template has 1 blank,"),
    ):
        code, out, err = command("infill", "The____ sat", *bad, *model)
        assert (code, out) == (2, "")
        assert message in err
