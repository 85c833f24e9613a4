"""Findings for people: a page, files for spreadsheets and a short message."""
