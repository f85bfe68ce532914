"""The method that scores a column of a table, and gives the table back with the results beside it."""

from __future__ import annotations

import warnings
from typing import TypeVar, cast

from chainrule._warnings import outside
from chainrule.engine.question import Progress
from chainrule.errors import InputError
from chainrule.language.scoring import Scoring
from chainrule.results.beside import told
from chainrule.results.frames import Frame
from chainrule.text.arguments import as_list, is_missing
from chainrule.text.reading import Special
from chainrule.text.types import Order, StartPolicy

Table = TypeVar("Table")


class Tables(Scoring):
    """`score_table`."""

    # fmt: off
    def score_table(
        self, frame: Table, text: str = "text", *, context: str | None = None, id: str | None = None, per: str | None = None,
        order: Order | None = None, seed: int = 0, start: StartPolicy | int | None = None, end: bool | int | None = None,
        top: int = 0, temperature: float = 1.0, window: int | bool | None = None, stride: int | None = None,
        rows: int | None = None, special: Special | None = None, context_special: Special | None = None,
        progress: Progress | None = None,
    ) -> Table:
        # fmt: on
        """A table with the results of `score_batch` beside its own columns, which are unchanged and come first.

        frame: a DataFrame of pandas or Polars, or a Table or RecordBatch of Arrow. The result is one too; of pandas, with
            the same index.
        text: the column of the texts.
        context: a column with the context of each text; a missing value means no context.
        id: a column that identifies a row. Every row must have a value; rows of tokens have this column in place of all.
        per: what a row of the result is: "sequence" (default) or "token"; in several orders "text", "order" or "token".
        order: the order in which the tokens are predicted: a permutation of their positions 0, 1 …, "left-to-right",
            "right-to-left" or "random". The length is given then, and the context comes first. "random:8", or a list of
            orders: several.
        seed: of random orders.
        start: the start symbol for this call, in place of the model's default: "bos", "eos", "given" or a token id.
        end: True, or the id of an end symbol: add the factor of the end symbol.
        top: the number of alternatives to keep at each position.
        temperature: T in softmax(logits / T), which every factor is taken from; 1 is the model itself.
        window: the largest number of embeddings to condition on (default: the model's own limit); False refuses longer texts.
        stride: the number of tokens from one window to the next (default: half a window).
        rows: the number of contexts to compute at a time.
        special: how names of control symbols, such as <|endoftext|>, are read: "text" (default, with a warning) or "parse".
        context_special: the same for contexts (default: as `special`).
        progress: called with (done, total), in contexts.
        `index` is the number of the row in the table, from 0. The result lacks the columns `text` and `context_text` of
        `score_batch`, which the table has. A column of ours whose name is taken ends in _chainrule, with a warning.
        Raises InputError, with the row, for input that cannot be scored, and for columns that do not exist.
        """
        table = Frame(frame)
        texts = as_list(table.column(text, "text="), "the texts")
        contexts = None if context is None else as_list(table.column(context, "context="), "the contexts")
        if id is not None:
            keys = as_list(table.column(id, "id="), "the ids")
            missing = next((row for row, key in enumerate(keys) if is_missing(key) or key == ""), None)
            if missing is not None:
                raise InputError(f"row {missing} of the table has nothing in the column {id!r} (id=), so it has no key")
        try:
            scores = self.score_batch(
                texts, context=contexts, order=order, seed=seed, start=start, end=end, top=top, temperature=temperature,
                window=window, stride=stride, rows=rows, special=special, context_special=context_special, progress=progress,
            )  # fmt: skip
        except InputError as error:
            if error.item is None:
                raise
            told_with_row = InputError(f"row {error.item} of the table: {error.reason}")
            told_with_row.item = error.item
            raise told_with_row from None
        ours = scores.to_arrow(per)
        repeated = ["text", *(["context_text"] if context is not None else [])]
        index = ours["index"].to_numpy()
        both, names = table.beside(
            ours.drop_columns([name for name in repeated if name in ours.column_names]),
            None if per in (None, "sequence", "text") else index,
            [id] if id is not None and per == "token" else None,
        )
        if names:
            warnings.warn(told(names), stacklevel=outside())
        return cast("Table", both)
