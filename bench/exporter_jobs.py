"""The actor module of the exporter that `bench.exporter` measures."""

from bench.exporter import declare

declare()
