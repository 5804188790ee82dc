"""What the tests of the page share: a real service, Chromium, rendered photos."""
