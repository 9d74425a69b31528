# SPDX-License-Identifier: GPL-2.0
# For the Kbuild of a module that uses fortune.ko: it says what the module is made of, and then includes this.
# FORTUNE_BUILD is where Kbuild has built fortune.ko; by default it comes from KBUILD_EXTRA_SYMBOLS, or it is what
# `make` leaves.
#
#   obj-m := teller.o
#   teller-y := main.o
#   include …/src/symbols/use.mk

fortune-symbols := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
fortune-builds := $(dir $(KBUILD_EXTRA_SYMBOLS)) $(abspath $(fortune-symbols)/../../build/native)/
FORTUNE_BUILD ?= $(firstword $(foreach build,$(fortune-builds), \
	$(if $(wildcard $(build)src/libfortune.rmeta),$(build:/=))))
ifeq ($(wildcard $(FORTUNE_BUILD)/Module.symvers),)
$(error There is no fortune.ko in FORTUNE_BUILD ($(FORTUNE_BUILD)): build it first)
endif

# C: #include <fortune.h>, and MODULE_IMPORT_NS("FORTUNE").
ccflags-y += -I$(fortune-symbols)
# Rust: fortune::draw and the like, and imports_ns: ["FORTUNE"] in `module!`.
rustflags-y += --extern fortune=$(FORTUNE_BUILD)/src/libfortune.rmeta
KBUILD_EXTRA_SYMBOLS := $(sort $(KBUILD_EXTRA_SYMBOLS) $(FORTUNE_BUILD)/Module.symvers)

# Each module has a reference to the build of fortune.ko that it is compiled against: it is a user also if it has no
# other, and is not loaded with another build.
$(foreach module,$(obj-m:.o=),$(if $($(module)-y)$($(module)-objs),, \
	$(error Say what $(module).ko is made of: $(module)-y := …)))
$(foreach module,$(obj-m:.o=),$(eval $(module)-y += fortune_used.o))

quiet_cmd_fortune_used = USES    $@
      cmd_fortune_used = sed -n 's/^0x[^\t]*\t\(fortune_build_[0-9a-f]*\)\tfortune\t.*/\
	extern const char \1; static const char *const __attribute__((used)) fortune_used = \&\1;/p' $< > $@

$(obj)/fortune_used.c: $(FORTUNE_BUILD)/Module.symvers FORCE
	$(call if_changed,fortune_used)

targets += fortune_used.c
