"""Checks that the numbers are right on the user's own model and machine: properties that must hold, and a text coded."""

from chainrule.verify.checks import verify
from chainrule.verify.code import Code, decode, encode, prove
from chainrule.verify.report import Finding, Property, Report

__all__ = ["Code", "Finding", "Property", "Report", "decode", "encode", "prove", "verify"]
