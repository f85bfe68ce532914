"""Train a small any-order model on the words of the book in benchmarks/data, letter by letter, and save it for chainrule.load.

    python scripts/train_any_order.py any-order-model                                 # two minutes on a CPU
    chainrule explain whale --order 0,4,2,1,3 --model any-order-model

Every text of a batch is a word with a random order of its letters. Some words are held out of the training; their loss is
reported for three orders.

Shapes: B words of one length, L letters of each.
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, PreTrainedTokenizerFast

from chainrule import AnyOrderConfig, AnyOrderForCausalLM

BOOK = Path(__file__).resolve().parent.parent / "benchmarks" / "data" / "book.txt"
POSITIONS, WIDTH, LAYERS, HEADS = 16, 128, 3, 4
BATCH, RATE, WARM, REPORT = 128, 2e-3, 100, 200  # words, learning rate, warm-up steps, steps between reports
HELD_OUT = 10  # every tenth word is held out
START, END = "<s>", "</s>"

Words = list[Tensor]  # of one length each: B × L


def letters() -> PreTrainedTokenizerFast:
    """A tokenizer with bytes as tokens."""
    alphabet = [START, END, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    backend = Tokenizer(models.BPE({token: id for id, token in enumerate(alphabet)}, []))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=START, eos_token=END)


def words_of(text: str, tokenizer: PreTrainedTokenizerFast) -> tuple[Words, Words]:
    """The different words of a text, for training and held out: lists by length, start symbol first, B × (1 + L)."""
    words = sorted(set(re.findall(r"[a-z]+", text.lower())))
    parts: list[Words] = []
    for held in (False, True):
        own = [word for i, word in enumerate(words) if (i % HELD_OUT == 0) == held and len(word) <= POSITIONS]
        lengths = sorted({len(word) for word in own})
        parts.append([torch.tensor([[tokenizer.bos_token_id, *tokenizer.encode(word)] for word in own if len(word) == length])
                      for length in lengths])  # fmt: skip
    return parts[0], parts[1]


def model_of(tokenizer: PreTrainedTokenizerFast) -> AnyOrderForCausalLM:
    trunk = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=3 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=POSITIONS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    return AnyOrderForCausalLM(AnyOrderConfig(trunk=trunk, places=POSITIONS))


def random_orders(count: int, length: int, draw: torch.Generator) -> Tensor:
    return torch.rand(count, length, generator=draw).argsort(-1)


@torch.no_grad()
def losses(model: AnyOrderForCausalLM, words: Words) -> str:
    """The mean loss in three orders, in nats per letter."""
    draw, sums, letters = torch.Generator().manual_seed(0), dict.fromkeys(("left to right", "right to left", "random"), 0.0), 0
    model.eval()
    for batch in words:
        count, length = len(batch), batch.shape[1] - 1
        forward = torch.arange(length).expand(count, -1)
        for name, order in zip(sums, (forward, forward.flip(-1), random_orders(count, length, draw)), strict=True):
            sums[name] += model(batch, order, labels=batch).loss.item() * count * length
        letters += count * length
    return "   ".join(f"{name} {total / letters:.3f}" for name, total in sums.items())


def train(model: AnyOrderForCausalLM, words: Words, held: Words, seconds: float) -> None:
    """Train for about `seconds` seconds."""
    draw, begin, step = torch.Generator().manual_seed(1), time.perf_counter(), 0
    share = torch.tensor([float(group.numel()) for group in words])
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.1)
    print(f"nats per letter, of {sum(map(len, held)):,} held-out words of {sum(map(len, words + held)):,}")
    while (done := (time.perf_counter() - begin) / seconds) < 1:
        if step % REPORT == 0:
            print(f"step {step:>5}   {losses(model, held)}", flush=True)
        group = words[int(torch.multinomial(share, 1, generator=draw))]
        batch = group[torch.randint(len(group), (BATCH,), generator=draw)]
        optimiser.param_groups[0]["lr"] = RATE * min(1, (step + 1) / WARM) * (1 - done)
        model.train()(batch, random_orders(BATCH, batch.shape[1] - 1, draw), labels=batch).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        step += 1
    print(f"step {step:>5}   {losses(model, held)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="the folder for the model and its tokenizer")
    parser.add_argument("--seconds", type=float, default=120)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    tokenizer = letters()
    model = model_of(tokenizer)
    train(model, *words_of(BOOK.read_text(encoding="utf-8"), tokenizer), arguments.seconds)
    model.save_pretrained(arguments.folder)
    tokenizer.save_pretrained(arguments.folder)
    print(f"saved: chainrule.load({arguments.folder!r})")


if __name__ == "__main__":
    main()
