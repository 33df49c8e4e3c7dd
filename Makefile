# Two commands do everything on a fresh Debian 12 with python3, make and the package registries in reach:
#   make demo    installs the device runtime and runs the shipped model on the shipped scene
#   make test    installs everything and runs all checks
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
APT = $(if $(filter 0,$(shell id -u)),,sudo )apt-get

.PHONY: demo test tools lint pytest clean

demo: $(VENV)/.device
	$(BIN)/seld-edge demo

test: tools lint pytest

# Synthesized speech, a broker, what checks scripts and sound definitions, what a microphone of our own is built with,
# and what emulates a Raspberry Pi; the tests of what cannot be installed are skipped and say so.
TOOLS = espeak-ng:/usr/bin/espeak-ng mosquitto:/usr/sbin/mosquitto shellcheck:/usr/bin/shellcheck \
  alsa-utils:/usr/bin/arecord udev:/usr/bin/udevadm gcc:/usr/bin/gcc libc6-dev:/usr/include/stdio.h \
  libasound2-dev:/usr/include/alsa/pcm_external.h portaudio19-dev:/usr/include/portaudio.h \
  qemu-user-static:/usr/bin/qemu-aarch64-static mmdebstrap:/usr/bin/mmdebstrap
tools:
	@for tool in $(TOOLS); do \
	  test -e $${tool#*:} || command -v $${tool%%:*} >/dev/null || { $(APT) update && \
	    $(APT) install --yes --no-install-recommends $${tool%%:*}; } || echo "going on without $${tool%%:*}"; done

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

pytest: $(VENV)/.test
	$(BIN)/python -m pytest -n auto --dist loadfile

$(VENV)/.device: pyproject.toml constraints.txt | $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[convert,test]"
	-$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[mic]"
	touch $@ $(VENV)/.device

$(VENV):
	$(PYTHON) -c "import sys; v = sys.version_info[:2]; sys.exit(not (3, 11) <= v <= (3, 13) and f'got Python {v[0]}.{v[1]}, wanted 3.11 to 3.13')"
	$(PYTHON) -c "import ensurepip" 2>/dev/null || { $(APT) update && $(APT) install --yes python3-venv; }
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) build *.egg-info
