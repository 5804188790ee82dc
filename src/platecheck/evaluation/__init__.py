"""Evaluate models: metrics, exchanged backgrounds, comparison, plots and reports."""
