"""The systemd unit, as systemd reads it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from almanac import reads
from chart import ROOT
from harness.processes import almanac_binary

UNIT = ROOT / "deploy/systemd/almanac@.service"

#: The highest exposure that `systemd-analyze security` may find, from 0 to 100. It finds 14, but
#: versions of systemd weigh differently.
EXPOSURE = 20


def analyze(*args: str | Path) -> str:
    """Runs `systemd-analyze`, which must succeed, and returns what it prints."""
    program = shutil.which("systemd-analyze")
    assert program, "no systemd-analyze; hint: tools/systemd.sh install"
    done = subprocess.run([str(word) for word in (program, *args)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_reads_the_unit_without_a_complaint(tmp_path: Path) -> None:
    unit = tmp_path / "almanac@billing.service"
    # The program has to be there.
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/almanac", str(almanac_binary())))
    assert analyze("verify", "--man=no", unit) == ""


@pytest.mark.parametrize("mistake", ["Restart=sometimes", "ProtectHme=yes"])
def test_a_mistake_in_the_unit_would_be_found(tmp_path: Path, mistake: str) -> None:
    unit = tmp_path / "almanac@billing.service"
    text = UNIT.read_text().replace("/usr/local/bin/almanac", str(almanac_binary()))
    unit.write_text(text.replace("[Service]\n", f"[Service]\n{mistake}\n"))
    with pytest.raises(AssertionError):
        assert analyze("verify", "--man=no", unit) == ""


def test_the_service_is_confined() -> None:
    analyze("security", "--offline=true", f"--threshold={EXPOSURE}", UNIT)


def test_the_unit_gives_variables_that_almanac_reads() -> None:
    text = UNIT.read_text() + (UNIT.parent / "almanac.env").read_text()
    names = re.findall(r"(?:^#?|[= ])((?:ALMANAC|TEMPORAL)_[A-Z_]+)=", text, re.MULTILINE)
    assert len(names) >= 7
    assert [name for name in names if not reads("run", name)] == []


def test_the_service_has_more_time_than_a_worker_takes_to_end() -> None:
    limit = re.search(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)
    assert limit and int(limit[1]) >= 40
