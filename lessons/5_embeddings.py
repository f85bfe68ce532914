"""Lesson 5: embeddings in place of tokens: the notebook beside the page that `chainrule lessons` writes."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")


@app.cell
def _():
    import marimo as mo

    import chainrule
    from chainrule.pages.lessons import LESSONS, check, lesson_page

    lm = chainrule.load()
    page = lesson_page(lm, LESSONS[4])
    exercises = page.data["lesson"]["exercises"]
    return chainrule, check, exercises, lm, mo, page


@app.cell
def _(mo):
    mo.md(r"""
    # 5. Embeddings in place of tokens

    A network sees no tokens. It sees their embeddings $e_i$, which say which token it is and where. The factors
    are the same:

    $$\Pr(x_2 \mid s, x_0, x_1) = \Pr(x_2 \mid s, e_0, e_1)$$

    What is predicted is still a token. Only what comes after the bar is replaced.
    """)
    return


@app.cell
def _(mo, page):
    mo.as_html(page)  # the whole lesson, with its panels and exercises
    return


@app.cell
def _(mo):
    mo.md(r"""
    ## The same text by token ids, and by embeddings alone
    """)
    return


@app.cell
def _(lm):
    by_ids = lm.score("It is raining.")
    vectors = lm.embed(by_ids.ids)
    by_embeddings = lm.score(embeddings=vectors)
    assert by_embeddings.logprobs.tolist() == by_ids.logprobs.tolist()
    return by_embeddings, by_ids, vectors


@app.cell
def _(by_ids, mo, vectors):
    mo.md(f"{len(by_ids)} tokens, and their embeddings: an array of the shape {tuple(vectors.shape)}")
    return


@app.cell
def _(mo):
    mo.md(r"""
    ## Another vector gives other factors after it, and changes none before it
    """)
    return


@app.cell
def _(by_ids, lm, vectors):
    mixed = vectors.clone()
    mixed[1] = (vectors[1] + vectors[2]) / 2  # the second vector becomes one that no token has
    moved = lm.score(by_ids.ids.tolist(), embeddings=mixed)
    same = moved.logprobs == by_ids.logprobs
    assert same[:2].all()
    assert not same[2:].any()
    return (moved,)


@app.cell
def _(mo):
    mo.md(r"""
    ## Exercise
    """)
    return


@app.cell
def _(exercises):
    exercise = exercises[1]
    return (exercise,)


@app.cell
def _(exercise, mo):
    options = {exercise["items"][i]: i for i in exercise["shuffled"]}
    steps = mo.ui.array([mo.ui.dropdown(options=options, label=f"step {n}") for n in range(1, len(options) + 1)])
    mo.vstack([mo.md(exercise["question"]), steps])
    return (steps,)


@app.cell
def _(check, exercise, mo, steps):
    complete = all(step is not None for step in steps.value)
    mo.md(check(exercise, steps.value).reason if complete else "Choose all steps.")
    return


if __name__ == "__main__":
    app.run()
