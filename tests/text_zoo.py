"""One small tokenizer of each family, trained here, without a download."""

import json
from functools import cache

from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Backend
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from chainrule.text import Tokenizer

CORPUS = [
    "The quick brown fox jumps over the lazy dog.",
    "Hello world, hello there! How are you today?",
    "Pack my box with five dozen liquor jugs, 1234567890 times.",
    "naïve café, Ελληνικά, русский язык, 日本語のテキスト, 한국어, שלום, مرحبا, 👩‍👩‍👧 🎉",
    "def f(x):\n    return x + 1\n\n\tprint(f(2))",
] * 3


def wrap(backend: Backend, **special: str) -> Tokenizer:
    return Tokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, **special))


def train(backend: Backend, trainer: type, vocab_size: int = 600, **options) -> Backend:
    backend.train_from_iterator(CORPUS, trainer(vocab_size=vocab_size, show_progress=False, **options))
    return backend


def byte_level_backend(special: tuple[str, ...] = ("<s>", "</s>"), add_prefix_space: bool = False) -> Backend:
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return train(backend, trainers.BpeTrainer, special_tokens=list(special), initial_alphabet=alphabet)


@cache
def byte_level() -> Tokenizer:
    """As GPT-2, Llama 3, SmolLM."""
    return wrap(byte_level_backend(), bos_token="<s>", eos_token="</s>")


@cache
def byte_level_template() -> Tokenizer:
    """The same with a post-processor that adds <s> before and </s> after the text, and with truncation and padding on."""
    backend = byte_level_backend()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    backend.enable_truncation(max_length=4)
    backend.enable_padding(length=16)
    return wrap(backend, bos_token="<s>", eos_token="</s>")


@cache
def byte_level_prefix() -> Tokenizer:
    """With a space added before the text."""
    return wrap(byte_level_backend(add_prefix_space=True))


def _byte_tokens() -> list[str]:
    return [f"<0x{byte:02X}>" for byte in range(256)]


def _sentencepiece_decoder(strip: bool = True) -> decoders.Decoder:
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if strip else steps)


@cache
def llama() -> Tokenizer:
    """SentencePiece BPE with byte fallback, as Llama 1 and 2: normalizer Prepend ▁, Replace ' ' by ▁."""
    seed = Backend(models.BPE())
    seed.normalizer = normalizers.Replace(" ", "▁")
    seed.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    corpus = [line for line in CORPUS if line.isascii()]
    seed.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=200, show_progress=False))
    state = json.loads(seed.to_str())["model"]
    tokens = ["<unk>", "<s>", "</s>", *_byte_tokens(), *(t for t in state["vocab"] if t != "\n")]
    vocab = {token: id for id, token in enumerate(tokens)}
    merges = [tuple(merge) for merge in state["merges"] if "\n" not in "".join(merge)]
    backend = Backend(models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = _sentencepiece_decoder()
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in ("<unk>", "<s>", "</s>")])
    return wrap(backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def _unigram(normalizer: normalizers.Normalizer | None, byte_fallback: bool) -> Tokenizer:
    special = ["<unk>", *(_byte_tokens() if byte_fallback else [])]
    seed = Backend(models.Unigram())
    seed.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    train(seed, trainers.UnigramTrainer, vocab_size=200 + len(special), special_tokens=special, unk_token="<unk>")
    vocab = [tuple(entry) for entry in json.loads(seed.to_str())["model"]["vocab"]]
    backend = Backend(models.Unigram(vocab, unk_id=0, byte_fallback=byte_fallback))
    if normalizer is not None:
        backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.decoder = _sentencepiece_decoder() if byte_fallback else decoders.Metaspace(prepend_scheme="always")
    return wrap(backend, unk_token="<unk>")


@cache
def unigram() -> Tokenizer:
    """Unigram with Metaspace and byte fallback."""
    return _unigram(None, byte_fallback=True)


@cache
def t5() -> Tokenizer:
    """Unigram that applies NFKC and collapses spaces, with unknown characters."""
    collapse = normalizers.Replace(Regex(r"\s+"), " ")
    return _unigram(normalizers.Sequence([normalizers.NFKC(), collapse, normalizers.Strip()]), byte_fallback=False)


@cache
def wordpiece() -> Tokenizer:
    """As BERT, lower case."""
    backend = Backend(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=30))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    special = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    train(backend, trainers.WordPieceTrainer, vocab_size=250, special_tokens=special)
    if "quick" in backend.get_vocab():  # equally frequent merges are chosen at random, this one 1 time in 150
        wordpiece.cache_clear()
        return wordpiece()
    backend.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return wrap(backend, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")


@cache
def word_end() -> Tokenizer:
    """BPE with </w>, lower case, as the first GPT."""
    backend = Backend(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.BPEDecoder(suffix="</w>")
    train(backend, trainers.BpeTrainer, vocab_size=300, special_tokens=["<unk>"], end_of_word_suffix="</w>")
    return wrap(backend, unk_token="<unk>")


@cache
def words() -> Tokenizer:
    """A table of whole words, and no decoder."""
    vocab = {word: id for id, word in enumerate(["<unk>", "the", "cat", "sat", "on", "mat"])}
    backend = Backend(models.WordLevel(vocab, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return wrap(backend, unk_token="<unk>")


@cache
def byt5() -> Tokenizer:
    return Tokenizer(ByT5Tokenizer())


LOSSLESS = {make.__name__: make for make in (byte_level, byte_level_template, byte_level_prefix, llama, unigram, byt5)}
LOSSY = {make.__name__: make for make in (t5, wordpiece, word_end, words)}
