# SPDX-License-Identifier: GPL-2.0
# Verbs; what fortune.ko is made of is in Kbuild. `make help` lists them.

# The build directory of the kernel to build for.
KDIR ?= /lib/modules/$(shell uname -r)/build
# The kernels to test on: names from qemu/kernels, or all.
KERNELS ?= $(shell tail -n 1 qemu/kernels/default) debug-7.2
# Only these tests, separated by commas: groups, or the beginnings of names in them.
TESTS ?=

comma := ,
# Where Kbuild puts what it makes. Nothing in what it makes says where that is.
MO ?= $(CURDIR)/build/native

# Errors begin with it.
export TYPED := $(strip make $(MAKECMDGOALS))

.DEFAULT_GOAL := module

#: To try it

.PHONY: run
run: ## play the session of the article in a stock Debian kernel, in QEMU
	qemu/boot --file tests/guest/session --file tests/guest/src/transcript.txt -- sh session

# What the last command in it returned is no error.
.PHONY: shell
shell: ## a shell in the same guest, with the module loaded
	@qemu/boot --file tests/guest/profile:/etc/profile; status=$$?; case $$status in 12[456]) exit $$status ;; esac

#: To work on it

.PHONY: test
test: ## all tests, on every kernel of KERNELS; TESTS=pattern,… for some; V=1 to see all groups
	scripts/test $(if $(V),--table) "$(KERNELS)" $(subst $(comma), ,$(TESTS))

.PHONY: soak
soak: ## all tests at full length, for hours; Ctrl-C ends it, and it says what was done
	scripts/test --soak "$(KERNELS)" $(subst $(comma), ,$(TESTS))

.PHONY: bench
bench: ## what calls cost, beside the same module in C; QUICK=1 for the instructions alone
	scripts/bench $(if $(QUICK),--quick)

.PHONY: check
check: ## rustfmt, clippy, shellcheck, licences, unsafe code, panics, links, pictures
	scripts/check

.PHONY: doc
doc: ## rustdoc of the crate, to be read offline, in build/doc
	scripts/doc

.PHONY: rust-analyzer
rust-analyzer: ## rust-project.json, for editors
	scripts/rust-analyzer

.PHONY: clean
clean: ## remove what was built
	rm -rf build fortune.ko

#: For a kernel of your own

.PHONY: module
module: kbuild ## build ./fortune.ko for KDIR, by default for the running kernel
	cp $(MO)/fortune.ko .

# Kbuild takes gcc unless it is told otherwise, whatever the kernel was built with.
llvm = $(if $(shell grep -s '^CONFIG_CC_IS_CLANG=y' $(KDIR)/.config),LLVM=1)

.PHONY: kbuild
kbuild:
	@scripts/doctor --first $(KDIR)
	$(MAKE) -C $(KDIR) M=$(CURDIR) MO=$(MO) $(llvm) KCFLAGS="$(KCFLAGS) -ffile-prefix-map=$(MO)=." modules

.PHONY: doctor
doctor: ## what this machine lacks for building for KDIR
	scripts/doctor $(KDIR)

.PHONY: rust-metadata
rust-metadata: ## complete the header package KDIR of a Debian kernel for Rust; REMOVE=1 undoes it
	scripts/linux-rust-metadata $(if $(REMOVE),remove,sync --verbose --no-dkms $(addprefix --source ,$(SOURCE))) $(KDIR)

.PHONY: install
install: kbuild ## install the module for KDIR, below INSTALL_MOD_PATH if that is set
	$(MAKE) -C $(KDIR) M=$(CURDIR) MO=$(MO) $(llvm) modules_install

.PHONY: dkms-install
dkms-install: ## let DKMS on this machine build the module for its kernels, now and when one comes
	scripts/dkms-install

.PHONY: deb
deb: ## two Debian packages, in build/deb: the module for DKMS, and what completes kernel headers
	scripts/deb

#: What is kept outside the tree

.PHONY: cache
cache: ## what is in the cache outside the tree; removes what was not used for 30 days
	scripts/cache

.PHONY: distclean
distclean: clean ## remove the cache outside the tree too: roots, kernels, downloads
	rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}/fortune-ko"

.PHONY: help
help:
	@sed -n 's/^#: \(.*\)/\n\1/p; s/^\([a-z-]*\):.*## /  \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18
	@printf '\n%s\n' 'KERNELS, TESTS and KDIR are variables: make test KERNELS=all TESTS=reads,C3; make KDIR=/usr/src/linux-headers-…'
