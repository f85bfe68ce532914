"""The contents of each lesson: a module for its exercises and values, and a fragment of HTML for its text."""
