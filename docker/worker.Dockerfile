# translate-mix on one machine: docker build -f docker/worker.Dockerfile -t translate-mix .
#   docker run --rm -v "$PWD/mix:/work/mix" translate-mix run --output /work/mix
FROM python:3.11-slim-bookworm

WORKDIR /opt/translate-mix
COPY constraints.txt pyproject.toml README.md LICENSE NOTICE ./
COPY translation translation
COPY pipelines pipelines
COPY recipes recipes
COPY training training
COPY evaluation evaluation
RUN pip install --no-cache-dir -c constraints.txt . \
    && useradd --create-home --uid 1000 mix \
    && mkdir /work && chown mix /work

USER 1000
WORKDIR /work
ENTRYPOINT ["translate-mix"]
