# One file, four images, and a fifth for development:
#
#   docker build --build-arg SERVICE=profile -t regulars-profile .
#   docker build --target stack --build-arg LOCK=requirements.lock -t regulars-stack .
#
# All four share the layer with the libraries. They run as an ordinary user and write nowhere:
# start them with --read-only.

FROM python:3.11-slim AS libraries
ARG LOCK=requirements-runtime.lock
WORKDIR /app
COPY ${LOCK} requirements.lock
RUN python -m venv .venv \
    && .venv/bin/python -m pip install --no-cache-dir --no-input --disable-pip-version-check \
        --require-hashes --requirement requirements.lock \
    && .venv/bin/python -m pip uninstall --yes --quiet pip setuptools

FROM python:3.11-slim AS base
# The number is fixed, so that a file system or a pod's securityContext can name it.
RUN groupadd --gid 10001 regulars \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent regulars \
    && install --directory --owner regulars --group regulars --mode 0700 /run/regulars
WORKDIR /app
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
COPY --from=libraries /app/.venv .venv
COPY shared shared

# What docker-compose.yml needs besides: the files to begin with, mail sink, SMS stub.
FROM base AS stack
COPY stack stack
USER 10001:10001
ENTRYPOINT ["python", "-m"]
CMD ["stack.mail", "--help"]

FROM base AS service
ARG SERVICE
# An image without a service would start, and fail at the first import only.
RUN test -n "${SERVICE}" || { echo "build with --build-arg SERVICE=profile (or loyalty, ...)" >&2; exit 1; }
COPY services/__init__.py services/
# Only its own folder: an import of another service cannot even resolve here.
COPY services/${SERVICE} services/${SERVICE}
RUN python -m compileall -q shared services
ENV SERVICE=${SERVICE} \
    REGULARS_SERVICE=${SERVICE} \
    REGULARS_HTTP_HOST=0.0.0.0 \
    REGULARS_HTTP_PORT=8000 \
    REGULARS_OPS_PORT=9000
USER 10001:10001
EXPOSE 8000 9000
# /livez says that the event loop turns; whether work can be done now is /readyz.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9000/livez', timeout=4)"]
ENTRYPOINT ["sh", "-c", "exec python -m services.$SERVICE \"$@\"", "--"]
CMD ["api"]
