"""CTranslate2: ``Generator.score_batch``, in its own format of the model.

Its converter writes the same weights into a folder of ``.bench/`` once; that is not timed. CTranslate2 takes tokens, and
computes the log-probability of every token but the first, which is the start symbol here. It sorts the texts by length itself.
``max_input_length=0`` is necessary for long texts: by default, score_batch cuts them after 1,024 tokens, without a message.

Its logits are those of the model, but its float32 log-softmax is 1.6e-5 nats too high for each token, always in one direction.
"""

import json
import os
from pathlib import Path

import ctranslate2
from ctranslate2.converters import TransformersConverter
from machine import fingerprint
from tokenizers import Tokenizer

from workers.protocol import serve

CONVERTED = Path(__file__).resolve().parents[2] / ".bench" / "converted"
BATCH = 512  # tokens, padding included


class CTranslate2:
    quantization = "float32"

    def __init__(self, model: str, dtype: str) -> None:
        threads = int(os.environ["OMP_NUM_THREADS"])
        folder = str(convert(Path(model), self.quantization))
        self.generator = ctranslate2.Generator(folder, compute_type=self.quantization, intra_threads=threads)
        self.tokenizer = Tokenizer.from_file(f"{model}/tokenizer.json")
        self.start = json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))["bos_token"]

    def flat(self, texts: list[str]) -> list[float]:
        return self.logprobs([self.tokens(text) for text in texts])

    def questions(self, questions: list[tuple[str, list[str]]]) -> list[float]:
        pairs = [(self.tokens(question), self.tokens(answer)) for question, answers in questions for answer in answers]
        return self.logprobs([question + answer for question, answer in pairs], [len(answer) for _, answer in pairs])

    def tokens(self, text: str) -> list[str]:
        return self.tokenizer.encode(text, add_special_tokens=False).tokens

    def logprobs(self, rows: list[list[str]], last: list[int] | None = None) -> list[float]:
        """The log-probability of each row after the start symbol, or of its last ``last[i]`` tokens only."""
        results = self.generator.score_batch(
            [[self.start, *row] for row in rows], max_batch_size=BATCH, batch_type="tokens", max_input_length=0
        )
        lengths = last or [len(row) for row in rows]
        return [sum(result.log_probs[-length:]) for result, length in zip(results, lengths, strict=True)]


def convert(model: Path, quantization: str) -> Path:
    """Convert the model, if that was not done yet. Returns the folder."""
    folder = CONVERTED / f"{fingerprint(model)[:12]}-{quantization}"
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}-{os.getpid()}")
        TransformersConverter(str(model)).convert(str(unfinished), quantization=quantization)
        unfinished.rename(folder)
    return folder


if __name__ == "__main__":
    serve(CTranslate2)
