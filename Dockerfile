# One image for agents, dashboard and scaler: tasktape with all its extras, git and uv for the tasks it runs.
FROM python:3.13-slim-bookworm

RUN apt-get update \
    && apt-get install --yes --no-install-recommends git openssh-client \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home tasktape \
    && install --directory --owner tasktape /data

WORKDIR /opt/tasktape
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt uv '.[dashboard,aws,hpo,metrics,tracing]'

USER tasktape
WORKDIR /home/tasktape
ENTRYPOINT ["tasktape"]
CMD ["--help"]
