"""platecheck tells clean dishes from dirty ones."""
