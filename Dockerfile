# The course in a container: `docker build -t densenet .`, then what docs/containers.md says. Linux on x86-64; on a Mac
# with an M chip docker emulates that.
FROM --platform=linux/amd64 python:3.13-slim
RUN apt-get update && apt-get install -y --no-install-recommends make git libgomp1 libquadmath0 \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home student
USER student
WORKDIR /home/student/d2l-densenet
COPY --chown=student . .
RUN make env && rm -rf ~/.cache
EXPOSE 8888
CMD ["make", "lab", "ARGS=--ip=0.0.0.0 --no-browser"]
