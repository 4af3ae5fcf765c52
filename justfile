# List the recipes.
default:
    @just --list

# Serve on http://127.0.0.1:8000.
run *args:
    uv run litestar run {{ args }}

# Serve, and start again whenever a file changes.
dev *args:
    uv run litestar run --reload {{ args }}

# Serve by Ray on http://127.0.0.1:8000, by as many replicas as it takes: `just ray min_replicas=2 max_replicas=8`.
ray *args:
    RAY_USAGE_STATS_ENABLED=0 uv run --extra ray serve run app.cluster:build {{ args }}

# Run the tests.
test *args:
    uv run pytest {{ args }}

# Formatting, lint, types and the import contracts.
lint:
    uv run ruff format --check .
    uv run ruff check .
    uv run mypy
    uv run lint-imports

# Would CI pass? All of `lint`, and the tests with coverage, those of all extras among them.
check: lint
    uv run --all-extras pytest --cov --cov-report=term --numprocesses=3 --dist=loadfile

# Compare with fastapi-openai-compat and a bare ASGI loop: 6 minutes, `just bench --help` has shorter ways.
bench *args:
    uv run --group bench python -m tests.benchmarks {{ args }}

# Make a project of your own out of this one: `just new ../my-app` asks what to keep.
new path *args:
    uv run copier copy --trust --vcs-ref=HEAD {{ args }} {{ quote(justfile_directory()) }} {{ quote(path) }}

# Write the exact versions of everything to requirements.lock, without addresses; with an extra: `just lock --extra ray`.
lock *args:
    uv export --quiet --no-header --output-file requirements.lock {{ args }}

# Does a version in requirements.lock have a known vulnerability? Asks the registry, and fails where that does not know.
audit:
    uvx pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock
