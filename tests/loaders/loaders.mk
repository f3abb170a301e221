# An environment for each trainer whose own loader reads what gymrecipe wrote; see README.md here.

LOADERS := verl llama_factory axolotl ms_swift openrlhf nemo_rl
LOADER_llama_factory := llamafactory==0.9.5
LOADER_axolotl := axolotl==0.19.0
LOADER_ms_swift := ms-swift==4.6.0
LOADER_openrlhf := openrlhf==0.11.2

.venv-loaders/%/.ready: tests/loaders/%.txt pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $< --editable . pytest hypothesis
	$(if $(LOADER_$*),$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $(LOADER_$*))
	@touch $@

.PHONY: test-loaders $(LOADERS:%=test-loader-%)
test-loaders: $(LOADERS:%=test-loader-%)

$(LOADERS:%=test-loader-%): test-loader-%: .venv-loaders/%/.ready
	HF_HUB_OFFLINE=1 TRL_EXPERIMENTAL_SILENCE=1 $(dir $<)bin/python -m pytest \
	  --override-ini filterwarnings=default --disable-warnings tests/loaders/test_$*.py
