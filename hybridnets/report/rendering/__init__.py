"""Rendering: tables and figures become text, a page and files; and the files are verified."""
