"""``org.pvenetd1`` on the system bus: what may be asked there, who may, and what is told (D-Bus specification 0.42)."""
