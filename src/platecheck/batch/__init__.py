"""Answering for archives of any size, part by part, on one machine or many."""
