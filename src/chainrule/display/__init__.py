"""Views of results: Rich for terminals, HTML for notebooks, and documents. Importing this package registers all of them."""

from chainrule.display.comparisons import comparison_html, comparison_panel
from chainrule.display.export.html import html_document, html_table
from chainrule.display.export.latex import latex
from chainrule.display.export.svg import svg
from chainrule.display.mixtures import mixture_html, mixture_panel, mixtures_html, mixtures_table
from chainrule.display.views import (
    explanation_table,
    generated_panel,
    pseudo_panel,
    score_html,
    score_panel,
    scores_html,
    scores_table,
)
from chainrule.generation.result import Generated
from chainrule.results.batch import Scores
from chainrule.results.comparison import Comparison
from chainrule.results.explanation import Explanation
from chainrule.results.mixture import Mixture, Mixtures
from chainrule.results.pseudo import PseudoScore
from chainrule.results.score import Score
from chainrule.results.shown import document, html, rich

rich.register(Score, score_panel)
rich.register(Generated, generated_panel)
rich.register(Scores, scores_table)
rich.register(Mixture, mixture_panel)
rich.register(Mixtures, mixtures_table)
rich.register(Explanation, explanation_table)
rich.register(PseudoScore, pseudo_panel)
rich.register(Comparison, comparison_panel)

html.register(Score, score_html)
html.register(Scores, scores_html)
html.register(Mixture, mixture_html)
html.register(Mixtures, mixtures_html)
html.register(Explanation, html_table)
html.register(Comparison, comparison_html)


@document.register
def explanation_document(explanation: Explanation, form: str) -> str:
    """An explanation as html, svg or latex."""
    return {"html": html_document, "svg": svg, "latex": latex}[form](explanation)
