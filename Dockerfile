FROM python:3.13-slim AS build
# Compiled code that Python trusts as it is: layers round the times of files, by which it would compile all anew.
ENV UV_COMPILE_BYTECODE=1 PYC_INVALIDATION_MODE=UNCHECKED_HASH UV_NO_CACHE=1
RUN pip install --no-cache-dir uv==0.13.9
# The extras to install, as in pyproject.toml: `docker build --build-arg EXTRAS="…" .`, with spaces between
ARG EXTRAS=""
WORKDIR /srv
COPY pyproject.toml requirements.lock ./
# What pyproject.toml needs to serve, in the versions of the lock: a package whose hash is not there is refused.
RUN uv venv && uv pip install --require-hashes --requirements pyproject.toml --constraints requirements.lock $(for extra in $EXTRAS; do echo --extra $extra; done)
COPY README.md ./
COPY app app
COPY controllers controllers
COPY schemas schemas
RUN python -m compileall -q --invalidation-mode unchecked-hash app controllers schemas
# Nobody may write the code, and the server can read it, whatever the modes of the files were.
RUN chmod -R a-w,a+rX app controllers schemas

FROM python:3.13-slim
ENV PATH=/srv/.venv/bin:$PATH PYTHONUNBUFFERED=1
# pack: haystack
ENV HAYSTACK_TELEMETRY_ENABLED=false

# pack: playground
ENV PLAYGROUND=false

WORKDIR /srv
# The files belong to root, and the server is neither that user nor in its group: it cannot change its own code.
COPY --from=build --chown=0:0 /srv ./
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --start-period=30s --timeout=5s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
# Stop it with SIGTERM, and give it SHUTDOWN_GRACE + 5 seconds: `docker stop` takes 10 unless told otherwise.
STOPSIGNAL SIGTERM
CMD ["litestar", "run", "--host", "0.0.0.0"]
