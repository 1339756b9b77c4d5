# hybridnets on a CPU, from the locks. Nobody has built this yet: there was no container engine where it was written.
#   docker build -t hybridnets . && docker run --rm -it -v "$PWD/runs:/home/hybridnets/app/runs" hybridnets hybridnets demo
FROM python:3.12-slim

RUN apt-get update \
    && apt-get install -y --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 hybridnets

USER hybridnets
WORKDIR /home/hybridnets/app
COPY --chown=hybridnets . .
# The CPU build of torch. Without the variable: the build for CUDA, gigabytes larger.
ARG PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
RUN PIP_NO_CACHE_DIR=1 make .venv/bin/.ready
ENV PATH=/home/hybridnets/app/.venv/bin:$PATH
CMD ["hybridnets", "--help"]
