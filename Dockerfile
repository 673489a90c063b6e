# Decant as it runs on a laptop; on AWS it needs no container. docs/docker.md tells more.
ARG PYTHON=python:3.13.15-slim-trixie

FROM ${PYTHON} AS packages
WORKDIR /packages
COPY requirements.txt requirements-dev.txt ./
# Of what a laptop needs, only what `chalice local` and the schedule do.
RUN python -m venv /venv \
    && grep -E '^(boto3|chalice|croniter|python-dotenv)[<>=]' requirements-dev.txt > requirements-local.txt \
    && /venv/bin/pip install --no-cache-dir -r requirements.txt -r requirements-local.txt

FROM ${PYTHON}
# A volume takes over owner and mode of the folder that it is mounted on first.
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
CMD ["chalice", "local", "--host", "0.0.0.0", "--port", "8000", "--stage", "local", "--no-autoreload"]
