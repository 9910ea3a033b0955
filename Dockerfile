# The bridge, with a mosquitto of its own for when no broker is configured. Builds for amd64, arm64 and arm/v7:
# every dependency is pure Python or has a wheel for them.
#   docker buildx build --platform linux/amd64,linux/arm64,linux/arm/v7 --build-arg VERSION=0.1.0 -t sms-bridge .
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY hardware hardware
COPY sms_bridge sms_bridge
RUN python -m venv /opt/sms-bridge \
    && /opt/sms-bridge/bin/pip install --no-cache-dir --retries 10 --timeout 60 .

FROM python:3.13-slim-bookworm
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="sms-bridge" \
      org.opencontainers.image.description="Two-way SMS over GSM modems, as MQTT topics" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
# tini is process 1: it hands signals on and buries what nobody waits for. The user's number is fixed, so that a volume
# fits the next version's container too; the group dialout is that of the ports.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends mosquitto mosquitto-clients tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /data --groups dialout sms-bridge
COPY --from=build /opt/sms-bridge /opt/sms-bridge
ENV PATH=/opt/sms-bridge/bin:$PATH \
    STATE_DIRECTORY=/data \
    PYTHONUNBUFFERED=1
USER sms-bridge
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM
# Healthy: the bridge says so itself, and takes it back when it dies (its last will).
HEALTHCHECK --interval=60s --timeout=10s --start-period=30s --retries=3 \
    CMD ["sms-bridge", "health"]
ENTRYPOINT ["tini", "--", "sms-bridge"]
CMD ["run"]
