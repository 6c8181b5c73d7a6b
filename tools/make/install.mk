# SPDX-License-Identifier: MIT
# Installing: the command with all that it looks for, the libraries, headers,
# sources for a port of one's own, manual pages, completion.
#
# The folders are GNU's (prefix, bindir, libdir, ...), and DESTDIR goes before
# them. The command finds its kernel from its own place: pkglibdir must stay
# bindir/../lib/mmkit, or $MMKIT_LIBDIR must say where it is. What is installed
# stands in one list, which uninstall reads too.
prefix ?= $(PREFIX)
exec_prefix ?= $(prefix)
bindir ?= $(exec_prefix)/bin
libdir ?= $(exec_prefix)/lib
pkglibdir ?= $(exec_prefix)/lib/mmkit
includedir ?= $(prefix)/include
datarootdir ?= $(prefix)/share
datadir ?= $(datarootdir)
pkgdatadir ?= $(datadir)/mmkit
mandir ?= $(datarootdir)/man
docdir ?= $(datarootdir)/doc/mmkit
pkgconfigdir ?= $(libdir)/pkgconfig
bashcompdir ?= $(datadir)/bash-completion/completions
zshcompdir ?= $(datadir)/zsh/site-functions
fishcompdir ?= $(datadir)/fish/vendor_completions.d

PC := $(patsubst tools/pkgconfig/%.in,$(BUILD)/pkgconfig/%,$(wildcard tools/pkgconfig/*.pc.in))
COMPLETIONS := $(BUILD)/completion/bash $(BUILD)/completion/zsh $(BUILD)/completion/fish
# The guest programs that the command itself puts into a machine.
GUEST_NEEDED := $(BUILD)/guest/init
# The kernel is for one kind of machine.
ifeq ($(shell uname -m),x86_64)
KERNEL_IMAGE := $(BUILD)/mmkit-kernel
endif
INSTALL_BUILT := $(BUILD)/mmkit $(BUILD)/release/libmm-host.a $(BUILD)/release/libmm-sim.a \
	$(BUILD)/libmmkit-arena.a $(BUILD)/libmmkit-malloc.so $(GUEST_NEEDED) $(KERNEL_IMAGE)

# Made anew each time: where things go may have changed.
.PHONY: pkgconfig completion
pkgconfig: $(wildcard tools/pkgconfig/*.pc.in)
	@mkdir -p $(BUILD)/pkgconfig
	$(Q)for f in $^; do o=$${f##*/}; sed \
		-e 's|@prefix@|$(prefix)|' -e 's|@exec_prefix@|$(exec_prefix)|' \
		-e 's|@libdir@|$(libdir)|' -e 's|@includedir@|$(includedir)|' \
		-e 's|@pkglibdir@|$(pkglibdir)|' -e 's|@pkgdatadir@|$(pkgdatadir)|' \
		-e 's|@version@|$(VERSION)|' $$f >$(BUILD)/pkgconfig/$${o%.in} || exit 1; done
$(BUILD)/completion/%: $(BUILD)/mmkit
	@mkdir -p $(@D)
	$(SAY) "  COMPLETION $@"
	$(Q)$< --completion $* >$@
completion: $(COMPLETIONS) ## what bash, zsh and fish complete, into build/completion

# MODE PLACE FILE: a line each. $(1) mode, $(2) folder, $(3) files
define install_lines
$(foreach f,$(3),$(1) $(2)/$(notdir $(f)) $(f)
)
endef
# $(1) folder, $(2) files that keep their path below the folder $(3), $(4) mode
define install_trees
$(foreach f,$(2),$(or $(4),644) $(1)/$(f:$(3)%=%) $(f)
)
endef
define INSTALL_LIST
$(call install_lines,755,$(bindir),$(BUILD)/mmkit)
$(call install_lines,644,$(pkglibdir),$(KERNEL_IMAGE))
$(call install_lines,755,$(pkglibdir)/guest,$(GUEST_NEEDED))
644 $(libdir)/libmmkit-host.a $(BUILD)/release/libmm-host.a
644 $(libdir)/libmmkit-sim.a $(BUILD)/release/libmm-sim.a
$(call install_lines,644,$(libdir),$(BUILD)/libmmkit-arena.a $(BUILD)/libmmkit-malloc.so)
$(call install_lines,644,$(includedir)/mmkit,$(wildcard include/mmkit/*.h))
$(call install_lines,644,$(includedir)/mmkit/host,port/host/port_inline.h port/host/host.h port/host/world.h)
$(call install_lines,644,$(includedir)/mmkit/sim,port/sim/port_inline.h port/sim/sim.h port/sim/sim_costs.h port/sim/world.h)
$(call install_trees,$(includedir)/mmkit/src,$(wildcard src/*/*.h),src/)
$(call install_trees,$(pkgdatadir)/src,$(wildcard src/*/*.c) src/LAYERS,src/)
$(call install_lines,644,$(pkgconfigdir),$(PC))
$(call install_lines,644,$(pkgdatadir)/traces,$(wildcard traces/*.trace))
$(call install_trees,$(pkgdatadir),$(filter-out %.sh,$(wildcard labs/*.* labs/*/*.*)))
$(call install_trees,$(pkgdatadir),$(wildcard labs/*.sh),,755)
$(call install_lines,644,$(mandir)/man1,$(wildcard docs/man/*.1))
$(call install_lines,644,$(mandir)/man5,$(wildcard docs/man/*.5))
$(call install_lines,644,$(docdir),README.md $(wildcard README.*.md) LICENSE)
$(call install_trees,$(docdir),$(wildcard docs/*.md docs/schema/*.json docs/paths/*.md docs/zh/*.md docs/zh/*/*.md))
$(call install_trees,$(docdir),$(wildcard examples/Makefile examples/*/*.*))
$(call install_trees,$(docdir)/examples,$(wildcard tests/null-port/*.*),tests/)
644 $(bashcompdir)/mmkit $(BUILD)/completion/bash
644 $(zshcompdir)/_mmkit $(BUILD)/completion/zsh
644 $(fishcompdir)/mmkit.fish $(BUILD)/completion/fish
endef

# Not a file of the build: root may install what another user has built.
.PHONY: install install-strip uninstall install-files
install-files: $(INSTALL_BUILT) $(COMPLETIONS) pkgconfig
install: install-files ## command, kernel, libraries, headers, pages, under prefix
	$(file >$(BUILD)/install.list,$(INSTALL_LIST))
	$(Q)tools/install-tree $(BUILD)/install.list
install-strip: ## the same without what debuggers read
	+$(Q)STRIP=1 $(MAKE) --no-print-directory install
uninstall: ## remove what install put there
	$(file >$(BUILD)/install.list,$(INSTALL_LIST))
	$(Q)tools/install-tree --remove $(BUILD)/install.list

.PHONY: test-package
test-package: ## the Debian packages: built, looked at, installed, used, removed (minutes)
	+$(Q)tools/deps test-package
	+$(Q)tests/package/debian.sh
