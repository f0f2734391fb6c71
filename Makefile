# make demo     the whole way on sample photos; ends with the path of a report to open
# make test     every check and test        make quick    the part that takes under a minute
# make quality  figures on photos with masks (DATA)       make bench    speed and memory
PYTHON ?= python3
VENV ?= .venv
DATA ?= ../shared/data
DISTILLED ?= ../shared/weights/vits14_distilled.safetensors
RUN := $(VENV)/bin
PIP := $(RUN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test quick check quality bench clean

demo: $(VENV)/.demo
	$(RUN)/prelabel weights pull stand-in
	$(RUN)/prelabel samples demo/samples
	$(RUN)/prelabel run demo/samples/photos --out demo/run --backbone stand-in \
		--set classes.count=5 --format coco --format voc --format label-studio
	$(RUN)/prelabel evaluate demo/run demo/samples/ground_truth.json
	@echo "open $(CURDIR)/demo/run/report/index.html"

test: $(VENV)/.test check
	$(RUN)/prelabel weights pull stand-in
	$(RUN)/python -m pytest

quick: $(VENV)/.test check
	$(RUN)/python -m pytest -m "not slow and not network"

check: $(VENV)/.test
	$(RUN)/ruff check
	$(RUN)/ruff format --check
	$(RUN)/mypy

quality: $(VENV)/.demo
	$(RUN)/prelabel weights pull stand-in
	$(RUN)/python benchmarks/quality.py $(DATA) \
		--weights distilled=$(DISTILLED) --weights stand-in=stand-in

bench: $(VENV)/.demo
	$(RUN)/prelabel weights pull stand-in
	$(RUN)/python benchmarks/speed.py $(DATA)
	$(RUN)/python benchmarks/memory.py

clean:
	rm -rf $(VENV) demo

$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# torch first and by itself: with it in place, nothing that needs it chooses another build.
$(VENV)/.demo: $(VENV)/.venv pyproject.toml constraints.txt
	$(PIP) torch
	$(PIP) -e '.[samples,stand-in]'
	@$(PIP) -e '.[dense-crf]' > $(VENV)/dense-crf.log 2>&1 \
		|| echo "no dense-crf refiner: pydensecrf2 needs a C++ compiler (see $(VENV)/dense-crf.log)"
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	$(PIP) -e '.[test]'
	@touch $@
