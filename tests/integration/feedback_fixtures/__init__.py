"""What the tests of feedback share: databases, processes that are killed, what must hold then."""
