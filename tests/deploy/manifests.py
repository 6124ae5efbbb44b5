"""Writes the plain manifests, which are the chart with its default values: manifests.py FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

from chart import render

MADE = "# Made of deploy/chart by `make manifests`. Change the chart, not this file.\n"

#: Labels that say that Helm manages an object.
OF_HELM = ("helm.sh/chart:", "app.kubernetes.io/managed-by:")


def plain() -> dict[str, str]:
    """Returns the text of each file of the plain manifests."""
    files = {}
    for path, text in sorted(render().items()):
        if path != "NOTES.txt" and not path.startswith("tests/"):
            lines = text.splitlines(keepends=True)
            kept = [line for line in lines if not line.strip().startswith(OF_HELM)]
            files[path] = MADE + "".join(kept)
    resources = "".join(f"  - {path}\n" for path in files)
    files["kustomization.yaml"] = (
        f"{MADE}apiVersion: kustomize.config.k8s.io/v1beta1\n"
        f"kind: Kustomization\nresources:\n{resources}"
    )
    return files


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.yaml"):
        old.unlink()
    for name, text in plain().items():
        (folder / name).write_text(text)
