# What a person types. `make` alone prints the list.

NETWORK ?= fashion_13_32
EPOCHS ?= 4
SIZE ?= 28
RECIPE ?= course
DATA ?= auto
SEED ?= 0
# Further arguments for the command that a target runs: make train ARGS='--batch-size 128'
ARGS ?=
# Test processes. Two suit two cores; each has one OpenMP thread, so that they do not fight over the cores.
WORKERS ?= 2
# A notebook cell that takes longer, in seconds, has failed (nbval alone would wait 2000 s for a dead kernel).
CELL_TIMEOUT ?= 300
UV ?= uv

# A HOME that cannot be written, as in many containers, stops Jupyter and keeps no downloads: another takes its place,
# in the environment, or where even that belongs to somebody else in the temporary directory.
OURS := $(if $(shell [ -w . ] && echo yes),$(CURDIR)/.venv,$(or $(TMPDIR),/tmp)/d2l-densenet-$(shell id -u))
NEW_HOME := $(shell [ -w "$$HOME" ] || echo yes)
# Another environment may be active, or this may run inside a notebook: what would leak from there is taken away,
# kernels of this environment come before the user's, and IPython's start-up files stay out of the notebooks.
CLEAN := env -u PYTHONPATH -u PYTHONHOME -u PYTHONSTARTUP -u VIRTUAL_ENV -u JUPYTER_PATH -u JUPYTER_CONFIG_PATH \
	PYTHONNOUSERSITE=1 JUPYTER_PREFER_ENV_PATH=1 IPYTHONDIR='$(OURS)/ipython' $(if $(NEW_HOME),HOME='$(OURS)/home')
RUN := $(CLEAN) .venv/bin/python

# The project's own machines keep the official data set beside the checkout; elsewhere there is no such directory.
ifneq ($(wildcard ../shared/fashion-mnist/train-images-idx3-ubyte*),)
D2L_DENSENET_DATA ?= $(CURDIR)/../shared/fashion-mnist
export D2L_DENSENET_DATA
endif

TEST := -m pytest -n $(WORKERS) --dist loadfile
# The notebooks that the tests run.
BOOKS ?= notebooks
NOTEBOOKS = --nbval --nbval-current-env --nbval-sanitize-with tests/nbval_sanitize.cfg $(BOOKS)

.DEFAULT_GOAL := help
.PHONY: help env train test test-full lab notebooks exercises student variants quiz grader site records records-accuracy records-families bench fuzz properties mutants lint lock torch doctor kernel bare head-cells colab-test clean

help:
	@echo 'make train     train a DenseNet ($(EPOCHS) epochs, $(SIZE)x$(SIZE) pixels); results under runs/   (make train EPOCHS=1: a taste)'
	@echo '               NETWORK=$(NETWORK) EPOCHS=$(EPOCHS) SIZE=$(SIZE) RECIPE=$(RECIPE) DATA=$(DATA) SEED=$(SEED) ARGS=...'
	@echo '               (the article'"'"'s network and run: NETWORK=article EPOCHS=5 SIZE=48 RECIPE=article)'
	@echo 'make test      every test, and every notebook made small   (ARGS="-k concat": some of them)'
	@echo 'make test-full the same with the notebooks in full, on the real data: hours on a CPU'
	@echo 'make lab       JupyterLab on the notebooks   (ARGS=--allow-root: as root, in a container)'
	@echo 'make notebooks run every notebook top to bottom, in place'
	@echo 'make exercises   notebooks/exercises/ from notebooks/solutions/, without nbgrader'
	@echo 'make student   an archive for students, without solutions and hidden tests   (ARGS="--target FILE")'
	@echo 'make variants  SEED=$(SEED): the sets with other numbers, into build/'
	@echo 'make quiz      the predictions as questions for Moodle, into build/quiz.xml'
	@echo 'make grader    nbgrader, and a course directory for it in build/grading   (ARGS="--target DIR")'
	@echo 'make head-cells  the first cell of every notebook, with the address in pyproject.toml'
	@echo 'make site      the course, the guides and a reference of the package as HTML, in build/site; needs no network'
	@echo 'make records   the recorded runs into records/: two recipes, three seeds, and the long one; hours, can be resumed'
	@echo 'make records-accuracy   the same'
	@echo 'make records-families   ResNets and DenseNets of several widths, for notebooks 05 and 09; half an hour, can be resumed'
	@echo 'make bench     the tables of speed, memory, waiting, workers, export, kills, make train and int8; a quiet machine'
	@echo 'make fuzz      ten thousand damaged files for each reader, into records/fuzz.json   (ARGS="--runs 500 --target idx")'
	@echo 'make properties   N=$(N) drawn networks, changed as a learner would, computed in every way; into records/properties.json'
	@echo 'make mutants   N=$(N) faults put into the package at random; do the tests notice? into records/mutants.json'
	@echo 'make torch     PyTorch, for the tests that compare with it'
	@echo 'make doctor    what is installed, what is missing, what to do'
	@echo 'make kernel    this environment as a kernel for your own Jupyter or VS Code   (ARGS="--prefix DIR": not in your home)'
	@echo 'make bare      installs everything on bare machines, made with debootstrap; as root   (ARGS="--full bookworm")'
	@echo 'make colab-test  every notebook in environments like Colab'"'"'s and Kaggle'"'"'s: 16 GB, an hour   (ARGS="-k 02_dense")'
	@echo 'make lint      ruff, on the notebooks too'
	@echo 'make env       the environment alone, in .venv   (PYTHON=...: with that Python 3.10 to 3.14;'
	@echo '               GPU=1: with MXNet for NVIDIA GPUs, if there is a card for it, 2.1 GB; GPU=anyway: even if not)'
	@echo 'make lock      requirements.lock from pyproject.toml, with uv   (ARGS=--upgrade: newest versions)'
	@echo 'make clean     remove .venv and the caches; runs/ stays'
	@echo 'Each makes the environment first if it is not there.'

# PYTHON and GPU count only when typed after `make`: many people have them in their environment for other ends.
TYPED_GPU := $(if $(filter command line,$(origin GPU)),$(filter-out 0,$(GPU)))
env:
	@PYTHON='$(if $(filter command line,$(origin PYTHON)),$(PYTHON))' sh tools/make-env
	@$(if $(TYPED_GPU),$(RUN) -m d2l_densenet gpu $(if $(filter anyway,$(TYPED_GPU)),--anyway))

train: env
	@$(RUN) -m d2l_densenet train --network $(NETWORK) --epochs $(EPOCHS) --size $(SIZE) --recipe $(RECIPE) --data $(DATA) --seed $(SEED) $(ARGS)

test: env
	@OMP_NUM_THREADS=1 D2L_DENSENET_QUICK=1 TQDM_DISABLE=1 \
		$(RUN) $(TEST) tests d2l_densenet $(NOTEBOOKS) --nbval-cell-timeout $(CELL_TIMEOUT) $(ARGS)

# One process, all threads: at full budget the notebooks train for minutes, and one at a time is fastest.
test-full: WORKERS = 0
test-full: CELL_TIMEOUT = 7200
test-full: env
	@TQDM_DISABLE=1 env -u D2L_DENSENET_QUICK $(RUN) \
		$(TEST) tests d2l_densenet $(NOTEBOOKS) --nbval-cell-timeout $(CELL_TIMEOUT) $(ARGS)

lab: env
	@$(RUN) -m jupyterlab notebooks $(ARGS)

# Times of execution and the like stay out of the files, so that a diff shows what changed; tags and nbgrader's marks
# stay in.
CONVERT := -m nbconvert --to notebook --execute --inplace --log-level WARN --ExecutePreprocessor.timeout=7200 \
	--ExecutePreprocessor.record_timing=False --ClearMetadataPreprocessor.enabled=True \
	--ClearMetadataPreprocessor.clear_notebook_metadata=False \
	--ClearMetadataPreprocessor.preserve_cell_metadata_mask=tags \
	--ClearMetadataPreprocessor.preserve_cell_metadata_mask=nbgrader \
	--ClearMetadataPreprocessor.preserve_cell_metadata_mask=varies

notebooks: env
	@for notebook in notebooks/*.ipynb notebooks/solutions/*.ipynb; do \
		start=$$(date +%s); \
		TQDM_DISABLE=1 env -u D2L_DENSENET_QUICK $(RUN) $(CONVERT) $(ARGS) "$$notebook" || exit 1; \
		echo "$$notebook  $$(($$(date +%s) - start)) s"; \
	done
	@$(RUN) tools/head_cells.py

exercises: env
	@$(RUN) tools/make_exercises.py
	@$(RUN) tools/handouts.py table

student variants quiz: env
	@$(RUN) tools/handouts.py $@ --seed $(SEED) $(ARGS)

# Not in the lock: it is for instructors alone, and brings a database and extensions of JupyterLab.
grader: env
	@$(RUN) -m nbgrader --version >/dev/null 2>&1 || $(RUN) -m pip install --quiet --progress-bar off nbgrader==0.9.6
	@$(RUN) tools/handouts.py grader $(ARGS)

head-cells: env
	@$(RUN) tools/head_cells.py
	@$(RUN) tools/make_exercises.py

# Strict: a warning is an error. From nothing each time, so that no page of yesterday stays.
site: env
	@$(RUN) -c 'import sphinx' 2>/dev/null || { echo 'make site needs Python 3.13 or later: make env PYTHON=/path/to/python3.13' >&2; exit 1; }
	@rm -rf build/site build/doctrees
	@$(RUN) -m sphinx -qW --keep-going -c docs -d build/doctrees . build/site $(ARGS)

records records-accuracy: env
	@$(RUN) benchmarks/accuracy.py $(ARGS)

records-families: env
	@$(RUN) benchmarks/families.py $(ARGS)

# Every table that measures speed or memory. int8 needs a trained run of the article's network: what `make records` left.
TRAINED := runs/record-course-seed0
bench: env
	@for program in throughput.py 'memory.py --again' waiting.py scaling.py export.py survival.py quick.py; do \
		echo "benchmarks/$$program"; $(RUN) benchmarks/$$program || exit 1; \
	done
	@test -d $(TRAINED) || $(RUN) -m d2l_densenet train --network article --size 48 --epochs 5 --recipe course \
		--data fashion-mnist --seed 0 --output $(TRAINED)
	@$(RUN) benchmarks/int8.py $(TRAINED)

FUZZER = $(shell sed -n 's/^fuzz = \["\(.*\)"\]$$/\1/p' pyproject.toml)
fuzz: env
	@$(RUN) -c 'import atheris' 2>/dev/null || $(RUN) -m pip install --quiet '$(FUZZER)' || \
		echo 'atheris could not be installed: the mutations come from tests/mutations.py alone'
	@$(RUN) benchmarks/fuzz.py $(ARGS)

N ?= 1000
properties: env
	@OMP_NUM_THREADS=1 $(RUN) benchmarks/properties.py --number $(N) $(ARGS)

# Not in the lock: only this target needs them.
mutants: env
	@$(RUN) -c 'import cosmic_ray, pytest_cov' 2>/dev/null || \
		$(RUN) -m pip install --quiet --progress-bar off cosmic-ray==8.7.0 pytest-cov==7.1.0
	@$(RUN) benchmarks/mutants.py --number $(N) $(ARGS)

TORCH = $(shell sed -n 's/^torch = \["\(.*\)"\]$$/\1/p' pyproject.toml)
# The CPU build: from where pip is told to look (PIP_FIND_LINKS, pip.conf), else from PyTorch's own index.
torch: env
	@$(RUN) -c 'import torch' 2>/dev/null || $(RUN) -m pip install --quiet --progress-bar off $(TORCH)+cpu 2>/dev/null || \
		$(RUN) -m pip install --quiet --progress-bar off --retries 1 --timeout 30 \
		--extra-index-url https://download.pytorch.org/whl/cpu $(TORCH)

doctor: env
	@$(RUN) -m d2l_densenet doctor

# A notebook that was opened under another Jupyter then has "DenseNet course" among its kernels.
kernel: env
	@$(RUN) -m ipykernel install --name d2l-densenet --display-name 'DenseNet course (d2l-densenet)' \
		$(if $(findstring prefix,$(ARGS)),,--user) $(ARGS)

bare:
	@tests/bare/run $(ARGS)

colab-test: env
	@sh tests/colab/make-environments
	@OMP_NUM_THREADS=1 D2L_DENSENET_COLAB=1 $(RUN) -m pytest tests/colab $(ARGS)

lint: env
	@$(RUN) -m ruff check $(ARGS) .

# Registry addresses and this machine's paths stay out: --no-emit-*, and a relative name for the input.
lock:
	@command -v $(UV) >/dev/null || { echo 'make lock needs uv: pip install uv (or UV=/path/to/uv)' >&2; exit 1; }
	@$(UV) pip compile pyproject.toml --extra course --extra newer --extra interop --extra test --extra site --extra build --override overrides.txt --universal --python-version 3.10 --generate-hashes \
		--no-header --no-emit-index-url --no-emit-find-links --no-config --quiet -o requirements.lock $(ARGS)

clean:
	@rm -rf .venv .pytest_cache .ruff_cache .hypothesis build *.egg-info
	@find d2l_densenet tests benchmarks notebooks -name __pycache__ -o -name .ipynb_checkpoints 2>/dev/null | xargs rm -rf
