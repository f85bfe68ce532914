"""The bodies of requests, checked: a field that is unknown, of another type or out of range is an error that names it"""
