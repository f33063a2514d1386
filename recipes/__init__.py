"""Recipes: one method a file, each with ``run(table, *, output, settings, ...) -> report``."""
