"""The fixtures every test may ask for; each set of them lives in its own module."""

pytest_plugins = ["tests.databases", "tests.backends"]
