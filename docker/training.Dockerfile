# Training under torchrun, as a user without rights, on a read-only root.
#   docker build -f docker/training.Dockerfile -t wikiloom-training .
#   docker run --rm --gpus all --init --shm-size 16g --read-only --tmpfs /tmp -v DATA:/data wikiloom-training \
#       --nproc-per-node gpu wikiloom train colake-base --data /data/enwiki --out /data/runs/1 --resume
# PyPI's torch carries CUDA, cuDNN and NCCL: the host needs its driver and NVIDIA's container toolkit, the base no CUDA.
# train.compile needs a C compiler: --build-arg PYTHON_IMAGE=python:3.11-bookworm has one. A digest pins the base.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG UV_VERSION=0.13.8
# Which build of torch: PyPI's own where it is not given, else cpu, cu126, ... (uv's names).
ARG UV_TORCH_BACKEND
# For a network of one's own: a folder of wheels, and whether the system's certificates count. They stay in this stage.
ARG UV_FIND_LINKS
ARG UV_SYSTEM_CERTS
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never VIRTUAL_ENV=/opt/venv
WORKDIR /source
RUN --mount=type=cache,target=/root/.cache/pip python -m pip install --quiet "uv==${UV_VERSION}" \
    && python -m venv --without-pip /opt/venv
COPY pyproject.toml constraints.txt ./
# The dependencies first: they change less often than the code.
RUN --mount=type=cache,target=/root/.cache/uv \
    uv pip install --quiet --constraint constraints.txt --requirements pyproject.toml --extra training
COPY README.md LICENSE wikiloom.py ./
COPY schemas schemas
COPY pipelines pipelines
COPY training training
RUN --mount=type=cache,target=/root/.cache/uv uv pip install --quiet --no-deps . && uv pip check --quiet

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="wikiloom-training" \
      org.opencontainers.image.description="Wikiloom's training under torchrun" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/venv /opt/venv
COPY docker/entry.sh /opt/wikiloom/entry.sh
# Nothing is written but under /tmp and what is mounted.
# A save may take longer than the 30 s that torchrun gives its ranks to stop in.
ENV TORCH_ELASTIC_SHUTDOWN_TIMEOUT=100
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 HOME=/tmp HF_HOME=/tmp/huggingface MPLCONFIGDIR=/tmp/matplotlib \
    NUMBA_CACHE_DIR=/tmp/numba TORCHINDUCTOR_CACHE_DIR=/tmp/inductor TRITON_CACHE_DIR=/tmp/triton
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["sh", "/opt/wikiloom/entry.sh"]
