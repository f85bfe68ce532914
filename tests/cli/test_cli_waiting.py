"""The waiting policy of OpenMP's threads: chosen by the command line, before torch is loaded, unless the user has."""

import os
import subprocess
import sys

import pytest

from chainrule.cli.waiting import choose_waiting


@pytest.mark.parametrize(
    ("own", "want"),
    [
        ({}, "PASSIVE"),
        ({"OMP_WAIT_POLICY": ""}, "PASSIVE"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"),
        ({"GOMP_SPINCOUNT": "5"}, None),
        ({"KMP_BLOCKTIME": "5"}, None),
    ],
)
def test_a_choice_of_the_user_is_kept(monkeypatch, own, want):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    choose_waiting()
    assert os.environ.get("OMP_WAIT_POLICY") == want


def test_the_library_changes_no_variable_and_the_command_line_chooses_before_torch_is_loaded():
    code = """
import os, sys
os.environ.pop("OMP_WAIT_POLICY", None)
before = dict(os.environ)
import chainrule.cli.main as main
from chainrule.cli.waiting import choose_waiting
print(os.environ == before, "torch" in sys.modules)
sys.argv[1:] = ["models"]
try:
    main.main()
except SystemExit:
    pass
print(os.environ["OMP_WAIT_POLICY"], "torch" in sys.modules)
import chainrule.loading
"""
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert (lines[0], lines[-1]) == ("True False", "PASSIVE False")
