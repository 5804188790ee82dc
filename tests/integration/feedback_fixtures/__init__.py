"""Databases, killed processes and invariants for the tests of feedback."""
