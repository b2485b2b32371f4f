"""The one tracing set-up: spans go to an OpenTelemetry collector if a setting names one, and are not made otherwise."""

from __future__ import annotations

import logging

from config.settings import Settings

logger = logging.getLogger(__name__)


def configure_tracing(settings: Settings, service: str) -> None:
    """Send this process's spans to ``READSIDE_OTLP_ENDPOINT``, in the background. Without one nothing is even imported."""
    if not settings.otlp_endpoint:
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        logger.error(
            "READSIDE_OTLP_ENDPOINT is set, and traces need an optional extra that is not installed; nothing is traced: "
            "`uv sync --extra otel`, or leave the setting out",
            extra={"action": "tracing_unavailable"},
        )
        return
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: service}))  # flushed when the process ends
    exporter = OTLPSpanExporter(endpoint=f"{settings.otlp_endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
