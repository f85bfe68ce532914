"""Lesson 4: debugging a calculation: the notebook beside the page that `chainrule lessons` writes."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")


@app.cell
def _():
    import math

    import marimo as mo

    import chainrule
    from chainrule.pages.lessons import LESSONS, check, lesson_page

    lm = chainrule.load()
    page = lesson_page(lm, LESSONS[3])
    exercises = page.data["lesson"]["exercises"]
    return chainrule, check, exercises, lm, math, mo, page


@app.cell
def _(mo):
    mo.md(r"""
    # 4. Debugging a calculation

    The logits of different steps have no common scale. Subtract the log-sum-exp of each step over the whole
    vocabulary, and then add. Three letters: the logits are (10, 9, 0) at the first step, (0, 0, 0) after A, and
    (8, 7, 0) after B. The raw sums are 10 for AA and 16 for BB, but AA is more probable.
    """)
    return


@app.cell
def _(mo, page):
    mo.as_html(page)  # the whole lesson, with its panels and exercises
    return


@app.cell
def _(mo):
    mo.md(r"""
    ## The wrong way beside the right one
    """)
    return


@app.cell
def _(chainrule, math):
    logits = {"": [10, 9, 0], "A": [0, 0, 0], "B": [8, 7, 0]}
    letters = chainrule.LanguageModel(chainrule.TableModel(["A", "B", "C"], logits))
    raw = {text: logits[""]["ABC".index(text[0])] + logits[text[0]]["ABC".index(text[1])] for text in ("AA", "BB")}
    right = {text: letters.score(text).logprob for text in raw}

    def normalised(row, letter):
        return row["ABC".index(letter)] - math.log(math.fsum(math.exp(z) for z in row))

    by_hand = {text: normalised(logits[""], text[0]) + normalised(logits[text[0]], text[1]) for text in raw}
    assert all(abs(by_hand[text] - right[text]) < 1e-12 for text in raw)
    assert max(raw, key=raw.get) == "BB"
    assert max(right, key=right.get) == "AA"
    assert abs(right["AA"] - -1.411907) < 1e-6
    assert abs(right["BB"] - -2.626802) < 1e-6
    return letters, raw, right


@app.cell
def _(mo, raw, right):
    mo.md(f"""
    | text | sum of raw logits (wrong) | log Pr in nats |
    |---|---:|---:|
    | AA | {raw["AA"]} | {right["AA"]:.6f} |
    | BB | {raw["BB"]} | {right["BB"]:.6f} |
    """)
    return


@app.cell
def _(mo):
    mo.md(r"""
    ## One step of the model sums to 1
    """)
    return


@app.cell
def _(lm, math):
    step = lm.conditional("It is")
    assert abs(math.fsum(math.exp(x) for x in step.logprobs.tolist()) - 1) < 1e-4
    return (step,)


@app.cell
def _(mo):
    mo.md(r"""
    ## Exercise
    """)
    return


@app.cell
def _(exercises):
    exercise = exercises[0]
    return (exercise,)


@app.cell
def _(exercise, mo):
    box = mo.ui.text(label="Your answer")
    mo.vstack([mo.md(exercise["question"]), box])
    return (box,)


@app.cell
def _(box, check, exercise, mo):
    verdict = check(exercise, box.value) if box.value else None
    mo.md("Type a number." if verdict is None else verdict.reason)
    return


if __name__ == "__main__":
    app.run()
