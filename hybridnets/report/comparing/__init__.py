"""Comparing: runs become variants, variants are paired over seeds, and every test says what it says."""
