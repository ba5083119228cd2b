"""Stored runs to look at in a browser: the list, and a page of each."""
