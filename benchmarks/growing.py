"""Generation against transformers' own generate: one greedy text, and 16 samples of one prompt. The two alternate.

make growing, or python benchmarks/growing.py [--rounds 5] [--dtype float32]. Both generate the same number of tokens from
the same token ids, with the same weights, and no end symbol stops them. chainrule's time includes its scoring pass at the end.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import machine
import numpy as np
import torch
import transformers
from texts import fortunes

import chainrule
from chainrule.models.packaged import folder

HERE = Path(__file__).resolve().parent
CASES = [(prompt, samples) for samples in (1, 16) for prompt in (16, 128, 512)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64, help="tokens to generate")
    parser.add_argument("--dtype", default="float32")
    arguments = parser.parse_args()
    lm = chainrule.load(dtype=arguments.dtype)
    own = transformers.AutoModelForCausalLM.from_pretrained(
        folder("smollm2-135m"), dtype=getattr(torch, arguments.dtype)
    ).eval()
    own.generation_config.eos_token_id = None
    ids = np.concatenate([lm.tokenizer.encode(text) for text in fortunes()[:60]])
    rows = [compare(lm, own, ids[:prompt], samples, arguments.tokens, arguments.rounds) for prompt, samples in CASES]
    run = {"command": f"python benchmarks/growing.py --dtype {arguments.dtype}", "date": str(datetime.date.today())}
    run |= {"model": "smollm2-135m", "dtype": arguments.dtype, "threads": torch.get_num_threads(), "rounds": arguments.rounds}
    run |= {"tokens": arguments.tokens, "transformers": transformers.__version__, "torch": torch.__version__, "cases": rows}
    target = HERE / "results" / f"growing-{arguments.dtype}-{datetime.date.today()}.json"
    target.write_text(json.dumps(run | {"machine": machine.describe()}, indent=1) + "\n", encoding="utf-8")
    print(f"written to {target.relative_to(HERE.parent)}")


def compare(lm: chainrule.LanguageModel, own: object, prompt: np.ndarray, samples: int, tokens: int, rounds: int) -> dict:
    """Seconds of both, round by round, and the median of transformers' seconds ÷ chainrule's."""
    start = [lm.start.id, *prompt.tolist()]
    how = {"method": "sample", "n": samples} if samples > 1 else {}
    ours = lambda: lm.generate(prompt, max_tokens=tokens, end=False, **how)  # noqa: E731
    draw = {"do_sample": True, "num_return_sequences": samples, "top_k": 0} if samples > 1 else {"do_sample": False}
    theirs = lambda: own.generate(torch.tensor([start]), max_new_tokens=tokens, pad_token_id=0, **draw)  # type: ignore[attr-defined] # noqa: E731
    seconds(ours), seconds(theirs)  # warm-up: buffers and caches
    pairs = [(seconds(theirs), seconds(ours)) for _ in range(rounds)]
    ratios = [a / b for a, b in pairs]
    row = {
        "prompt": len(prompt),
        "samples": samples,
        "transformers_s": [a for a, _ in pairs],
        "chainrule_s": [b for _, b in pairs],
    }
    row |= {"ratio": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)}
    print(f"{samples:>3} × {tokens} tokens after {len(prompt):>4}: {row['ratio']:.2f} times as fast as transformers "
          f"({row['lowest']:.2f} to {row['highest']:.2f})", flush=True)  # fmt: skip
    return row


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
