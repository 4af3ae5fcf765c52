# List the recipes.
default:
    @just --list

# Serve on http://127.0.0.1:8000.
run *args:
    uv run litestar run {{ args }}

# Serve, and start again whenever a file changes.
dev *args:
    uv run litestar run --reload {{ args }}

# Run the tests.
test *args:
    uv run pytest {{ args }}

# Would CI pass? Formatting, lint, types, import contracts, tests with coverage.
check:
    uv run ruff format --check .
    uv run ruff check .
    uv run mypy
    uv run lint-imports
    uv run pytest --cov --cov-report=term

# Compare with fastapi-openai-compat and a bare ASGI loop: 5 minutes, `just bench --help` has shorter ways.
bench *args:
    uv run --group bench python -m tests.benchmarks {{ args }}

# Write the exact versions of everything to requirements.lock, without addresses.
lock:
    uv export --quiet --no-header --output-file requirements.lock
