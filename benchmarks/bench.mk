# The figures of benchmarks/results, remade:
#
#     make bench [MACHINE=name] [DRIVE=clip] [CAMVID=folder] [CHECKPOINTS=folder]
#
# One folder of results for each kind of machine, one document for each bundle. The machine should do nothing else
# meanwhile. What a machine or an environment lacks (BF16, say) is left out, and the document names it.
# `make -n bench` shows the commands. Bundles stay in .bench/, so that a second run only measures.
#
#   MACHINE      folder under benchmarks/results; named after instruction set and cores if not given
#   DRIVE        clip that the untrained networks see; the demo's video if not given (for the committed figures: a dashcam's)
#   CAMVID       folder with val, valannot, test, testannot and train, as SegNet's split has them; without it, no quality
#   CHECKPOINTS  folder with td2-fa18-camvid.pth; without it, quality of the demo's network alone

isa = $(if $(shell grep -ws -m1 -o $(1) /proc/cpuinfo),$(1))
MACHINE ?= $(firstword $(call isa,avx512_bf16) $(call isa,avx512_vnni) $(call isa,avx2) $(shell uname -m))-$(shell nproc)cores
DRIVE ?= $(DEMO)/bikes.mp4
CAMVID ?=
CHECKPOINTS ?=

BENCH := .bench
RESULTS := benchmarks/results/$(MACHINE)

# Untrained, of the published shapes. All sizes but the first of each network are approximations of it.
SIZES := td4-psp18-769x1537 td4-psp18-577x1153 td4-psp18-385x769 td4-psp18-193x385 \
         td2-fa18-768x1536 td2-fa18-576x1152 td2-fa18-384x768 td2-fa18-192x384 \
         td2-psp50-769x1537
# Trained on CamVid at the first size of each.
TRAINED := td2-fa18-w32-camvid-360x480 $(if $(CHECKPOINTS),td2-fa18-camvid-240x320)
SMALLER := td2-fa18-w32-camvid-272x360 td2-fa18-w32-camvid-184x240 td2-fa18-w32-camvid-88x120 \
           $(if $(CHECKPOINTS),td2-fa18-camvid-184x240 td2-fa18-camvid-120x160 td2-fa18-camvid-64x80)

QUALITY := $(TRAINED:%=$(RESULTS)/camvid-val/%.json) $(TRAINED:%=$(RESULTS)/camvid-test/%.json) \
           $(SMALLER:%=$(RESULTS)/camvid-val/%.json)

PEERS := pytorch onnxruntime:int8 openvino:fp32 openvino:bf16 openvino:int8 openvino:int8-bf16
$(RESULTS)/demo.json: PEERS := pytorch torch-compile openvino:fp32 openvino:bf16
FRAMES := 120
$(RESULTS)/td4-psp18-769x1537.json $(RESULTS)/td2-psp50-769x1537.json $(RESULTS)/td2-fa18-768x1536.json: ROOFLINE := --roofline
$(RESULTS)/td2-psp50-769x1537.json: FRAMES := 10
$(RESULTS)/td4-psp18-769x1537.json: FRAMES := 24
$(RESULTS)/td4-psp18-577x1153.json: FRAMES := 16
$(RESULTS)/td4-psp18-385x769.json $(RESULTS)/td2-fa18-768x1536.json $(RESULTS)/td2-fa18-576x1152.json: FRAMES := 48

network = $(word 1,$(subst -, ,$(1)))-$(word 2,$(subst -, ,$(1)))
size = $(lastword $(subst -, ,$(1)))
checkpoint = $(if $(findstring w32,$(1)),$(CHECKPOINT),$(CHECKPOINTS)/td2-fa18-camvid.pth)

# $(call export,name,checkpoint,options)
export_int8 = $(BIN)/tdnet-export --ckpt $(2) --size $(call size,$(1)) --out $@ --precision fp32 --precision int8 $(3)

# Exit codes 3 and 4 tell of what was left out or does not agree; the document says so.
define measure
@mkdir -p $(@D)
rm -f $@ $(@:.json=.records.jsonl)
$(BIN)/tdnet-bench --backend onnxruntime:fp32 $(PEERS:%=--peer %) --json $@ $(1) || { code=$$?; test $$code -eq 3 -o $$code -eq 4; }
endef

.PHONY: bench bench-speed bench-quality bench-evaluation
.SECONDARY:

bench: bench-speed $(if $(CAMVID),bench-quality bench-evaluation)
	$(BIN)/python -m tdnet_bench.published

bench-speed: $(RESULTS)/demo.json $(SIZES:%=$(RESULTS)/%.json)
bench-quality: $(QUALITY)

$(VENV)/.bench: $(VENV)/.demo
	$(INSTALL) --editable '.[demo,int8]'
	@touch $@

$(BENCH):
	mkdir -p $@

# The demo's network as its users have it: a real video, at a rate that holds and at one that does not.
$(RESULTS)/demo.json: $(BENCH)/demo.plan $(DEMO)/bikes.mp4
	$(call measure,--engine $< --ckpt $(CHECKPOINT) --input $(DEMO)/bikes.mp4 --frames 200 --fps 15 --fps 60 --roofline)

$(BENCH)/demo.plan: $(CHECKPOINT) $(DEMO)/bikes.mp4 | $(VENV)/.bench $(BENCH)
	$(BIN)/tdnet-export --ckpt $< --size 360x480 --out $@ --frames $(DEMO)/bikes.mp4

$(BENCH)/%.pth: | $(BENCH) $(VENV)/.bench
	$(BIN)/python benchmarks/untrained.py $* $@

# Classes of untrained weights are nearly tied, so that INT8 changes many labels. --max-loss lets it; the report says so.
define untrained
$(BENCH)/$(1).plan: $(BENCH)/$(call network,$(1)).pth $(DRIVE)
	$$(call export_int8,$(1),$$<,--calibration $(DRIVE) --frames $(DRIVE) --max-loss 0.5)

$(RESULTS)/$(1).json: $(BENCH)/$(1).plan
	$$(call measure,--engine $$< --ckpt $(BENCH)/$(call network,$(1)).pth --input $(DRIVE) --frames $$(FRAMES) $$(ROOFLINE))
endef
$(foreach name,$(SIZES),$(eval $(call untrained,$(name))))

# A network at another size than it was trained at loses so much that INT8's share of it is not to be refused.
define trained
$(BENCH)/$(1).plan: $(call checkpoint,$(1)) | $(VENV)/.bench $(BENCH)
	$$(call export_int8,$(1),$$<,--calibration $(CAMVID)/train --frames $(CAMVID)/val --max-loss 0.2)

$(RESULTS)/camvid-val/$(1).json: $(BENCH)/$(1).plan
	$$(call measure,--engine $$< --ckpt $(call checkpoint,$(1)) --input $(CAMVID)/val --labels $(CAMVID)/valannot --frames 100)

$(RESULTS)/camvid-test/$(1).json: $(BENCH)/$(1).plan $(BENCH)/camvid-test
	$$(call measure,--engine $$< --ckpt $(call checkpoint,$(1)) --input $(BENCH)/camvid-test --labels $(CAMVID)/testannot --frames 232)
endef
$(foreach name,$(TRAINED) $(SMALLER),$(eval $(call trained,$(name))))

# By position in the cycle, and what lost frames, cuts and resets cost (docs/evaluation.md).
EVALUATION := benchmarks/results/evaluation-td2-fa18-w32-camvid
PRECISIONS := fp32 fp16 int8 int8_fp16
bench-evaluation: $(foreach split,val test,$(EVALUATION)-$(split).json $(EVALUATION)-precisions-$(split).json)

$(EVALUATION)-val.json: ASKED := --ckpt $(CHECKPOINT) --every-path --gap 1,2,4,8 --cut test
$(EVALUATION)-%.json: $(BENCH)/td2-fa18-w32-camvid-360x480.plan
	$(BIN)/tdnet-eval --engine $< --backend onnxruntime --precision fp32 $(ASKED) --data camvid:$(CAMVID) --split $* --json $@

# All precisions beside PyTorch; INT8 graphs for engines are slow here, and only judged.
$(EVALUATION)-precisions-%.json: $(BENCH)/td2-fa18-precisions.plan
	$(BIN)/tdnet-eval --engine $< --ckpt $(CHECKPOINT) --backend onnxruntime $(PRECISIONS:%=--precision %) --threads 1 \
	  --data camvid:$(CAMVID) --split $* --json $@

$(BENCH)/td2-fa18-precisions.plan: $(CHECKPOINT) | $(VENV)/.bench $(BENCH)
	$(call export_int8,360x480,$<,--precision fp16 --precision int8_fp16 --calibration $(CAMVID)/train --frames $(CAMVID)/val)

# A folder for each drive: the memory is emptied where one ends.
$(BENCH)/camvid-test: | $(BENCH)
	for image in $(abspath $(CAMVID))/test/*; do \
	  drive=$@/$$(basename $$image | cut -d_ -f1); mkdir -p $$drive && ln -sf $$image $$drive/ || exit 1; \
	done
