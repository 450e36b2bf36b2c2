"""How long pvenetd takes, beside the usual tools, in one run."""
