# What a checkout can do; `make` alone lists it.  Everything is set up first, which is quick when nothing is missing.
.PHONY: help setup run test reliability fuzz bench soak kills deb lab host lint clean

help:
	@echo 'make setup            install what is missing; pvenetd and pvenetctl into .venv/bin'
	@echo 'make run              a sandbox host with a guest, until interrupted (ONCE=1: check it and exit)'
	@echo 'make test             what proves the project, with a summary (PARTS="lint native": only these)'
	@echo 'make reliability      what was tried and what happened: the figures of the last run into docs/reliability.md'
	@echo 'make lint             the linters alone'
	@echo 'make bench            times beside those of the usual tools (BENCHES="plug memory": only these)'
	@echo 'make fuzz             readers fed with anything for ten minutes each (FUZZ="-s 60 firewall": as it says)'
	@echo 'make soak             half an hour of guests that come and go; fails if anything is left behind (SOAK="--seconds 60")'
	@echo 'make kills            kill -9 of the daemon at 500 random moments under load (KILLS="--times 50 --seed 7")'
	@echo "                      HOST=1: of either, the installed package's service on the lab's Debian host"
	@echo 'make deb              the Debian package, into dist/'
	@echo "make lab CMD='…'      run a command on the lab's full kernel"
	@echo "make host CMD='…'     run a command on the lab's Debian host"
	@echo 'make clean            remove what was built here'

setup:
	@tests/setup

run: setup
	@ONCE='$(ONCE)' .venv/bin/python -m tests.sandbox

test: setup
	@.venv/bin/python -m tests.run $(PARTS)

reliability: setup
	@.venv/bin/python -m tests.reliability

lint: setup
	@.venv/bin/python -m pytest -q tests/test_lint.py

bench: setup
	@.venv/bin/python -m tests.bench $(BENCHES)

fuzz: setup
	@.venv/bin/python -m tests.fuzz.readers $(or $(FUZZ),-s 600)

# A checkout's daemon in namespaces; with HOST=1 the package, which is installed there first.
WORLD = .venv/bin/python -m
ifeq ($(HOST),1)
WORLD = tests/build-deb && PVENET_DEB=$$(ls dist/pvenetd_*.deb) tests/lab/hostvm --timeout 14400 -- python3 -m
INSTALLED = --installed
endif

soak: setup
	@$(WORLD) tests.soak $(INSTALLED) $(SOAK)

kills: setup
	@$(WORLD) tests.kills $(INSTALLED) $(KILLS)

deb: setup
	@tests/build-deb

lab: setup
	@tests/lab/vmtest bash -c '$(subst ','\'',$(value CMD))'

host: setup
	@tests/lab/hostvm bash -c '$(subst ','\'',$(value CMD))'

clean:
	rm -rf .cache .venv build dist *.egg-info
