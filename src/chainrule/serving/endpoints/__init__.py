"""Endpoints: from the body of a request, through the worker, to a reply"""
