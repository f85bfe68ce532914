"""The page of the chain rule: a text and its factors as one HTML file, and the lessons."""
