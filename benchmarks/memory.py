"""The memory of scoring above the loaded model: the resident high-water mark of a separate process (Linux).

    .venv/bin/python benchmarks/memory.py --texts 500

Prints a line of JSON. The mark is reset after the model is loaded and probed, so it measures ``score_batch`` alone. After the
500 fortunes come pieces of the book of the same lengths, so four times the texts are four times the work.
"""

import argparse
import json
from pathlib import Path

from run import default_model, existing
from texts import Source, book, fortunes, ids
from tokenizers import Tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of the model (default: chainrule's own smollm2-135m)")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--texts", type=int, default=500)
    arguments = parser.parse_args()
    model = existing(arguments.model or default_model())

    import torch

    import chainrule

    torch.set_num_threads(arguments.threads)
    texts = short_texts(Tokenizer.from_file(str(model / "tokenizer.json")), arguments.texts)
    lm = chainrule.load(str(model), dtype=arguments.dtype)
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    loaded = resident("VmRSS")
    scores = lm.score_batch(texts)
    peak = resident("VmHWM") - loaded
    result = {"texts": len(texts), "tokens": int(scores.tokens.sum()), "loaded_mib": round(loaded), "peak_mib": round(peak, 1)}
    print(json.dumps(result))


def short_texts(tokenizer: Tokenizer, count: int) -> list[str]:
    texts = fortunes()
    lengths = [len(ids(tokenizer, texts[i % len(texts)])) for i in range(len(texts), count)]
    return [*texts[:count], *Source(tokenizer, book()).pieces(lengths)]


def resident(field: str) -> float:
    """A field of this process's status, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


if __name__ == "__main__":
    main()
