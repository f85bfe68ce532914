"""What all tests share. No test touches the network: a name that is not on this disk is not found."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports the hub's client

import pytest
from hypothesis import settings

from chainrule import LanguageModel, TableModel

settings.register_profile("quick", deadline=None, max_examples=60)
settings.load_profile("quick")


@pytest.fixture
def abc() -> LanguageModel:
    """The debugging case of the course: three logits in each of three contexts."""
    return LanguageModel(TableModel(["A", "B", "C"], {"": [10, 9, 0], "A": [0, 0, 0], "B": [8, 7, 0], "C": [1, 2, 3]}))
