"""Evaluate models: metrics, background swapping, comparison and plots."""
