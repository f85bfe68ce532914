"""Checks that the numbers are right on the user's own model and machine: properties that must hold, and a text coded."""
