"""vLLM on the CPU: ``LLM.generate`` with ``prompt_logprobs``, from which its users and lm-evaluation-harness take scores.

The start symbol is the first token of the prompt, which has no log-probability. vLLM always generates a token after the prompt.
A context that several prompts share is computed for each of them, because vLLM does not read its cache of prefixes if the
log-probabilities of the prompt are wanted. The model is compiled, as by default: each start takes minutes, which are not timed.
"""

import os
from pathlib import Path

os.environ |= {
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # so that OMP_NUM_THREADS holds, as for the other systems
    "VLLM_CPU_KVCACHE_SPACE": "4",  # GiB
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CACHE_ROOT": str(Path(__file__).resolve().parents[2] / ".bench" / "vllm-cache"),
}

from tokenizers import Tokenizer
from vllm import LLM, SamplingParams

from workers.protocol import serve

WINDOW = 2048


class VLLM:
    def __init__(self, model: str, dtype: str) -> None:
        self.llm = LLM(model, dtype=dtype, max_model_len=WINDOW, seed=0)
        self.tokenizer = Tokenizer.from_file(f"{model}/tokenizer.json")
        self.start = self.llm.get_tokenizer().bos_token_id
        self.options = SamplingParams(max_tokens=1, prompt_logprobs=0, detokenize=False)

    def flat(self, texts: list[str]) -> list[float]:
        return self.logprobs([self.ids(text) for text in texts])

    def questions(self, questions: list[tuple[str, list[str]]]) -> list[float]:
        pairs = [(self.ids(question), self.ids(answer)) for question, answers in questions for answer in answers]
        return self.logprobs([question + answer for question, answer in pairs], [len(answer) for _, answer in pairs])

    def ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def logprobs(self, rows: list[list[int]], last: list[int] | None = None) -> list[float]:
        """The log-probability of each row after the start symbol, or of its last ``last[i]`` tokens only."""
        prompts = [{"prompt_token_ids": [self.start, *row]} for row in rows]
        results = self.llm.generate(prompts, self.options, use_tqdm=False)
        lengths = last or [len(row) for row in rows]
        return [total(result, length) for result, length in zip(results, lengths, strict=True)]


def total(result, length: int) -> float:
    scored = zip(result.prompt_token_ids[-length:], result.prompt_logprobs[-length:], strict=True)
    return sum(logprobs[token].logprob for token, logprobs in scored)


if __name__ == "__main__":
    serve(VLLM)
