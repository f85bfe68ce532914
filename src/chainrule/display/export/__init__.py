"""Explanations as documents: HTML, SVG and LaTeX, for slides, papers and notebooks."""
