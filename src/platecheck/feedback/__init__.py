"""User feedback on predictions: stored, reviewed, and collected into training data."""
