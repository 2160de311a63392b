"""The export bundle: a folder with everything it takes to run, check or port one student."""

from trainers.export.bundle import Bundle, Int8Student, int8_cost, load_bundle, write_bundle
from trainers.export.manifest import ExportError
from trainers.export.runtime import OnnxNetwork
from trainers.export.verify import BundleReport, verify_bundle

__all__ = [
    "Bundle",
    "BundleReport",
    "ExportError",
    "Int8Student",
    "OnnxNetwork",
    "int8_cost",
    "load_bundle",
    "verify_bundle",
    "write_bundle",
]
