"""Plugins to begin with, one of each kind, whole and sound: ``benchsuite plugins new`` copies them by another name."""
