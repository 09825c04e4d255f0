"""Runs cells: from a recipe to one record each."""
