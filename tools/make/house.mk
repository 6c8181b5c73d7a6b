# SPDX-License-Identifier: MIT
# The house: running it, checking it, installing it.
VERSION := 0.1
NULL_OBJS := $(filter %.o,$(OBJS_release_null))

.PHONY: run check null-objs help clean install uninstall
run: ## build, then replay a real trace on a machine with less RAM than it wants
	$(Q)tools/deps build
	+$(Q)$(MAKE) --no-print-directory -j$(JOBS) all
	./$(BUILD)/mmkit replay traces/sqlite.trace --mem 16M --swap 256M --seed 7

check: ## the house rules: layers, headers, sizes, format, words, docs, analysers
	$(Q)tools/deps check
	+$(Q)tools/check

null-objs: $(NULL_OBJS)

help: ## this list
	@echo "make targets:"
	@awk -F ':.*## ' '/^[a-z][a-z_.-]*:.*## / \
		{ printf "  %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "variables:"
	@echo "  V=1                    show every command"
	@echo "  WERROR=1               a warning is an error"
	@echo "  PREFIX=, DESTDIR=      where install puts things ($(PREFIX))"
	@echo "  SEED=, ITERS=          for the random tests"
	@echo "  SOAK_MINUTES=          how long make soak runs"
	@echo "parts: build/<variant>/libmm-<world>.a, build/<variant>/mmkit,"
	@echo "  build/<variant>/tests/<world>/test_X"
	@echo "variants: $(VARIANTS)   worlds: $(WORLDS)"

clean: ## remove build/ and compile_commands.json
	rm -rf $(BUILD) compile_commands.json

# One entry a source file, with the flags of the debug variant.
# $(1) file, $(2) flags
define cc_entry
$(cc_comma){"directory": "$(CURDIR)", "file": "$(1)", "command": "$(CC) $(STD) $(WARN) $(CFLAGS_debug) $(INC) $(2) -c $(1)"}$(eval cc_comma := ,)

endef
.PHONY: compile_commands.json
compile_commands.json: ## for editors and analysers
	$(eval cc_comma :=)
	$(file >$@,[)
	$(file >>$@,$(foreach f,$(SRC_C),$(call cc_entry,$(f),-ffreestanding -Iport/sim)))
	$(file >>$@,$(foreach w,$(WORLDS),$(foreach f,$(wildcard port/$(w)/*.c),$(call cc_entry,$(f),-D_GNU_SOURCE -Iport/$(w)))))
	$(file >>$@,$(foreach f,$(KERNEL_C),$(call cc_entry,$(f),-ffreestanding -Ikernel -Iport/sim)))
	$(file >>$@,$(foreach f,$(LAB_C),$(call cc_entry,$(f),-D_GNU_SOURCE -Iport/sim -Ilab)))
	$(file >>$@,$(foreach w,$(WORLDS),$(foreach f,$(wildcard tests/$(w)/*.c),$(call cc_entry,$(f),-D_GNU_SOURCE -Iport/$(w) -Itests -Ilab))))
	$(file >>$@,$(foreach f,$(wildcard tests/kernel/*.c),$(call cc_entry,$(f),-D_GNU_SOURCE -Ikernel -Iport/sim -Itests)))
	$(file >>$@,])
	@echo "wrote $@"

MAN1 := $(wildcard docs/man/*.1)
MAN5 := $(wildcard docs/man/*.5)
define PC_TEXT
prefix=$(PREFIX)
libdir=$${prefix}/lib
includedir=$${prefix}/include

Name: mmkit
Description: A memory manager of the Linux kind as a library
Version: $(VERSION)
Libs: -L$${libdir} -lmmkit -lpthread
Cflags: -I$${includedir}
endef
install: all ## command, library, headers, man pages, mmkit.pc under PREFIX
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig \
		$(DESTDIR)$(PREFIX)/include/mmkit
	install -m 755 $(BUILD)/mmkit $(DESTDIR)$(PREFIX)/bin/mmkit
	install -m 644 $(BUILD)/libmmkit.a $(BUILD)/libmmkit-arena.a $(DESTDIR)$(PREFIX)/lib/
	install -m 644 include/mmkit/*.h port/host/port_inline.h \
		$(wildcard port/host/host.h) $(DESTDIR)$(PREFIX)/include/mmkit/
	install -d $(DESTDIR)$(PREFIX)/lib/mmkit/guest
	install -m 755 $(BUILD)/guest/init $(DESTDIR)$(PREFIX)/lib/mmkit/guest/
	$(if $(wildcard $(BUILD)/mmkit-kernel),install -m 644 \
		$(BUILD)/mmkit-kernel $(DESTDIR)$(PREFIX)/lib/mmkit/)
	$(if $(MAN1),install -d $(DESTDIR)$(PREFIX)/share/man/man1)
	$(if $(MAN1),install -m 644 $(MAN1) $(DESTDIR)$(PREFIX)/share/man/man1/)
	$(if $(MAN5),install -d $(DESTDIR)$(PREFIX)/share/man/man5)
	$(if $(MAN5),install -m 644 $(MAN5) $(DESTDIR)$(PREFIX)/share/man/man5/)
	$(file >$(BUILD)/mmkit.pc,$(PC_TEXT))
	install -m 644 $(BUILD)/mmkit.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig/mmkit.pc

uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(PREFIX)/bin/mmkit $(DESTDIR)$(PREFIX)/lib/libmmkit.a \
		$(DESTDIR)$(PREFIX)/lib/libmmkit-arena.a \
		$(DESTDIR)$(PREFIX)/lib/pkgconfig/mmkit.pc \
		$(MAN1:docs/man/%=$(DESTDIR)$(PREFIX)/share/man/man1/%) \
		$(MAN5:docs/man/%=$(DESTDIR)$(PREFIX)/share/man/man5/%)
	rm -rf $(DESTDIR)$(PREFIX)/include/mmkit $(DESTDIR)$(PREFIX)/lib/mmkit
