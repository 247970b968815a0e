# make eval METHOD=var   evaluate a method and the baseline
# make test              run the tests            make check   run ruff and mypy --strict
# make test-lowest       run the tests on the lowest versions supported
# make mutants           try wrong changes that tests must notice
# make sweep METHOD=vhr  try a method at many settings: a table and docs/figures/sweep-vhr-*.png
# make leaderboard       put all runs on one board, and MODEL's into docs/figures/leaderboard-MODEL.png
# make table             evaluate every method on the embedded models, into README, docs/board.md and docs/findings.md
# make report            write all runs into report.html, a page that opens from disk
# make docs              build the site of docs/ into site/, which opens from disk
# make screenshots       take README's pictures of the report, in docs/figures
# make bench             measure why the model hallucinates, how fast all is, and what a grid takes
# make crosscheck        check models with several methods against others, into docs/crosscheck.md
# make lab               run the laboratory on the embedded models, into docs/lab*.md and docs/figures
# make recorded          score answers that authors of papers published, into docs/recorded.md and docs/claims.md
# make release-check     build what is released, check it, and try the wheel from an empty folder
# make families          try every method on a tiny model of every family, into docs/families.md
# make world MODEL=glyph train an embedded model           make matcher   train AGLA's matcher
# make detector          train HALC's detector
# make benchmarks        write the table of benchmarks, into docs/benchmarks.md
# make sinks             try whether attention sinks grow by themselves, into docs/sinks.md

METHOD ?= var
MODEL  ?= glyph
MODELS ?= glyph glyph-qwen glyph-smol
BENCH  ?= glyph
LIMIT  ?= 300
ARGS   ?=
RUNS   ?= runs
JOBS   ?= 2

# What make sweep varies, by method. For another: make sweep METHOD=act SWEEP='--sweep beta=0.2,0.4'
SWEEP_var   := --sweep keep=0.2,0.4,0.6 --sweep rho=0.3:0.9:0.2
SWEEP_vhr   := --sweep gain=0.5:3:0.5 --sweep drop_outliers=true,false
SWEEP_paint := --sweep alpha=0:0.9:0.3 --sweep beta=0,0.3,0.6
SWEEP       ?= $(SWEEP_$(METHOD))
SWEEP_ON    ?= --benchmarks glyph_chair --limit 150 --objective glyph_chair.chair_i

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
LOWEST := .venv-lowest

.DEFAULT_GOAL := help
.PHONY: help setup eval sweep leaderboard test test-lowest test-slow mutants check table families \
	crosscheck lab recorded report screenshots docs release-check schema bench benchmarks world matcher detector sinks clean

help:
	@sed -n 's/^# make/make/p' $(firstword $(MAKEFILE_LIST))

$(BIN)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,sweep,cluster,notebook]'
	@touch $@

setup: $(BIN)/.installed

eval: setup
	$(BIN)/halluc eval --model $(MODEL) --method $(METHOD) --benchmarks $(BENCH) --limit $(LIMIT) --output-dir $(RUNS) $(ARGS)
	$(BIN)/halluc leaderboard $(RUNS) --output $(RUNS)/leaderboard.json --skip-unfinished --quiet

sweep: setup
	$(BIN)/halluc sweep --model $(MODEL) --method $(METHOD) $(SWEEP) $(SWEEP_ON) --figures docs/figures --output-dir $(RUNS) $(ARGS)

# Evaluates METHOD first where there is no run yet.
leaderboard: $(if $(wildcard $(RUNS)/*/scores_*.json),setup,eval)
	$(BIN)/halluc leaderboard $(RUNS) --output $(RUNS)/leaderboard.json --model $(MODEL) --figure docs/figures/leaderboard-$(MODEL).png

test: setup
	$(BIN)/python -m pytest -n $(JOBS) -m 'not slow'

$(LOWEST)/.installed: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/pip install --quiet --disable-pip-version-check -c constraints-lowest.txt -e '.[dev]'
	@touch $@

test-lowest: $(LOWEST)/.installed
	$(LOWEST)/bin/python -m pytest -n $(JOBS) -m 'not slow'

test-slow: setup
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m slow --durations=20

# Takes two minutes on two idle cores; ARGS=vhr tries those with that in the name of file or test.
mutants: setup
	$(BIN)/python -m tests.mutants $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m tests.typecheck

# Evaluates every method on the embedded models it applies to, under greedy decoding on SCENES and,
# without MME, sampled with some seeds on DRAWN of them; methods that search do not sample. Then writes
# the tables and what survives. Two cores take two to three hours; what is answered is kept.
SCENES  ?= 100
DRAWN   ?= 30
SEEDS   ?= 0 1 2
SEARCH  := opera halc
SHOWN   := --metric glyph_chair.chair_i --metric glyph_pope.adversarial/accuracy
METRICS := $(SHOWN) --metric glyph_mme.total
APPLY   := import json, sys; print(*(row["name"] for row in json.load(sys.stdin)["methods"] if row["status"] == "applies" and row["name"] not in sys.argv[1:]), sep=",")
table: setup
	for model in $(MODELS); do \
		methods=$$($(BIN)/halluc doctor --model $$model --json | $(BIN)/python -c '$(APPLY)'); \
		$(BIN)/halluc eval --model $$model --benchmarks glyph --limit $(SCENES) --output-dir $(RUNS) --method $$methods || exit 1; \
		drawn=$$($(BIN)/halluc doctor --model $$model --json | $(BIN)/python -c '$(APPLY)' $(SEARCH)); \
		for seed in $(SEEDS); do \
			$(BIN)/halluc eval --model $$model --benchmarks glyph_chair,glyph_pope --limit $(DRAWN) --output-dir $(RUNS) --method $$drawn \
				--gen-kwargs do_sample=true,seed=$$seed || exit 1; \
		done; \
	done
	$(BIN)/halluc leaderboard $(RUNS) --output $(RUNS)/leaderboard.json --quiet
	$(BIN)/halluc leaderboard $(RUNS)/leaderboard.json --markdown docs/board.md --findings docs/findings.md $(METRICS) --quiet
	$(BIN)/halluc leaderboard $(RUNS)/leaderboard.json --verdicts README.md $(SHOWN) --quiet
	for model in $(MODELS); do \
		$(BIN)/halluc leaderboard $(RUNS)/leaderboard.json --model $$model --decoding greedy --figure docs/figures/leaderboard-$$model.png --quiet || exit 1; \
	done

# Evaluates METHOD first where there is no run yet.
report: $(if $(wildcard $(RUNS)/*/scores_*.json),setup,eval)
	$(BIN)/halluc report $(RUNS) --output report.html

$(VENV)/.docs-installed: $(BIN)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

# Strict: a link or an anchor that leads nowhere, and a page that is not in mkdocs.yml, fail it. (With
# --quiet mkdocs counts no warnings.)
docs: $(VENV)/.docs-installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# Needs Chromium (apt-get install chromium). Answers and traces are kept, in a folder of their own.
SHOTS := $(RUNS)/screenshots
screenshots: setup
	$(BIN)/halluc eval --model glyph --method var,vhr,vcd --benchmarks glyph_chair,glyph_pope --limit 24 --trace 12 --output-dir $(SHOTS)
	$(BIN)/python -m bench.screenshots --runs $(SHOTS) --output docs/figures

# Checks what models with several methods describe against the models alone, in a folder of its own:
# a board shows the scores only of the scenes that were checked. CHECK_RUNS=runs CHECK_LIMIT=300, where
# all are evaluated on 300 scenes, puts them on the board of make table.
CHECK_MODELS   ?= $(MODELS)
CHECK_METHODS  ?= baseline var vhr act zerotuning vcd dola vti
CHECK_EVIDENCE ?= $(CHECK_MODELS)
CHECK_LIMIT    ?= 60
CHECK_RUNS     ?= $(RUNS)/checked
CHECKED := $(foreach model,$(CHECK_MODELS),$(addprefix $(model):,$(CHECK_METHODS)))
nothing :=
comma   := ,
listed   = $(subst $(nothing) $(nothing),$(comma),$(strip $(1)))
crosscheck: setup
	$(BIN)/halluc crosscheck --targets $(call listed,$(CHECKED)) --evidence $(call listed,$(CHECK_EVIDENCE)) \
		--benchmark glyph_chair --limit $(CHECK_LIMIT) --output-dir $(CHECK_RUNS) --markdown docs/crosscheck.md $(ARGS)

# Takes up to a quarter of an hour an experiment and model on two cores; answers are kept and not asked
# for again.
lab: setup
	for model in $(MODELS); do \
		$(BIN)/halluc lab all --model $$model --markdown docs/lab$$(test $$model = glyph || echo -$$model).md --figures docs/figures --output-dir $(RUNS)/lab $(ARGS) || exit 1; \
	done

# Fetches from GitHub; COPIES=FOLDER takes files that lie there. GROUND_TRUTH is a folder of COCO's
# instances_*.json and captions_*.json, or a file of objects per image.
GROUND_TRUTH ?= annotations
CHAIR_FAMILY ?= wordnet
recorded: setup
	$(BIN)/halluc recorded fetch $(if $(COPIES),--copies $(COPIES)) --ground-truth $(GROUND_TRUTH) \
		$(if $(CHAIR_TABLES),--chair-tables $(CHAIR_TABLES)) --protocol $(CHAIR_FAMILY) --output-dir $(RUNS)/recorded
	$(BIN)/halluc recorded table $(RUNS)/recorded --markdown docs/recorded.md --figure docs/figures/recorded.png
	$(BIN)/halluc claims $(RUNS)/recorded --markdown docs/claims.md --quiet

families: setup
	$(BIN)/python -m tests.matrix --output docs/families.md

benchmarks: setup
	$(BIN)/python -m bench.cards --output docs/benchmarks.md

$(VENV)/.release-installed: $(BIN)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[release]'
	@touch $@

# Takes a minute; nothing is fetched but what building needs.
release-check: $(VENV)/.release-installed
	$(BIN)/python -m tests.release_check

schema: setup
	$(BIN)/python -m halluc.leaderboard.json_schema

bench: setup
	$(BIN)/python -m bench.why --output docs/why.md
	$(BIN)/python -m bench.matcher --output docs/matcher.md
	$(BIN)/python -m bench.speed --output docs/performance.md
	$(BIN)/python -m bench.planning --output docs/planning.md
	$(BIN)/python -m bench.picture

world: setup
	$(BIN)/python -m halluc.world.training.train_model $(MODEL) --output halluc/world/$(MODEL) --work $(RUNS)/training/$(MODEL)

matcher: setup
	$(BIN)/python -m halluc.world.training.train_matcher --output halluc/world/matcher --work $(RUNS)/training/matcher

detector: setup
	$(BIN)/python -m halluc.world.training.train_detector --output halluc/world/detector --work $(RUNS)/training/detector

# Finished runs are kept and interrupted ones continue; from the start three hours on two cores.
sinks: setup
	$(BIN)/python -m halluc.world.training.natural_glyph --work $(RUNS)/natural_glyph --output $(RUNS)/natural_glyph/model
	$(BIN)/python -m halluc.world.training.natural_sinks --output docs/sinks.md --work $(RUNS)/natural_sinks --images $(RUNS)/natural_glyph

clean:
	rm -rf $(VENV) $(LOWEST) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .staging
