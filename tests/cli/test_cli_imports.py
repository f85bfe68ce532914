"""Imports of the command line: the compiler of torch is left out until it is used, and all works when it is."""

import json
import subprocess
import sys

import pytest

PRELUDE = "import gc, json, sys\nfrom chainrule.cli import imports\nimports.claim()\n"
LOAD = """
from transformers import LlamaConfig
with imports.quick_imports():
    from transformers import LlamaForCausalLM
    lm = LlamaForCausalLM(LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                      num_attention_heads=1, num_key_value_heads=1))
import torch
x = torch.zeros(1, 2, dtype=torch.int64)
before = lm(x).logits
left_out = [name for name in ("torch._dynamo.utils", "torch._inductor", "pandas") if name not in sys.modules]
"""


def _run(program: str) -> dict:
    done = subprocess.run([sys.executable, "-c", PRELUDE + program], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_a_network_runs_without_the_compiler():
    found = _run(LOAD + "print(json.dumps([left_out, gc.isenabled(), gc.get_freeze_count() > 0]))")
    assert found == [["torch._dynamo.utils", "torch._inductor", "pandas"], True, True]


def test_the_compiler_is_there_once_it_is_used():
    use = """
compiled = torch.compile(lm, backend="eager")
same = torch.equal(compiled(x).logits, before)
module = sys.modules["torch._dynamo"]
print(json.dumps([same, type(module).__name__, torch._dynamo is module, "torch._dynamo.utils" in sys.modules,
                  type(module.__spec__.loader).__name__, torch._dynamo.config.recompile_limit > 0]))
"""
    assert _run(LOAD + use) == [True, "module", True, True, "SourceFileLoader", True]


@pytest.mark.parametrize(
    "use", ["import torch._dynamo.utils", "from torch._dynamo import config", "torch._dynamo.reset()", "import torch._inductor"]
)
def test_each_way_to_use_it_executes_it(use):
    program = f'{LOAD}{use}\nprint(json.dumps([type(sys.modules["torch._dynamo"]).__name__, lm(x).logits.equal(before)]))'
    assert _run(program) == ["module", True]


def test_decorators_act_once_the_compiler_is_there():
    program = """
import torch
with imports.quick_imports():
    import torch._dynamo
compiling = torch.compiler.is_compiling
plain = torch._dynamo.disable(lambda x: (x + 1, compiling()), recursive=True)
later = torch._dynamo.disable(recursive=False)(lambda x: x + 2)
early = [plain(torch.zeros(1))[0].item(), later(torch.zeros(1)).item(), type(sys.modules["torch._dynamo"]).__name__]
compiled = torch.compile(lambda x: plain(x)[1], backend="eager")
print(json.dumps([*early, compiled(torch.zeros(1)), later(torch.zeros(1)).item()]))
"""
    assert _run(program) == [1.0, 2.0, "_Later", False, 2.0]


def test_tables_need_no_pandas_and_pandas_can_still_be_imported():
    program = """
imports.pyarrow_without_pandas()
import numpy, pyarrow
table = pyarrow.table({"a": [1, None], "b": numpy.zeros(2), "c": ["x", "y"]})
without = "pandas" not in sys.modules
import pandas
print(json.dumps([without, table.num_rows, pandas.__name__]))
"""
    assert _run(program) == [True, 2, "pandas"]


def test_a_process_that_is_not_ours_is_left_alone():
    program = """
imports.release()
finders = list(sys.meta_path)
with imports.quick_imports():
    pass
imports.pyarrow_without_pandas()
print(json.dumps([finders == sys.meta_path, gc.isenabled(), gc.get_freeze_count(), "pyarrow" in sys.modules]))
"""
    assert _run(program) == [True, True, 0, False]
