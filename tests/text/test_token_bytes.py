"""The bytes of tokens by the conventions of each family of tokenizers."""

import pytest

from chainrule.text.token_bytes import Spelling, gpt2_alphabet, spelling_of_vocabulary


def test_gpt2_alphabet_is_a_bijection_onto_the_bytes():
    assert sorted(gpt2_alphabet().values()) == list(range(256))
    assert {gpt2_alphabet()[character] for character in "ĠĊA"} == {0x20, 0x0A, 0x41}


@pytest.mark.parametrize(
    ("spelling", "token", "raw"),
    [
        (Spelling(alphabet="gpt2"), "Ġcaf", b" caf"),
        (Spelling(alphabet="gpt2"), "âĤ", b"\xe2\x82"),
        (Spelling(alphabet="gpt2"), "日本", "日本".encode()),  # not in the alphabet: as the backend's decoder does
        (Spelling(replace=(("▁", " "),), byte_fallback=True), "▁▁a", b"  a"),
        (Spelling(replace=(("▁", " "),), byte_fallback=True), "<0xE2>", b"\xe2"),
        (Spelling(replace=(("▁", " "),)), "<0xE2>", b"<0xE2>"),
        (Spelling(words=True, joined_left="##"), "##ing", b"ing"),
        (Spelling(words=True, joined_left="##"), "sing", b" sing"),
        (Spelling(word_end="</w>"), "sing</w>", b"sing "),
        (Spelling(word_end="</w>"), "s", b"s"),
        (Spelling(alphabet="gpt2", word_end="</w>"), "Ã©</w>", "é ".encode()),  # as CLIP
        (Spelling(joined_right="@@"), "sin@@", b"sin"),
        (Spelling(joined_right="@@"), "g", b"g "),
        (Spelling(alphabet="latin-1"), "â", b"\xe2"),
        (Spelling(alphabet="latin-1"), "€", "€".encode()),
    ],
)
def test_token_strings_become_bytes(spelling: Spelling, token: str, raw: bytes):
    assert spelling(token) == raw


@pytest.mark.parametrize(
    ("tokens", "token", "raw"),
    [
        (["▁the", "▁a", "b", "▁"], "▁the", b" the"),
        (["the</w>", "a</w>", "b"], "the</w>", b"the "),
        (["th@@", "a@@", "b"], "th@@", b"th"),
        (["##ing", "sing", "the"], "##ing", b"ing"),
        (["M", "A", "L", "<cls>"], "M", b"M"),
        ([*map(str, range(1000)), "▁"], "▁", "▁".encode()),  # one such token is text, not a convention
    ],
)
def test_the_convention_of_a_vocabulary_is_detected(tokens: list[str], token: str, raw: bytes):
    assert spelling_of_vocabulary(tokens, byte_characters=False)(token) == raw
