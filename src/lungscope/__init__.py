"""Lungscope: chest X-ray classification that can be checked, trusted and run. Research use only."""

__version__ = "0.1.0"
