"""`lm_eval --model chainrule`: the model of lm-evaluation-harness. All log-likelihoods of a call are one forest."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch

from chainrule._checks import is_whole
from chainrule.errors import InputError, require, short
from chainrule.evaluation import likelihood
from chainrule.evaluation.convention import Convention, Part, longest_context
from chainrule.evaluation.generation import LENGTH, Call, continuation, decoded, defaults_of, end_ids, left_out
from chainrule.language import LanguageModel
from chainrule.loading import load
from chainrule.text.types import StartPolicy

require("lm-eval", "chainrule.evaluation.lm_eval", InputError)

import lm_eval.models  # noqa: E402, F401 (the registry adds the harness's own models only while it is empty)
from lm_eval.api.model import TemplateLM  # noqa: E402
from lm_eval.api.registry import MODEL_REGISTRY, register_model  # noqa: E402
from tqdm import tqdm  # noqa: E402

log = logging.getLogger(__name__)
ARGUMENTS = ("pretrained", "dtype", "device", "start", "batch_size", "max_length", "adapter", "windows")
WINDOWS = ("harness", "chainrule")
_OURS = {"peft": "adapter", "add_bos_token": "start", "prefix_token_id": "start", "model": "pretrained"}  # hf's → ours


class ChainruleLM(TemplateLM):
    """A model of chainrule, with the conventions of the harness's model `hf`.

    pretrained: the name of a model, as `chainrule.load` takes it (default: the packaged one), or a `LanguageModel`.
    dtype, device, adapter: as in `chainrule.load`; without a GPU, any device "cuda" is the CPU, as in the harness.
    start: "bos", "eos", "given" or a token id: the start symbol of every context, in place of the tokenizer's own.
    max_length: the most tokens that a factor is conditioned on (default: that of the config, as in the harness).
    windows: of texts of any length: "harness", or "chainrule" for those of `lm.score`.
    batch_size, max_batch_size: accepted and ignored: all requests of a call are computed together.
    Raises ModelError and InputError.
    """

    def __init__(
        self,
        pretrained: str | LanguageModel | None = None,
        *,
        dtype: str | None = None,
        device: str | None = None,
        start: StartPolicy | int | None = None,
        max_length: int | None = None,
        adapter: str | None = None,
        windows: str = "harness",
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__()
        _refuse(unknown)
        if windows not in WINDOWS:
            raise InputError(f"windows={short(windows)} is unknown: choose one of {', '.join(WINDOWS)}")
        if max_length is not None and not is_whole(max_length, 1):
            raise InputError(f"max_length must be a whole number, 1 or more, not {short(max_length)}")
        if batch_size not in (None, 1, "1") or max_batch_size is not None:
            log.warning("chainrule ignores batch_size: it computes all requests of a call together, each context once")
        if isinstance(pretrained, LanguageModel):
            given = [name for name, value in (("dtype", dtype), ("device", device), ("adapter", adapter)) if value is not None]
            if given:
                raise InputError(f"{', '.join(given)} cannot be chosen for a LanguageModel, which is loaded: pass it to load")
            self.lm = pretrained
        else:
            device = _device(device)
            self.lm = load(pretrained, dtype=dtype, device=device, start="auto" if start is None else start, adapter=adapter)
        if self.lm.tokenizer is None:
            raise InputError(f"{self.lm.model.name} has no tokenizer, and the harness scores texts: choose a model with one")
        self._config = getattr(getattr(self.lm.model, "lm", None), "config", None)
        self._device, self.windows = self.lm.model.device, windows
        self.convention = Convention(
            self.lm.tokenizer,
            longest_context(self._config, self.lm.tokenizer) if max_length is None else max_length,
            None if start is None else self.lm.predictor.start(start, self.lm.tokenizer),
        )

    # What the harness asks of every model

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """(log Pr in nats, is_greedy) of the continuation of each request, in their order."""
        texts = [request.args for request in requests]
        numbers = self._log_likelihoods(self.convention.parts(texts), disable_tqdm)
        self._remember("loglikelihood", texts, numbers)
        return numbers

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """log Pr of each text, in nats, in their order."""
        texts = [request.args[0] for request in requests]
        compute = likelihood.rolling_log_likelihoods if self.windows == "harness" else likelihood.windowed_log_likelihoods
        with _progress("Running loglikelihood_rolling requests", disable_tqdm) as report:
            numbers = compute(self.lm, self.convention, texts, report)
        self._remember("loglikelihood_rolling", [(text,) for text in texts], numbers)
        return numbers

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """The text generated after the context of each request, in their order."""
        calls = [Call.of(request.args[1]) for request in requests]
        defaults = defaults_of(getattr(self._config, "_name_or_path", "") or "/")
        ends = end_ids(self.lm, self.convention.tokenizer, defaults)
        if calls and (unused := left_out(defaults)):
            log.warning("chainrule does not apply these defaults of generation_config.json: %s", unused)
        texts, known = [], {}
        for request, call in zip(tqdm(requests, "Running generate_until requests", disable=disable_tqdm), calls, strict=True):
            context, key = request.args[0], (request.args[0], call.until, call.length)
            text = known.get(key) if call.sampling is None else None
            if text is None:
                text = continuation(self.lm, self.convention, context, call, ends, _seed)
            if call.sampling is None:
                known[key] = text
            texts.append(text)
            self.cache_hook.add_partial("generate_until", request.args, text)
        return texts

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """A conversation in the chat template of the tokenizer; without system messages if the template refuses them."""
        from jinja2 import TemplateError

        options = {"add_generation_prompt": add_generation_prompt, "continue_final_message": not add_generation_prompt}
        if self.tokenizer is None or not self.tokenizer.chat_template:
            raise InputError(f"{self.lm.model.name} has no chat template: leave out --apply_chat_template")
        try:
            return self.tokenizer.apply_chat_template(chat_history, tokenize=False, **options)
        except TemplateError:
            log.warning("the chat template refuses this conversation; it is written without its system messages")
            others = [message for message in chat_history if message["role"] != "system"]
            return self.tokenizer.apply_chat_template(others, tokenize=False, **options)

    @property
    def tokenizer_name(self) -> str:
        """The name of the tokenizer in the harness's caches."""
        return str(getattr(self.tokenizer, "name_or_path", "") or self.lm.model.name).replace("/", "__")

    # What other parts of the harness use

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of transformers; None if the model has one of another kind."""
        return getattr(self.lm.tokenizer, "hf", None)

    @property
    def max_length(self) -> int:
        """The most tokens that a factor is conditioned on."""
        return self.convention.max_length

    @property
    def max_gen_toks(self) -> int:
        """The number of tokens to generate if a task does not say."""
        return LENGTH

    @property
    def eot_token_id(self) -> int | None:
        """The id of the end symbol."""
        return self.convention.tokenizer.eos_id

    @property
    def prefix_token_id(self) -> int:
        """The id of the symbol before a text without a context."""
        return self.convention.prefix_id

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """The ids of a text; with the symbols that the convention adds, unless `add_special_tokens` is False."""
        return self.convention.encode([string], start=add_special_tokens is not False)[string]

    def tok_decode(self, tokens: Sequence[int], skip_special_tokens: bool = True) -> str:
        """The text of token ids."""
        return decoded(self.convention.tokenizer, list(tokens)) if skip_special_tokens else self.tokenizer.decode(tokens)

    def get_model_info(self) -> dict[str, Any]:
        """What the results of the harness say of the model: its weights, their revision, the dtype and the version."""
        return {f"model_{name}": value for name, value in self.lm.model.identity.to_dict().items()}

    def _loglikelihood_tokens(self, requests: Sequence[Any], disable_tqdm: bool = False, **_: Any) -> list[tuple[float, bool]]:
        parts = [Part(np.array(context, np.int64), np.array(ids, np.int64)) for _, context, ids in requests]
        return self._log_likelihoods(parts, disable_tqdm)

    def _log_likelihoods(self, parts: list[Part], disable_tqdm: bool) -> list[tuple[float, bool]]:
        cut = [self.convention.cut(part) for part in parts]
        if shortened := sum(one is not whole for one, whole in zip(cut, parts, strict=True)):
            log.warning("%d of %d contexts were cut from the left to max_length=%d", shortened, len(parts), self.max_length)
        with _progress("Running loglikelihood requests", disable_tqdm) as report:
            return likelihood.log_likelihoods(self.lm, cut, report)

    def _remember(self, kind: str, arguments: Sequence[tuple[Any, ...]], numbers: Sequence[Any]) -> None:
        for each, number in zip(arguments, numbers, strict=True):
            self.cache_hook.add_partial(kind, each, number)


@contextmanager
def _progress(title: str, disabled: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar of contexts, as the harness shows one of requests."""
    with tqdm(desc=title, unit="context", disable=disabled) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report


def _seed() -> int:
    """A seed that follows from the harness's own `--seed`."""
    return int(torch.randint(1 << 31, (), dtype=torch.int64, device="cpu"))


def _device(requested: str | None) -> str | None:
    """The device; the CPU for a GPU that is not there, since the harness's own default is "cuda:0"."""
    if requested is not None and str(requested).startswith("cuda") and not torch.cuda.is_available():
        log.warning("there is no %s, so chainrule computes on the CPU", requested)
        return "cpu"
    return requested


def _refuse(unknown: dict[str, Any]) -> None:
    """Raises InputError for arguments that are not ours."""
    if not unknown:
        return
    name = next(iter(unknown))
    near = _OURS.get(name) or next(iter(get_close_matches(name, ARGUMENTS, n=1)), None)
    instead = f" (did you mean {near}?)" if near else ""
    raise InputError(f"chainrule has no model argument {', '.join(unknown)}{instead}; it takes {', '.join(ARGUMENTS)}")


if "chainrule" not in MODEL_REGISTRY:  # a newer harness may have found it by its entry point
    register_model("chainrule")(ChainruleLM)
