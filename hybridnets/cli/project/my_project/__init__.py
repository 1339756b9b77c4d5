"""Models and data sets of my-project."""
