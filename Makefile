# Needs make and Python 3.11 or newer; everything else is installed into .venv, once, from pinned versions.
#
#   make PYTHON=/path/to/python3.12 ...   choose the Python (default: the first of 3.11, 3.12, 3.13, 3.14, python3)
#   make install CUDA=1                   PyTorch's CUDA build instead of its CPU build (gigabytes); remembered
#   make test ARGS="-k phantom"           more arguments for pytest, or for the demo

VENV  ?= .venv
BIN   := $(VENV)/bin
PIP   := $(BIN)/python -m pip --disable-pip-version-check --no-input
STAMP := $(VENV)/.installed

# OpenMP threads that wait must sleep: with a second busy process they cost PyTorch up to eight times its speed.
OMP_WAIT_POLICY ?= PASSIVE
export OMP_WAIT_POLICY

# The stamp holds the CUDA setting that it was made with; asking for the other one installs again.
installed := $(shell cat $(STAMP) 2>/dev/null)
CUDA ?= $(installed)

# On Linux, PyPI's own build of torch is the CUDA one, so '+cpu' is spelt out: without it, a CPU index out of reach
# would silently become a download of gigabytes. Elsewhere (macOS) PyPI has one build, for the CPU.
TORCH := $(shell grep '^torch==' constraints.txt)
ifeq ($(shell uname -s),Linux)
ifeq ($(CUDA),1)
TORCH := $(TORCH),!=$(patsubst torch==%,%,$(TORCH))+cpu
else
TORCH := $(TORCH)+cpu
CPU_INDEX := https://download.pytorch.org/whl/cpu
endif
endif

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all test-export lint format reference results bench clean distclean force

help:  ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

install: $(STAMP)  ## Create .venv and install segdistill with its pinned requirements
	@$(BIN)/python tools/vendor_niivue.py || echo "(The install goes on without it.)"
	@echo "segdistill is installed in $(VENV); start with: $(BIN)/segdistill --help"

demo: $(STAMP)  ## Distil three small teachers into a light student on synthetic patients (under 10 minutes)
	@$(BIN)/segdistill demo $(ARGS)

test: $(STAMP)  ## Run the fast tests
	@$(BIN)/python -m pytest -n logical --maxprocesses 4 -m "not slow and not export" $(ARGS)

test-all: $(STAMP)  ## Run all tests, the slow ones too
	@$(BIN)/python -m pytest -n logical --maxprocesses 4 -m "not export" $(ARGS)

test-export: $(STAMP)  ## Export every network to ONNX and compile three (half an hour; installs ONNX)
	@$(PIP) install -qq --constraint constraints.txt --editable '.[export]'
	@$(BIN)/python -m pytest -n logical --maxprocesses 4 -m export $(ARGS)

lint: $(STAMP)  ## Check style, formatting and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(STAMP)  ## Mend style and formatting
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

reference: $(STAMP)  ## Write the pages in docs/reference anew, from the tables
	@$(BIN)/python -m segdistill.reference docs/reference

results: $(STAMP)  ## Tables and figures of docs/results again, from what is kept, into build/results
	@SEGDISTILL=$(abspath $(BIN)/segdistill) docs/results/again.sh build/results

.PHONY: nnunet
NNUNET := .venv-nnunet
nnunet: $(NNUNET)/.installed  ## Create .venv-nnunet with nnU-Net, for teachers that need its own code (about 2 GB)
	@echo "nnU-Net is installed in $(NNUNET); segdistill finds it in this folder, elsewhere by SEGDISTILL_NNUNET=$(abspath $(NNUNET)/bin/python)"

# Without torchvision and timm (see nnunet-requirements.txt), therefore --no-deps.
$(NNUNET)/.installed: nnunet-requirements.txt constraints.txt | $(BIN)/python
	@echo "Installing nnU-Net into $(NNUNET) (once; some minutes, about 2 GB on disk)"
	@$(BIN)/python -m venv $(NNUNET)
	@index="$(if $(CPU_INDEX),--extra-index-url $(CPU_INDEX))"; pip="$(NNUNET)/bin/python -m pip --disable-pip-version-check --no-input"; \
	if $$pip install --no-index --no-deps --dry-run '$(TORCH)' >/dev/null 2>&1; then index=; fi; \
	$$pip install -qq $$index --no-deps '$(TORCH)' --requirement nnunet-requirements.txt
	@$(NNUNET)/bin/python -c "import nnunetv2.inference.predict_from_raw_data"
	@touch $@

.PHONY: viewer
viewer: | $(BIN)/python  ## Fetch NiiVue, which draws the page of segdistill view (install does it, too)
	@$(BIN)/python tools/vendor_niivue.py

clean:  ## Remove caches and builds (runs/ and .venv stay)
	@rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

bench: $(STAMP)  ## What a distillation step costs, cached and in every step, over the student alone (ARGS=--quick)
	@$(BIN)/python benchmarks/distill_step.py $(ARGS)

distclean: clean  ## Remove .venv, .venv-nnunet and the fetched NiiVue too
	@rm -rf $(VENV) .venv-nnunet src/segdistill/viewer/vendor

$(BIN)/python:
	@for python in $(or $(PYTHON),python3.11 python3.12 python3.13 python3.14 python3 python); do \
		if "$$python" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "Creating $(VENV) with $$("$$python" --version)"; \
			exec "$$python" -m venv $(VENV); \
		fi; \
	done; \
	echo "segdistill needs Python 3.11 or newer with its venv module (on Debian and Ubuntu: apt install python3-venv)." >&2; \
	echo "Found: $(or $(PYTHON),python3) is $$($(or $(PYTHON),python3) --version 2>&1 || true)." >&2; \
	echo "Install one, or name it: make PYTHON=/path/to/python3.12 ..." >&2; \
	exit 1

ifneq ($(CUDA),$(installed))
$(STAMP): force
endif

# pip's own find-links (PIP_FIND_LINKS, or its configuration) come first: the dry run asks whether they have this torch.
$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the pinned requirements into $(VENV) (once; some minutes, about 2 GB on disk)"
	@index="$(if $(CPU_INDEX),--extra-index-url $(CPU_INDEX))"; \
	if $(PIP) install --no-index --no-deps --dry-run '$(TORCH)' >/dev/null 2>&1; then index=; fi; \
	$(PIP) install -qq $$index --constraint constraints.txt '$(TORCH)' --editable '.[dev,tensorboard]'
	@echo '$(CUDA)' > $@
