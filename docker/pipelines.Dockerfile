# Beam's Python worker with Wikiloom in it: for Dataflow, Flink and Spark, and as a pool of workers of its own.
#   docker build -f docker/pipelines.Dockerfile --target worker -t wikiloom-pipelines .
#   docker build -f docker/pipelines.Dockerfile --target launcher -t wikiloom-launcher .    Dataflow's Flex Templates
# The bases are arguments, so that a digest pins them: --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
ARG BEAM_IMAGE=apache/beam_python3.11_sdk:2.77.0
ARG LAUNCHER_IMAGE=gcr.io/dataflow-templates-base/python311-template-launcher-base:latest

FROM ${BEAM_IMAGE} AS beam

# Everything that comes from an index comes here; what follows installs from these wheels alone.
FROM ${PYTHON_IMAGE} AS wheels
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE wikiloom.py ./
COPY schemas schemas
COPY pipelines pipelines
COPY training training
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip wheel --quiet --constraint constraints.txt --wheel-dir /wheels '.[pipelines,gcp]'

FROM ${PYTHON_IMAGE} AS worker
LABEL org.opencontainers.image.title="wikiloom-pipelines" \
      org.opencontainers.image.description="Apache Beam's Python worker with Wikiloom's pipelines" \
      org.opencontainers.image.licenses="Apache-2.0"
# Also says that the code is another: not every builder looks into what is mounted before it takes a layer from its cache.
COPY --from=wheels /wheels/wikiloom-*.whl /source/constraints.txt /opt/wikiloom/
# In the system's Python, not in an environment: what Beam's boot adds at a worker's start it adds on top of that.
# hadolint ignore=DL3013
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    python -m pip install --quiet --no-cache-dir --no-index --find-links /wheels 'wikiloom[pipelines,gcp]' \
    && python -m pip check
COPY --from=beam /opt/apache/beam /opt/apache/beam
# No USER: boot writes beside itself, and Dataflow starts workers as root.
ENTRYPOINT ["/opt/apache/beam/boot"]

# docker build looks at this stage only when it is asked for.
FROM ${LAUNCHER_IMAGE} AS template

FROM worker AS launcher
LABEL org.opencontainers.image.title="wikiloom-launcher"
COPY --from=template /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
COPY docker/flex_template.py /opt/wikiloom/flex_template.py
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/opt/wikiloom/flex_template.py
ENTRYPOINT ["/opt/google/dataflow/python_template_launcher"]
