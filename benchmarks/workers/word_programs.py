"""The words of texts by minicons and wordsprobability, in bits. Texts come as JSON on standard input.

    python word_programs.py FOLDER < texts.json

It writes {program: [convention, surprisals of the words of each text]}.
"""

import json
import math
import sys

import torch
from minicons.scorer import IncrementalLMScorer
from transformers import AutoModelForCausalLM, AutoTokenizer
from wordsprobability.main import agg_surprisal_per_word
from wordsprobability.models import bow_lm

LN2 = math.log(2)


class Small(bow_lm.BaseBOWModel):
    """The small model as a model of wordsprobability, whose own classes are GPT-2 and Pythia."""

    model_cls, tokenizer_cls = AutoModelForCausalLM, AutoTokenizer

    def _get_n_logits(self) -> int:
        return self.model.get_output_embeddings().out_features


def main() -> None:
    folder, texts = sys.argv[1], json.load(sys.stdin)
    result = {}
    scorer = IncrementalLMScorer(folder, "cpu")
    options = {"surprisal": True, "base_two": True}
    for name, convention, more in (
        ("minicons", "without a start symbol", {}),
        ("minicons, bos_token", "uncorrected", {"bos_token": True}),
        ("minicons, bos_token, bow_correction", "corrected", {"bos_token": True, "bow_correction": True}),
    ):
        words = [scorer.word_score_tokenized([t], tokenize_function=str.split, **options, **more)[0] for t in texts]
        result[name] = convention, [[bits for _, bits in own] for own in words]
    Small.model_name = folder
    model = Small()
    import pandas

    for name, convention, column in (
        ("wordsprobability", "corrected", "surprisal"),
        ("wordsprobability, buggy surprisals", "uncorrected", "surprisal_buggy"),
    ):
        own = []
        for text in texts:
            results, offsets = model.get_predictions(text)
            frame = pandas.DataFrame(results)
            frame["text_id"], frame["offsets"] = 0, offsets
            own.append((agg_by_word(frame, column) / LN2).tolist())
        result[name] = convention, own
    json.dump(result, sys.stdout)


def agg_by_word(frame, column: str):
    """`agg_surprisal_per_word` with the symbol of this tokenizer."""
    import wordsprobability.main as program

    program.get_bow_symbol = lambda name: "Ġ"
    with torch.no_grad():
        return agg_surprisal_per_word(frame, "small", return_buggy_surprisals=True)[column].to_numpy()


if __name__ == "__main__":
    main()
