# One image for every service of docker-compose.yml. CPU by default; for a GPU build with
#   --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130
FROM python:3.11-slim AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /src
RUN python -m venv /opt/wardwave
ENV PATH=/opt/wardwave/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# The libraries first: this layer stays while only the source changes.
COPY pyproject.toml constraints.txt LICENSE README.md ./
RUN mkdir ingest inference models training dashboard && touch wardwave.py \
    && pip install --extra-index-url "${TORCH_INDEX}" -c constraints.txt ".[openvino,postgres]" \
    && pip uninstall -y wardwave
COPY wardwave.py ./
COPY ingest ingest
COPY inference inference
COPY models models
COPY training training
COPY dashboard dashboard
RUN rm -rf build && pip install --no-deps .

FROM python:3.11-slim
RUN useradd --create-home --uid 10001 wardwave && mkdir /recorded /access \
    && chown wardwave /recorded /access && chmod 700 /access
COPY --from=build /opt/wardwave /opt/wardwave
ENV PATH=/opt/wardwave/bin:$PATH PYTHONUNBUFFERED=1 STREAMLIT_BROWSER_GATHER_USAGE_STATS=false
USER wardwave
WORKDIR /home/wardwave
ENTRYPOINT ["wardwave"]
CMD ["--help"]
