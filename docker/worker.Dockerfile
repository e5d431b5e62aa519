# translate-mix, in a folder's clone: docker build -f docker/worker.Dockerfile --target TARGET -t IMAGE .
#   local     (the last, so the default)  translate-mix by hand, not as root
#   worker    Beam's SDK worker, for Dataflow and portable runners
#   template  worker that also launches a Dataflow Flex Template
# The commands to build, push and submit are in docker/README.md.

# The version of constraints.txt: workers and the machine that submits must have the same.
ARG BEAM=2.77.0
ARG LAUNCHER=20230622_RC00

FROM apache/beam_python3.11_sdk:${BEAM} AS beam

FROM gcr.io/dataflow-templates-base/python311-template-launcher-base:${LAUNCHER} AS launcher


FROM python:3.11-slim-bookworm AS base
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1
# The first is where Dataflow mounts the driver of a GPU, the second where pip puts cuBLAS.
ENV LD_LIBRARY_PATH=/usr/local/nvidia/lib64:/usr/local/lib/python3.11/site-packages/nvidia/cublas/lib \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /opt/translate-mix

# All that others wrote, in a layer that a change of our code does not build again.
ARG EXTRAS=gcp,dedup,hub
COPY constraints.txt pyproject.toml README.md LICENSE NOTICE ./
RUN pip install -c constraints.txt ".[${EXTRAS}]"

# CTranslate2 brings all of CUDA but the driver and cuBLAS 12; cuDNN it does not need.
ARG ACCELERATOR=cpu
ARG CUBLAS=12.9.1.4
RUN if [ "$ACCELERATOR" = gpu ]; then \
        pip install "nvidia-cublas-cu12==${CUBLAS}" \
        && python -c "import ctypes; ctypes.CDLL('libcublas.so.12')"; \
    else test "$ACCELERATOR" = cpu; fi

COPY translation translation
COPY pipelines pipelines
COPY recipes recipes
COPY training training
COPY evaluation evaluation
RUN pip install --no-deps . && pip check && translate-mix --version

# A converted model that workers find without a download: a recipe names it as `model: /opt/model`.
ARG MODEL=translation/models/small
COPY ${MODEL} /opt/model


FROM base AS worker
# Nothing is installed when a worker starts, so it needs no virtual environment, and no right to make one.
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1
COPY --from=beam /opt/apache/beam /opt/apache/beam
# As root: Dataflow mounts folders that only root may write to. Elsewhere run it with --user 1000.
ENTRYPOINT ["/opt/apache/beam/boot"]


FROM worker AS template
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
COPY docker/flex_template.py docker/flex_template.py
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/opt/translate-mix/docker/flex_template.py


FROM base AS local
# Open to every user, so that `docker run --user "$(id -u)"` can write, and files in mounts belong to who runs it.
RUN useradd --uid 1000 mix && install -d -m 1777 /work /home/mix
ENV HOME=/home/mix
USER 1000
WORKDIR /work
ENTRYPOINT ["translate-mix"]
