"""The page on which people review feedback, and its small server."""
