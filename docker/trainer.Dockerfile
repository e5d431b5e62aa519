# realign, in a folder's clone: docker build -f docker/trainer.Dockerfile -t realign .
# The CUDA that PyTorch's own wheels bring; the host needs the driver and nvidia-container-toolkit alone.
FROM python:3.11-slim-bookworm
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /opt/translate-mix

# All that others wrote, in a layer that a change of our code does not build again.
ARG EXTRAS=train,evaluate,quantization
COPY constraints.txt pyproject.toml README.md LICENSE NOTICE ./
RUN pip install -c constraints.txt ".[${EXTRAS}]"

COPY translation translation
COPY pipelines pipelines
COPY recipes recipes
COPY training training
COPY evaluation evaluation
RUN pip install --no-deps . && pip check && realign --help

# Open to every user, so that `docker run --user "$(id -u)"` can write, and files in mounts belong to who runs it.
RUN useradd --uid 1000 mix && install -d -m 1777 /work /home/mix
ENV HOME=/home/mix
USER 1000
WORKDIR /work
ENTRYPOINT ["realign"]
