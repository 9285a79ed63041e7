# syntax=docker/dockerfile:1
FROM python:3.11-slim AS build
RUN apt-get update && apt-get install --yes --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/learnd
WORKDIR /src
COPY requirements.lock requirements-image.lock ./
# Only what the lock file names, each file checked against its hash, in a folder that the final image takes whole. There
# is no tensorflow-cpu for other processors, where TensorFlow itself is without what only GPUs need.
RUN lock=requirements.lock; if [ "$(uname -m)" = x86_64 ]; then lock=requirements-image.lock; fi \
    && /opt/learnd/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
        --require-hashes --only-binary :all: --no-deps -r "$lock"
# What nothing reads at run time: headers, tests of libraries, Arrow's network clients, and the symbols for
# debuggers and linkers. The libraries in *.libs stay as auditwheel has patched them, for strip can break those.
RUN cd /opt/learnd/lib/python3*/site-packages \
    && rm -r tensorflow/include pyarrow/include pyarrow/tests \
    && rm pyarrow/*_flight*.so* \
    && find numpy scipy -type d -name tests -prune -exec rm -r {} + \
    && find . -name '*.libs' -prune -o -type f -name '*.so*' -exec strip --strip-unneeded {} +
COPY pyproject.toml setup.py README.md LICENSE ./
COPY daemon ./daemon
COPY connectors ./connectors
RUN /opt/learnd/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
        --no-deps --no-build-isolation . \
    && /opt/learnd/bin/python -m compileall -q /opt/learnd/lib/python3*/site-packages/learnd \
    && /opt/learnd/bin/python -m pip uninstall --yes --quiet pip

FROM python:3.11-slim
LABEL org.opencontainers.image.title="learnd" \
      org.opencontainers.image.description="Trains a Keras model from a live stream, each record exactly once" \
      org.opencontainers.image.licenses="Apache-2.0"
# Volumes belong to this number, so it stays the same.
RUN groupadd --gid 10001 learnd \
    && useradd --uid 10001 --gid 10001 --home-dir /state --no-create-home --shell /usr/sbin/nologin learnd \
    && mkdir /state && chown 10001:10001 /state
COPY --from=build /opt/learnd /opt/learnd
ENV PATH=/opt/learnd/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TF_CPP_MIN_LOG_LEVEL=2
USER 10001:10001
WORKDIR /state
VOLUME /state
EXPOSE 9464
STOPSIGNAL SIGTERM
# It asks at the default of `http.listen`; run with --no-healthcheck if HTTP is elsewhere or off.
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s --retries=3 \
    CMD ["/opt/learnd/bin/python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9464/healthz', timeout=4)"]
# The exec form: signals reach the daemon itself, which writes a checkpoint and exits with 0.
ENTRYPOINT ["learnd"]
CMD ["run", "/etc/learnd/settings.yaml", "--state", "/state"]
