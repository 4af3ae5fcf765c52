import os

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "false")  # which Haystack reads when it is imported
