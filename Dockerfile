# Decant on a laptop; on AWS it needs no container. See docs/docker.md.
ARG PYTHON=python:3.13.15-slim-trixie

FROM ${PYTHON} AS packages
WORKDIR /packages
COPY requirements.txt requirements-local.txt ./
# Of the packages for a laptop, only those that `chalice local`, the schedule and an ingest need.
RUN python -m venv /venv \
    && grep -E '^(boto3|chalice|croniter|python-dotenv|tqdm)[<>=]' requirements-local.txt > requirements-container.txt \
    && /venv/bin/pip install --no-cache-dir -r requirements.txt -r requirements-container.txt

FROM ${PYTHON}
# A volume takes the owner and mode of the folder on which it is first mounted.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /app decant \
    && install -d -o decant -g decant -m 700 /keys /passwords
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 DECANT_LOCAL_DIR=/keys
WORKDIR /app
COPY --from=packages /venv /venv
COPY app.py ./
COPY .chalice .chalice
COPY chalicelib chalicelib
COPY local local
RUN chmod -R a+rX . && python -m compileall -q .
USER 10001:10001
ENTRYPOINT ["python", "-m", "local.container"]
CMD ["python", "-m", "local.http_server", "local", "--host", "0.0.0.0", "--port", "8000", "--stage", "local", "--no-autoreload"]
