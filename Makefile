# make            what there is
# Everything runs in .venv, which the first target that needs it creates. PYTHON=python3.12 VENV=.venv-3.12 for another.

VENV ?= .venv
ifeq ($(OS),Windows_NT)
PYTHON ?= py -3
BIN := $(VENV)/Scripts
else
PYTHON ?= python3
BIN := $(VENV)/bin
endif
RUN := $(BIN)/python
PEERS := .venv-peers
PEERS_PYTHON := $(subst $(VENV),$(PEERS),$(RUN))
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-torch test-onnx test-mpi test-nvrtc test-gpu test-page lint bench bench-gpu bench-peers peers overfit clean

help: ## Show this list
	@echo "minidl: a deep-learning framework to read, step through and train real networks with"
	@echo
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  ARGS=... is passed on:  make test ARGS='-k conv2d -x'    make demo ARGS='--seed 1'"

demo: $(VENV)/.installed ## Train LeNet-5 on real handwritten digits; curves and confusion matrix in out/
	$(RUN) -m minidl demo $(ARGS)

test: $(VENV)/.installed ## Every check: gradients, networks, training (PyTorch agreement where it is installed)
	$(RUN) -m pytest $(ARGS)

test-torch: $(VENV)/.torch ## Install PyTorch into .venv and run the agreement with it
	$(RUN) -m pytest -m torch $(ARGS)

test-onnx: $(VENV)/.onnx ## Install onnx and onnxruntime into .venv; check and run the exported networks
	$(RUN) -m pytest -m onnx $(ARGS)

test-mpi: $(VENV)/.mpi ## Install MPI into .venv; train on several processes, kill some of them
	$(RUN) -m pytest -m mpi $(ARGS)

test-page: $(VENV)/.page ## Install Playwright, nbclient and debugpy into .venv; the debugger in Chromium, a notebook, an IDE
	$(RUN) -m pytest -m page $(ARGS)

test-nvrtc: $(VENV)/.nvrtc ## Install NVIDIA's compiler into .venv; it takes every kernel (no GPU needed)
	$(RUN) -m pytest -m nvrtc $(ARGS)

test-gpu: $(VENV)/.installed ## Every operation, gradient and network on a GPU (CuPy installed in .venv: README, "On a GPU")
	$(RUN) -m pytest -m gpu $(ARGS)

lint: $(VENV)/.lint ## ruff (format and rules) and mypy
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy

bench: $(VENV)/.torch ## Speed and memory beside PyTorch (15 minutes; ARGS='networks --only lenet5' for a part)
	$(RUN) -m tests.benchmarks $(ARGS)

bench-gpu: $(VENV)/.installed ## Speed and memory on a GPU beside PyTorch's (both with CUDA in .venv)
	$(RUN) -m tests.benchmarks.gpu $(ARGS)

bench-peers: $(VENV)/.installed ## Speed beside Chainer and DeZero, which get an environment of their own, .venv-peers
	@test -e $(PEERS)/.installed || $(MAKE) --no-print-directory peers || echo "Chainer and DeZero do not install here: they need Python 3.11 or older (NumPy 1.23). make bench-peers PYTHON=python3.11 VENV=.venv-3.11"
	@test ! -e $(PEERS)/.installed || $(RUN) -m tests.benchmarks.peers --python $(PEERS_PYTHON) $(ARGS)

peers:
	$(PYTHON) -m venv $(PEERS)
	$(PEERS_PYTHON) -m pip install --quiet --disable-pip-version-check "numpy<1.24" "matplotlib<3.9" "contourpy<1.3" "setuptools<66" wheel
	$(PEERS_PYTHON) -m pip install --quiet --disable-pip-version-check --no-build-isolation chainer==7.8.1 dezero==0.0.13
	@$(PEERS_PYTHON) -c "import chainer, dezero; open('$(PEERS)/.installed', 'w')"

overfit: $(VENV)/.installed ## Let every network learn a batch of real digits by heart (half an hour; ARGS='resnet20 vgg16')
	$(RUN) -m tests.overfit $(ARGS)

clean: ## Remove .venv, caches and out/
	rm -rf .venv .venv-* out build *.egg-info .pytest_cache .ruff_cache .mypy_cache

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'minidl needs Python 3.11 or newer; this is ' + sys.version.split()[0] + '. Try: make PYTHON=python3.12 ...')"
	@test -x $(RUN) && $(RUN) -m pip --version >/dev/null 2>&1 || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable ".[digits,test]"
	@$(RUN) -c "open('$@', 'w')"

$(VENV)/.lint: $(VENV)/.installed
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable ".[lint]"
	@$(RUN) -c "open('$@', 'w')"

$(VENV)/.onnx: $(VENV)/.installed
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable ".[onnx]"
	@$(RUN) -c "open('$@', 'w')"

$(VENV)/.mpi: $(VENV)/.installed
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable ".[mpi]"
	@$(RUN) -c "open('$@', 'w')"

$(VENV)/.nvrtc: $(VENV)/.installed
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable ".[nvrtc]"
	@$(RUN) -c "open('$@', 'w')"

$(VENV)/.page: $(VENV)/.installed
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable ".[page]"
	@$(RUN) -c "open('$@', 'w')"

$(VENV)/.torch: $(VENV)/.installed
	$(RUN) -m pip install --quiet --disable-pip-version-check torch==2.13.0
	@$(RUN) -c "open('$@', 'w')"
