"""Checks an SBOM against the schema of CycloneDX 1.5: check_sbom.py FILE."""

import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(Path(sys.argv[1]).read_text())
if error is not None:
    sys.exit(f"error: {sys.argv[1]} is no CycloneDX 1.5: {error}")
