# Two commands do everything on a fresh Debian 12 with python3, make and the package registries in reach:
#   make demo    installs the device runtime and runs the shipped model on the shipped scene
#   make test    installs everything and runs all checks
# One more runs the checks that need a quiet machine or minutes:
#   make long
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
APT = $(if $(filter 0,$(shell id -u)),,sudo )apt-get
INSTALL = $(APT) install --yes --no-install-recommends
PIP = $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test long tools lint pytest clean
.NOTPARALLEL:
unexport PYTHONDONTWRITEBYTECODE  # tests start many processes, each of which would compile all modules again

demo: $(VENV)/.device
	$(BIN)/seld-edge demo

test: tools lint pytest

# Debian packages that tests use, each with a file of it: synthesized speech, a broker, checks of scripts and of sound
# definitions, a compiler and headers for PyAudio and a fake microphone, and an emulator of a Raspberry Pi, and a browser. Tests of what
# cannot be installed are skipped and say so.
TOOLS = espeak-ng:/usr/bin/espeak-ng mosquitto:/usr/sbin/mosquitto shellcheck:/usr/bin/shellcheck \
  alsa-utils:/usr/bin/arecord udev:/usr/bin/udevadm gcc:/usr/bin/gcc libc6-dev:/usr/include/stdio.h \
  libasound2-dev:/usr/include/alsa/pcm_external.h portaudio19-dev:/usr/include/portaudio.h \
  qemu-user-static:/usr/bin/qemu-aarch64-static mmdebstrap:/usr/bin/mmdebstrap \
  chromium:/usr/bin/chromium
tools:
	@missing=""; for tool in $(TOOLS); do \
	  test -e $${tool#*:} || command -v $${tool%%:*} >/dev/null || missing="$$missing $${tool%%:*}"; done; \
	$(PYTHON) -c "import ensurepip" 2>/dev/null || missing="$$missing python3-venv"; \
	$(PYTHON) -c "import os, sysconfig as s; os.stat(s.get_path('include') + '/Python.h')" 2>/dev/null || missing="$$missing python3-dev"; \
	test -n "$$missing" || exit 0; \
	$(APT) update; \
	$(INSTALL) $$missing || for package in $$missing; do \
	  $(INSTALL) $$package || echo "going on without $$package"; done

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# One process runs all tests of a file, or of the files that share a trained run (tests/conftest.py). Files start in the
# order of their folders, in which the long ones come first. There is one process more than there are processors, as
# tests of brokers, browsers and faults wait half of their time.
pytest: $(VENV)/.test
	$(BIN)/python -m pytest -n $$(($$(nproc) + 1)) --dist loadfile --no-loadscope-reorder

# What depends on the speed of the machine or takes minutes: one after the other, on a machine with nothing else to do.
long: tools $(VENV)/.test
	$(BIN)/python -m pytest -m long

$(VENV)/.device: pyproject.toml constraints.txt | $(VENV)
	$(PIP) --editable ".[page]"
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)
	$(PIP) --editable ".[convert,mic,test]" || { echo "going on without PyAudio"; $(PIP) --editable ".[convert,test]"; }
	touch $@ $(VENV)/.device

$(VENV):
	$(PYTHON) -c "import sys; v = sys.version_info[:2]; sys.exit(not (3, 11) <= v <= (3, 13) and f'got Python {v[0]}.{v[1]}, wanted 3.11 to 3.13')"
	$(PYTHON) -c "import ensurepip" 2>/dev/null || { $(APT) update; $(INSTALL) python3-venv; }
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) build *.egg-info
