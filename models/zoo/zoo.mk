# The demo's network and the comparisons, trained anew (docs/training.md):
#
#     make zoo DATA=folder
#     make ablations DATA=folder      or one of them: ablation-distillation, -propagation, -stride, -paths
#
# A second call goes on where the first one was stopped; `rm -r .zoo` begins anew.
#
#   DATA        folder with camvid (SegNet's split), and for `zoo` with teacher and video as well
#   JOBS        runs of a comparison at once
#   TRAIN_ARGS  of tdnet-train, where a run begins: --set run.precision=fp32 on a CPU without BF16

ZOO := .zoo
JOBS ?= 2
TRAIN_ARGS ?=
ABLATIONS := distillation propagation stride paths
RUNS := models/zoo/runs

.PHONY: zoo zoo-data ablations

# The last weights, which no validation chose: those of single epochs differ by chance alone in the end.
zoo: | $(ZOO)/finetune/report.html
	cp $(ZOO)/finetune/last.pth $(CHECKPOINT)
	for run in pretrain finetune; do \
	  mkdir -p $(RUNS)/$$run && cp $(ZOO)/$$run/config.toml $(ZOO)/$$run/journal.jsonl $(RUNS)/$$run/ || exit 1; \
	done

$(ZOO)/finetune/report.html: | $(ZOO)/pretrain/report.html

$(ZOO)/%/report.html: | zoo-data
	if test -e $(@D)/config.toml; then $(BIN)/tdnet-train --resume $(@D); \
	else $(BIN)/tdnet-train --config $(RUNS)/$*.toml --out $(@D) $(TRAIN_ARGS); fi

ablations: $(ABLATIONS:%=ablation-%)

# Not in parallel with one another: they share runs.
.PHONY: $(ABLATIONS:%=ablation-%)
$(ABLATIONS:%=ablation-%): ablation-%: zoo-data
	$(BIN)/tdnet-train --compare models/zoo/ablations/$*.toml --out $(ZOO)/ablations --jobs $(JOBS) $(TRAIN_ARGS)
	cp $(ZOO)/ablations/$*.json $(ZOO)/ablations/$*.md models/zoo/ablations/
	for run in $$(grep -o '"run": "[^"]*"' $(ZOO)/ablations/$*.json | cut -d'"' -f4); do \
	  mkdir -p $(RUNS)/ablations/$$run && \
	  cp $(ZOO)/ablations/$$run/config.toml $(ZOO)/ablations/$$run/journal.jsonl $(RUNS)/ablations/$$run/ || exit 1; \
	done

zoo-data: $(VENV)/.train
	@test -d "$(DATA)/camvid" || { echo "make: DATA=$(DATA) has no folder camvid; name the data's folder, DATA=..., see docs/training.md" >&2; exit 1; }
	mkdir -p $(ZOO)
	ln -sfn $(abspath $(DATA)) $(ZOO)/data
