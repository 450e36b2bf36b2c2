"""Whether all is well, and what is not: from what ``status`` tells."""

from __future__ import annotations

from pvenetd.daemon.overview import HealthRecord, SeenRecord


def health(found: SeenRecord) -> HealthRecord:
    """Judge what *found* tells: what failed, what is broken, what drifted; an edit that waits is no illness."""
    interfaces, firewall = found["interfaces"], found["firewall"]
    reasons = [f"{owner}: {reason.partition(chr(10))[0]}" for owner, reason in found["errors"].items()]
    if interfaces["state"] == "broken":
        reasons.append("the interfaces' configuration is broken: pvenetctl interfaces check")
    if (drift := interfaces.get("drift", 0)) and interfaces.get("applied"):
        reasons.append(f"interfaces: {drift} operations from what was applied: pvenetctl plan --drift")
    if firewall["drift"]:
        reasons.append(f"firewall: not loaded as the files say: {', '.join(firewall['drift'])}")
    if firewall["stopped"]:
        reasons.append(f"ports that nobody has announced are stopped: {', '.join(firewall['stopped'])}")
    reasons += [
        f"this kernel has {one['means']}: {', '.join(one['rules'])}" for one in firewall["lacks"] if one["rules"]
    ]
    reasons += [f"{one['who']}: {one['text']}" for one in found["neighbours"] if one["severity"] == "warning"]
    reasons += [f"guest {one['vmid']}: {problem}" for one in found["guests"] for problem in one["problems"]]
    return {"status": "degraded" if reasons else "ok", "reasons": reasons}
