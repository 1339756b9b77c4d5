"""Anybody's scores: a CSV file, long or wide, becomes the same records as finished runs."""
