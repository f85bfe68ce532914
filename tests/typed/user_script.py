"""A script as users write it, with the types that a checker must find: mypy --strict, pyright and pyrefly (`make types`)."""

from pathlib import Path
from typing import Any, assert_type

import numpy as np
import torch
from numpy.typing import NDArray

import chainrule


def stimuli(folder: Path) -> list[str]:
    return [line for file in sorted(folder.glob("*.txt")) for line in file.read_text().splitlines()]


def report(done: int, total: int) -> None:
    print(f"{done}/{total}")


def main(folder: Path) -> None:
    lm = chainrule.load("smollm2-135m", dtype="auto", start="bos", threads=2)
    table = chainrule.TableModel(["A", "B"], {"": [0.6, 0.4]}, probabilities=True, back_off=True)
    assert_type(chainrule.LanguageModel(table).score("AB").tokens, list[str])

    score = lm.score("The cat sat.", context="It rained.", top=3, end=True)
    assert_type(score, chainrule.Score)
    assert_type(score.logprob, float)
    surprisals: NDArray[np.float64] = score.surprisals_bits
    for token, bits in zip(score.tokens, surprisals.tolist(), strict=True):
        print(f"{token:>12} {bits:6.2f} bits")
    lm.score([1, 2, 3])
    lm.score(np.array([1, 2, 3]))
    lm.score(torch.tensor([[1, 2, 3]]), context=[4, 5])
    lm.score(("It is raining.", "I need an umbrella."))
    assert_type(lm.score("The cat", order="right-to-left"), chainrule.Score)
    assert_type(lm.score("The cat", order=[[0, 1], [1, 0]]), chainrule.Mixture)
    assert_type(lm.score("The cat", order=["random", "left-to-right"]).logprob_spread, float)
    mixed = lm.score("The cat", order="random:8", seed=3)
    print(mixed.logprob_spread if isinstance(mixed, chainrule.Mixture) else mixed.logprob)

    texts = stimuli(folder)
    scores = lm.score_batch(texts, context=[None, *texts[1:]], window=512, stride=256, progress=report)
    assert_type(scores, chainrule.Scores)
    assert_type(scores[0], chainrule.Score)
    logprobs: NDArray[np.float64] = scores.logprob
    print(scores.to_pandas("token"), logprobs.mean())
    scores.write("scores.parquet", per="token")
    assert_type(lm.score_batch((text for text in texts), order=["random", "random"]), chainrule.Mixtures)

    print(lm.explain(score), lm.explain("The cat sat.", order=(2, 0, 1)))
    best = lm.rank("The capital of France is", [" Paris", " Rome"])[0]
    print(best.text, best.index, best.score.tokens, lm.compare_with([-3.0, None], "The cat").causes)
    words = lm.words(texts, "unicode", correction="none", previous=2, context=[None, *texts[1:]])
    assert_type(words[0], chainrule.Word)
    assert_type(words[0].surprisal_bits, float | None)
    print(words.surprisal_bits.mean(), words.to_pandas(), lm.words("The cat sat.", ["The cat", "sat."]))
    print(lm.words(texts, str.split), lm.words("The cat", [(0, 3)]), lm.words(texts[:1], [[(0, 3)]]))
    pairs = lm.pairs(texts[:2], texts[2:4], context=[None, "It rained."], phenomenon=["a", "b"], good_region=("cat", "dog"))
    assert_type(pairs[0].winner, str)
    print([(each.group, each.accuracy, each.interval) for each in pairs.accuracy], pairs.to_pandas("accuracy"))
    assert_type(lm.suite(folder / "suite.json").predictions, list[chainrule.Prediction])
    measures = lm.acceptability(texts, unigram=lm.unigram({"cat": 3, 5: 1}, end=True))
    assert_type(measures[0].slor_nats, float | None)
    detectors = chainrule.Detectors(lm.score_batch(texts), k=0.1)
    assert_type(detectors[0].min_k_pp, float | None)
    print(detectors.to_pandas("token"), lm.score("The cat").fast_detect(), lm.score("The cat").min_k(k=0.5))
    following = lm.conditional("The capital of")
    print([(each.token, each.logprob) for each in following.top(5)], following.rank(" France"))

    assert_type(lm.generate("Once", max_tokens=8), chainrule.Generated)
    three = lm.generate("Once", n=3, method="sample", temperature=0.8, top_p=0.9, seed=1, stop=["."])
    assert_type(three, list[chainrule.Generated])
    print([text.text for text in three])
    with lm.stream("Once", n=2, method="sample", stop=".", top=1) as stream:
        assert_type(stream, chainrule.Stream)
        for step in stream:
            print(step.sample, step.id, step.logprob, step.finish, step.alternatives)
    assert_type(stream.texts, list[chainrule.Generated])
    assert_type(lm.infill("The ____ sat", [2], top=1), chainrule.Generated)
    assert_type(lm.infill([1, None, 3], n=2, method="best"), list[chainrule.Generated])
    pseudo = lm.pseudo_log_likelihood("The cat sat.", within_words=True)
    print(pseudo.pll_nats, [each.pll_nats for each in lm.pseudo_log_likelihoods(texts)])
    assert_type(lm.embed("The cat"), torch.Tensor)
    assert_type(lm.verify(texts[:6]).passed, bool)
    row: dict[str, Any] = score.to_dict()
    print(row["logprob"])
    try:
        lm.score("")
    except chainrule.InputError as error:
        assert_type(error.item, int | None)
        assert_type(error.reason, str)


if __name__ == "__main__":
    main(Path("stimuli"))
