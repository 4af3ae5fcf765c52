set positional-arguments # so that `just test -k "one or other"` works

# List the recipes.
default:
    @just --list

# Serve on http://127.0.0.1:8000.
run *args:
    uv run litestar run "$@"

# Serve, and restart whenever a file changes.
dev *args:
    uv run litestar run --reload "$@"

# Ask the running server and time the answer: `just ask "What is this?" echo-stream`; by default its first model.
ask $question $model="" $url=env("ASK_URL", "http://127.0.0.1:8000/v1") $key=env("ASK_KEY", "none"):
    #!/usr/bin/env -S uv run python
    import os, sys, time

    from openai import APIConnectionError, OpenAI, OpenAIError

    client = OpenAI(base_url=os.environ["url"], api_key=os.environ["key"], max_retries=0)
    messages = [{"role": "user", "content": os.environ["question"]}]
    times = []
    try:
        model = os.environ["model"] or client.models.list().data[0].id
        began = time.perf_counter()
        for chunk in client.chat.completions.create(model=model, messages=messages, stream=True):
            for delta in [choice.delta for choice in chunk.choices]:
                thought = getattr(delta, "reasoning_content", None)
                if thought or delta.content:
                    times.append(time.perf_counter() - began)
                print(thought or "", end="", flush=True, file=sys.stderr)
                print(delta.content or "", end="", flush=True)
    except APIConnectionError:
        sys.exit(f"Nothing answers at {client.base_url}: `just run` starts a server.")
    except OpenAIError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass
    if times:
        chunks = "1 chunk" if len(times) == 1 else f"{len(times)} chunks"
        figures = f"first token after {times[0]:.3f} s, {chunks} in {times[-1]:.3f} s"
        print(f"\n\n{model}: {figures}", file=sys.stderr)

# pack: ray
# Serve by Ray on http://127.0.0.1:8000, by as many replicas as it takes: `just ray port=9000 max_replicas=8`.
ray *args:
    RAY_USAGE_STATS_ENABLED=0 uv run --no-dev --all-extras serve run app.ray:build "$@"

# Run your tests: those of the models and settings of this project.
test *args:
    uv run pytest "$@"

# Check formatting, lint, types and the import contracts.
lint:
    uv run ruff format --check .
    uv run ruff check .
    uv run mypy app controllers schemas tests/*.py
    uv run --all-extras --group template mypy # pack: template
    uv run lint-imports

# Run every check: `lint` and all tests.
check: lint
    uv run pytest
    uv run --all-extras --group template pytest tests/template/test_scaffold.py tests/template --cov --cov-report=term --numprocesses=3 --dist=loadfile # pack: template

# pack: template
# Compare the speed with fastapi-openai-compat and a bare ASGI loop: 6 minutes; `just bench --help` has shorter ways.
bench *args:
    uv run --group bench python -m tests.benchmarks "$@"

# pack: template
# Make a project of your own out of this template: `just new ../my-app` asks which packs to keep.
new path *args:
    shift && uvx copier copy --trust --vcs-ref=HEAD "$@" {{ quote(justfile_directory()) }} {{ quote(absolute_path(path)) }}

# requirements.lock has the hashes for the image, without addresses; the list in pyproject.toml is what `uv run` obeys.
# Write the versions of all packages to requirements.lock and pyproject.toml; `just lock --upgrade` takes the newest.
lock *args:
    #!/usr/bin/env -S uv run --no-project python
    import re, subprocess, sys
    from pathlib import Path

    project, lock = Path("pyproject.toml"), Path("requirements.lock")
    text = project.read_text(encoding="utf-8")
    before, after = re.split(r"(?<=^constraint-dependencies = \[\n)(?:    .*\n)*", text, maxsplit=1, flags=re.MULTILINE)
    project.write_text(before + after, encoding="utf-8")  # uv.lock still has these versions, and uv prefers them
    export = ["uv", "export", "--quiet", "--no-header", "--all-extras", "--output-file", lock, *sys.argv[1:]]
    if subprocess.run(export).returncode:
        project.write_text(text, encoding="utf-8")
        sys.exit(1)
    versions = re.findall(r"^(\S+==.*?) \\?$", lock.read_text(encoding="utf-8"), re.MULTILINE)
    project.write_text(before + "".join(f'    "{version}",\n' for version in versions) + after, encoding="utf-8")

# Look the versions of requirements.lock up for known vulnerabilities; fails if the registry does not answer.
audit:
    uvx pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock
