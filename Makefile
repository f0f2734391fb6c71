PYTHON ?= python3
VENV ?= .venv
DATA ?= ../shared/data
DISTILLED ?= ../shared/weights/vits14_distilled.safetensors
SERVER ?= .venv-label-studio
READERS ?= .venv-voc-readers
DOCS ?= .venv-docs
JOBS ?= 2
.DEFAULT_GOAL := help
RUN := $(VENV)/bin
PIP := $(RUN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help label-studio demo test quick check docs quality paper bench bench-formats bench-label-studio bench-learning bench-review bench-scale label-studio-server voc-readers clean

help: ## this list
	@awk -F ':.* ## ' '/^[a-z-]+:.* ## / { printf "make %-20s %s\n", $$1, $$2 }' Makefile

label-studio: $(VENV)/.demo label-studio-server ## Label Studio with sample photos that already have masks; Ctrl-C stops it
	$(RUN)/prelabel weights pull stand-in
	$(RUN)/prelabel label-studio demo --command $(SERVER)/bin/label-studio --backbone stand-in

demo: $(VENV)/.demo ## a run over the sample photos, with exports, figures and a report
	$(RUN)/prelabel weights pull stand-in
	$(RUN)/prelabel samples demo/samples
	$(RUN)/prelabel run demo/samples/photos --out demo/run --backbone stand-in \
		--set classes.count=5 --format coco --format voc --format label-studio
	$(RUN)/prelabel evaluate demo/run demo/samples/ground_truth.json
	@echo "open $(CURDIR)/demo/run/report/index.html"

test: $(VENV)/.test label-studio-server check ## all checks and tests, with coverage
	$(RUN)/prelabel weights pull stand-in
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest -n $(JOBS) --dist loadfile --cov --cov-report=term --cov-report=json:$(VENV)/coverage.json
	$(RUN)/python tests/coverage_floor.py $(VENV)/coverage.json

# On one thread: arrays as small as these cost most of their time in threads that wait.
quick: $(VENV)/.test check ## the checks and the fast tests: about two minutes
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest -m "not slow and not network"

check: $(VENV)/.test ## lint, format and types
	$(RUN)/ruff check
	$(RUN)/ruff format --check
	$(RUN)/mypy

docs: $(DOCS)/.ready ## the documentation, into site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build --strict --quiet
	@echo "open $(CURDIR)/site/index.html"

quality: $(VENV)/.demo ## quality on photos with masks (DATA)
	$(RUN)/prelabel weights pull stand-in
	$(RUN)/python benchmarks/quality.py $(DATA) \
		--weights distilled=$(DISTILLED) --weights stand-in=stand-in
	$(RUN)/python benchmarks/separators.py $(DATA) \
		--weights distilled=$(DISTILLED) --weights stand-in=stand-in
	$(RUN)/python benchmarks/recipes.py $(DATA) \
		--weights distilled=$(DISTILLED) --weights stand-in=stand-in
	$(RUN)/python benchmarks/calibration.py $(DATA) \
		--weights distilled=$(DISTILLED) --weights stand-in=stand-in
	$(RUN)/python benchmarks/positions.py $(DATA) \
		--weights distilled=$(DISTILLED) --weights stand-in=stand-in

paper: $(VENV)/.demo ## the paper's protocol on official folders (VOC, COCO), beside the literature
	$(RUN)/python benchmarks/paper.py $(if $(VOC),--voc $(VOC)) $(if $(COCO),--coco $(COCO)) \
		$(foreach name,$(BACKBONES),--backbone $(name))

bench: $(VENV)/.demo ## speed, also beside other methods, and memory
	$(RUN)/prelabel weights pull stand-in
	$(RUN)/python benchmarks/speed.py $(DATA) --recipe fast
	$(RUN)/python benchmarks/speed.py $(DATA) --recipe default
	$(RUN)/python benchmarks/peers.py $(DATA)
	$(RUN)/python benchmarks/memory.py

bench-label-studio: $(VENV)/.demo label-studio-server ## names learned from corrections, clicks, the backend with a real server
	$(RUN)/prelabel weights pull stand-in
	$(RUN)/python benchmarks/naming.py $(DATA)/voc_animals --weights distilled=$(DISTILLED)
	$(RUN)/python benchmarks/interactive.py $(wildcard $(DATA)/*/) \
		--weights distilled=$(DISTILLED) --weights stand-in=stand-in
	$(RUN)/python benchmarks/label_studio.py $(DATA) --label-studio $(SERVER)/bin/label-studio

bench-learning: $(VENV)/.demo ## how corrections make the next pre-labels better, on photos with masks (DATA)
	$(RUN)/prelabel weights pull stand-in
	$(RUN)/python benchmarks/learning.py $(DATA) --per-class \
		--weights distilled=$(DISTILLED) --weights stand-in=stand-in

bench-review: $(VENV)/.demo ## names of regions after some seconds at the review page, and its memory
	$(RUN)/prelabel weights pull stand-in
	$(RUN)/python benchmarks/review.py $(DATA)/voc_animals $(DATA)/coco \
		--weights distilled=$(DISTILLED) --weights stand-in=stand-in
	$(RUN)/python benchmarks/review_memory.py

# faiss is only measured against, and nothing of prelabel needs it.
bench-scale: $(VENV)/.demo ## clustering of all patches: memory, time and inertia beside faiss, cost against photos
	$(PIP) faiss-cpu
	nice -n 5 $(RUN)/python benchmarks/scale.py

bench-formats: $(VENV)/.test label-studio-server ## exports compared with Label Studio's, evaluation with pycocotools and hotcoco
	$(RUN)/python benchmarks/evaluation.py
	$(RUN)/python benchmarks/exports.py $(DATA)/voc_animals \
		--label-studio $(SERVER)/bin/label-studio

# Label Studio has its own environment, as it pins versions that other packages cannot use.
label-studio-server: $(SERVER)/.ready ## install Label Studio, into an environment of its own

$(SERVER)/.ready:
	$(PYTHON) -m venv $(SERVER)
	$(SERVER)/bin/python -m pip install --quiet --disable-pip-version-check 'label-studio==1.23.2'
	@touch $@

# Readers of VOC and YOLO for tests have their own environment, as torchvision needs its own torch.
voc-readers: $(READERS)/.ready ## install torchvision, datumaro and Ultralytics, which read VOC and YOLO in tests

$(READERS)/.ready:
	$(PYTHON) -m venv $(READERS)
	$(READERS)/bin/python -m pip install --quiet --disable-pip-version-check torchvision datumaro ultralytics opencv-python-headless
	@touch $@

clean: ## remove all environments, the demo and the built documentation
	rm -rf $(VENV) $(SERVER) $(READERS) $(DOCS) demo site .coverage*

$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# torch is installed first, so that no package that needs it installs another build.
$(VENV)/.demo: $(VENV)/.venv pyproject.toml constraints.txt
	$(PIP) torch
	$(PIP) -e '.[samples,stand-in,serve]'
	@$(PIP) -e '.[dense-crf]' > $(VENV)/dense-crf.log 2>&1 \
		|| echo "no dense-crf refiner: pydensecrf2 needs a C++ compiler (see $(VENV)/dense-crf.log)"
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	$(PIP) -e '.[test]'
	@touch $@

# MkDocs needs a Jinja2 that label-studio-ml cannot use, so that it has an environment of its own, which
# finds prelabel's packages behind its own.
$(DOCS)/.ready: $(VENV)/.demo
	$(PYTHON) -m venv $(DOCS)
	$(RUN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$($(DOCS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/prelabel.pth"
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@
