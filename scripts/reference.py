"""The pages of reference that are read off the code: every command with its options, and every column of every result."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, get_args, get_origin

from typer.models import ArgumentInfo

COLUMNS = {
    "index": "number of the sequence in the input, from 0",
    "nth_order": "which of the orders of the text, from 0",
    "place": "number of the token among those scored, from 0",
    "rank": "of a token: 1 for the most probable in its place. Of a candidate: 1 for the best",
    "text": "the text that was scored or generated; null for token ids and embeddings",
    "candidate": "the candidate",
    "context_text": "the context, where it was a text",
    "logprob": "log probability, nats: of the sequence, or of the token in a table of tokens",
    "within_set": "log probability normalised within the candidates, nats",
    "tokens": "number of factors: tokens scored, the end symbol included",
    "bits": "−log2 of the probability of the sequence",
    "perplexity": "exp(−logprob / tokens)",
    "bytes": "UTF-8 bytes of the text that was scored",
    "bits_per_byte": "bits / bytes",
    "kind": "`joint` where every token has a factor, `conditional` where a context or other tokens are given, "
    "`pseudo-log-likelihood` for a score that is no probability",
    "start": "start policy: `bos`, `eos`, `id` or `given`",
    "start_id": "id of the start symbol; null with start `given`",
    "end_id": "id of the end symbol whose factor is the last one; null without",
    "boundary": "`same` where context and text tokenise together as they do apart, else `apart`; null without a context",
    "windows": "number of windows",
    "least_context": "fewest embeddings that a factor was conditioned on, start symbol included",
    "cut": "whether a factor saw fewer embeddings than come before it",
    "special": "how names of control symbols in the text were read: `text` or `parse`; null where there are none",
    "context_special": "the same of the context",
    "model": "name of the model",
    "invariant": "whether the number has the same bits in any batch and order (`lm.invariant`)",
    "token": "the token, readable",
    "id": "id of the token",
    "surprisal_bits": "−log2 of the factor",
    "context": "embeddings that the factor was conditioned on, start symbol included",
    "entropy": "entropy of the conditional distribution, nats",
    "begin": "first character of the text that the token spells",
    "stop": "one past the last character",
    "top": "the most probable tokens in this place (`top=`)",
    "top_logprob": "their log probabilities, nats",
    "order": "places in the order of prediction",
    "given": "places that are given",
    "length": "tokens of the whole sequence, context included",
    "length_given": "whether factors may depend on the length of the text",
    "how": "what hides the places that are not predicted yet",
    "support": "which tokens cannot occur, where some cannot",
    "position": "place of the token in the whole sequence, context included",
    "step": "at which step the token was predicted, from 0",
    "context_positions": "places that the factor was conditioned on, in the order in which they became known",
    "spread": "largest log probability less the smallest over the orders, nats",
    "logprobs": "log probability in each order, nats",
    "orders": "each order: places, first predicted first",
    "finish": "what ended the text: `end` symbol, `stop` text, `length`, or `among` a closed set",
    "method": "`greedy`, `sample`, `beam` or `best`",
    "sampling": "how the distribution that was drawn from departs from the model's",
    "sampling_logprob": "log probability under that distribution, nats",
    "seed": "seed of the draw",
    "canonical": "whether the text, tokenised again, has these tokens",
    "certain": "method `best`: whether no continuation is more probable",
    "bound": "method `best`: log probability that no other continuation exceeds, nats",
    "pll": "pseudo-log-likelihood, nats",
    "pll_per_token": "pll / tokens",
    "within_words": "whether tokens to the right in the same word were hidden",
}


def columns_reference() -> str:
    """Every column of every table of results, and the columns of each table. Raises KeyError for one without a meaning."""
    found = tables()
    kinds: dict[str, dict[str, None]] = {}
    for columns in found.values():
        for name, kind in columns.items():
            kinds.setdefault(name, {})[kind] = None
    rows = [f"| `{name}` | {' or '.join(kind)} | {COLUMNS[name]} |" for name, kind in kinds.items()]
    parts = ["\n".join(["## Every column", "", "| column | type | meaning |", "|---|---|---|", *rows]), "## Every table"]
    parts += [f"### {title}\n\n{', '.join(f'`{name}`' for name in columns)}" for title, columns in found.items()]
    return "\n\n".join(parts)


def tables() -> dict[str, dict[str, str]]:
    """Of each table of results the type of each column, taken from results of a table model and from the command line."""
    import chainrule
    from chainrule.cli import growing, pseudo, scoring

    rows = {"": [0.6, 0.4], "A": [0.7, 0.3], "B": [0.2, 0.8]}
    lm = chainrule.LanguageModel(chainrule.TableModel(["A", "B"], rows, probabilities=True, back_off=True))
    plain, ordered = lm.score_batch(["AB"], top=1), lm.score_batch(["AB"], order="right-to-left", top=1)
    mixed = lm.score_batch(["AB"], order="random:2", top=1)
    return {
        "Sequences": _types(plain.to_arrow("sequence")),
        "Tokens": _types(plain.to_arrow("token")),
        "Sequences in an order": _types(ordered.to_arrow("sequence")),
        "Tokens in an order": _types(ordered.to_arrow("token")),
        "Several orders, by text": _types(mixed.to_arrow("text")),
        "Several orders, by order": _types(mixed.to_arrow("order")),
        "Several orders, by token": _types(mixed.to_arrow("token")),
        "Candidates (rank)": dict(scoring._RANKED),
        "Generated texts (generate, infill)": dict(growing._TYPES),
        "Pseudo-log-likelihoods (pseudo)": dict(pseudo._TYPES),
    }


def _types(table: Any) -> dict[str, str]:
    return {f.name: re.sub(r"<(\w+): ", " of ", str(f.type)).replace(">", "") for f in table.schema}


def commands_reference() -> str:
    """Every command: its usage, its arguments and its options."""
    from chainrule.cli.main import app

    commands = {info.name or str(getattr(info.callback, "__name__", "")): info.callback for info in app.registered_commands}
    return "\n\n".join(_command(name, function) for name, function in sorted(commands.items()) if function)


def _command(name: str, function: Callable[..., Any]) -> str:
    params = [Parameter.of(p, hint) for p, hint in _parameters(function)]
    arguments = [p for p in params if not p.option]
    usage = " ".join(["chainrule", name, *(p.spelled for p in arguments), "[OPTIONS]"])
    parts = [f"## {name}", inspect.getdoc(function) or "", f"```text\n{usage}\n```"]
    for kind, rows in (("argument", arguments), ("option", [p for p in params if p.option])):
        if rows:
            parts.append("\n".join([f"| {kind} | meaning |", "|---|---|", *(p.row() for p in rows)]))
    return "\n\n".join(parts)


def _parameters(function: Callable[..., Any]) -> list[tuple[inspect.Parameter, Any]]:
    return [(p, p.annotation) for p in inspect.signature(function).parameters.values()]


@dataclass(frozen=True)
class Parameter:
    """An argument or an option of a command, as it is written and what it means."""

    option: bool
    spelled: str
    help: str

    @classmethod
    def of(cls, parameter: inspect.Parameter, hint: Any) -> Parameter:
        """From the parameter of a Typer command and its annotation."""
        kind, (info,) = hint.__origin__, hint.__metadata__
        kinds = [each for each in get_args(kind) or (kind,) if each is not type(None)]
        several = kinds[0] if get_origin(kinds[0]) is list else None
        kind, required = (get_args(several)[0] if several else kinds[0]), parameter.default is inspect.Parameter.empty
        if isinstance(info, ArgumentInfo):
            name = (info.metavar or parameter.name.upper()).strip("[]") + ("…" if several else "")
            return cls(False, name if required else f"[{name}]", info.help or "")
        given = [each for each in (info.default, *(info.param_decls or ())) if isinstance(each, str)]  # the first is in default
        long, *short = given or [f"--{parameter.name.replace('_', '-')}"]
        spelled = "` `".join([long if kind is bool else f"{long} {_value(kind)}", *short])
        return cls(True, spelled, _with_default((info.help or "") + _choices(kind), parameter.default))

    def row(self) -> str:
        """Its line of a table."""
        return f"| `{self.spelled}` | {_escaped(self.help)} |"


def _value(kind: Any) -> str:
    return {int: "N", float: "X"}.get(kind, "TEXT")


def _choices(kind: Any) -> str:
    return f" One of {', '.join(str(member.value) for member in kind)}." if issubclass(kind, Enum) else ""


def _with_default(text: str, default: Any) -> str:
    plain = isinstance(default, str | int) and not isinstance(default, bool) and "Default" not in text
    return f"{text} Default: {default}." if plain else text


def _escaped(text: str) -> str:
    return re.sub(r"([\\|<*\[_])", r"\\\1", text)
