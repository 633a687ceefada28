# certpack-watchdog in a container: two stages, so that nothing that builds is in what runs.
# For a build that cannot change under you, name the base by its digest:
#   docker build --build-arg PYTHON_IMAGE=python:3.13-slim-bookworm@sha256:... -t certpack-watchdog .
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
WORKDIR /src
COPY requirements/postgresql.txt requirements/build.txt requirements/
RUN python3 -m venv /build \
 && /build/bin/pip install --no-deps --require-hashes -r requirements/build.txt \
 && python3 -m venv /opt/certpack-watchdog \
 && /opt/certpack-watchdog/bin/pip install --no-deps --require-hashes -r requirements/postgresql.txt
COPY pyproject.toml README.md LICENSE config.example.yaml ./
COPY deploy deploy
COPY docs docs
COPY systemd systemd
COPY watchdog watchdog
RUN /build/bin/hatchling build -t wheel -d /dist \
 && /opt/certpack-watchdog/bin/pip install --no-deps --no-index --find-links /dist certpack-watchdog \
 && /opt/certpack-watchdog/bin/pip uninstall --yes pip \
 && install -d -m 0700 /state/certpack-watchdog

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="certpack-watchdog" \
      org.opencontainers.image.description="Restarts timed-out validations of Cloudflare certificate packs" \
      org.opencontainers.image.licenses="MIT"
ENV PATH=/opt/certpack-watchdog/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CERTPACK_WATCHDOG_CONFIG=/etc/certpack-watchdog/config.yaml
COPY --from=build /opt/certpack-watchdog /opt/certpack-watchdog
COPY --from=build --chown=10001:10001 /state/ /var/lib/
USER 10001:10001
WORKDIR /var/lib/certpack-watchdog
VOLUME /var/lib/certpack-watchdog
EXPOSE 9909
STOPSIGNAL SIGTERM
# Asks the address web.listen has by default. With another port, or with web.listen: "", say --no-healthcheck or give your own.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9909/healthz', timeout=4)"]
ENTRYPOINT ["certpack-watchdog"]
CMD ["run"]
