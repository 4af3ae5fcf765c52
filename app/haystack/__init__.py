"""Haystack pipelines, chat generators and agents as models."""

import os

# Haystack reads this when it is imported, which is after app/pipelines.py has imported this package.
os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "false")
