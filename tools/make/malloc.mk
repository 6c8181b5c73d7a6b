# SPDX-License-Identifier: MIT
# libmmkit-malloc.so: the host world's floors up to kmem behind malloc's names.
# Everything is position independent and hidden but what malloc.c exports.
MT := $(BUILD)/malloc
# What its floors leave out: logs, traces, groups, nodes, page tables.
MT_DEFS := -DMM_LOG_WARN -DMM_NO_TRACE -DMM_NO_VM_EVENTS -DMM_ONLY_NORMAL \
	-DMM_NR_CPUS=16 -DMM_MAX_NODES=1 -DKMEM_MAX_CACHES=64 -DKMEM_ACCOUNT=0 \
	-DKMEM_KMALLOC=0 -DMM_PAGE_SMALL=1 -DMEMBLOCK_STATIC_REGIONS=8 \
	-DE820_MAX_ENTRIES=4 -DMAX_CMA_AREAS=1 -DPHYS_GROUP_LEAFS=1 -DLRU_POLICY_ROOM=8
MT_FLAGS := $(CFLAGS_release) -fPIC -fvisibility=hidden \
	-ftls-model=initial-exec -ffunction-sections -fdata-sections \
	-fcf-protection=none -fno-plt -fno-builtin-malloc -fno-builtin-calloc \
	$(MT_DEFS) -DMT_PRELOAD -include malloc/mt_string.h
# Option $(1), if the compiler has it: clang lacks some of gcc's.
mt_option = $(shell $(CC) -Werror $(1) -x c -c /dev/null -o /dev/null 2>/dev/null && echo $(1))
MT_QUIET := $(call mt_option,-Wno-maybe-uninitialized)
MT_ALIGN := -falign-functions=4 -falign-loops=4 $(call mt_option,-falign-jumps=4)
# Residence is by 64 KiB of the file. Floors below are called for many objects
# at once: small is better. (-Os warns of what -O2 sees through.)
MT_SMALL := -Os $(MT_QUIET)
MT_SRC := $(wildcard src/base/*.c src/arch/*.c src/phys/*.c) \
	$(filter-out src/kmem/slab_memcg.c,$(wildcard src/kmem/*.c)) \
	src/report/slab_show.c
MT_PORT := $(filter-out port/host/disk.c port/host/trace_file.c,$(wildcard port/host/*.c port/common/*.c))
MT_C := $(filter-out malloc/arena%,$(wildcard malloc/*.c))
MT_OBJS := $(patsubst %.c,$(MT)/%.o,$(MT_SRC) $(MT_PORT) $(MT_C))

$(MT)/port/%.o: private MT_FLAGS += $(MT_SMALL)
# Room that is only skipped is resident, too.
$(MT)/malloc/mt_%.o: private MT_FLAGS += $(MT_ALIGN)
# So are those of the library that run for many frames, or once.
$(patsubst %,$(MT)/malloc/mt_%.o,error fork large options trim): private MT_FLAGS += $(MT_SMALL)
$(MT)/src/kmem/slab_partial.o $(MT)/src/kmem/slab_bulk.o $(MT)/src/kmem/slab.o: private MT_SMALL := $(MT_QUIET)
$(MT)/src/%.o: src/%.c $(FLAGS_MK) tools/make/malloc.mk
	@mkdir -p $(@D)
	$(SAY) "  CC [malloc] $<"
	$(Q)$(CC) $(STD) -ffreestanding $(WARN) $(MT_FLAGS) $(MT_SMALL) $(INC) -Iport/host -MMD -MP -c $< -o $@
$(MT)/%.o: %.c $(FLAGS_MK) tools/make/malloc.mk
	@mkdir -p $(@D)
	$(SAY) "  CC [malloc] $<"
	$(Q)$(CC) $(STD) -D_GNU_SOURCE $(WARN) $(MT_FLAGS) $(INC) -Iport/host -MMD -MP -c $< -o $@
# What moves bytes is the library's own, or the C library's by another name.
MT_WRAP := -Wl,--wrap=memset,--wrap=memcpy,--wrap=memmove,--wrap=memcmp \
	-Wl,--wrap=sched_yield
# One segment for all that is not written, and no page
# that is only written to be protected: see malloc.ld.
MT_LINK := -Wl,--gc-sections,-z,now,-z,defs,-z,norelro,-z,noseparate-code \
	-Wl,-O1,-T,tools/make/malloc.ld \
	-Wl,-z,nodelete,-z,pack-relative-relocs -nostartfiles $(MT_WRAP)
$(BUILD)/libmmkit-malloc.so: $(MT_OBJS) tools/make/malloc.ld tools/make/malloc_hot.ld
	$(SAY) "  LD $@"
	$(Q)$(CC) -shared -static-libgcc $(MT_LINK) -o $@ $(MT_OBJS) -lpthread
-include $(MT_OBJS:.o=.d)

all: $(BUILD)/libmmkit-malloc.so

# The same without the names, for the tests: build/<variant>/libmt.a.
# $(1) variant
define mt_rules
$(BUILD)/$(1)/malloc/%.o: malloc/%.c $(FLAGS_MK)
	@mkdir -p $$(@D)
	$$(SAY) "  CC [$(1)/malloc] $$<"
	$$(Q)$$(CC) $$(STD) -D_GNU_SOURCE $$(WARN) $$(CFLAGS_$(1)) $$(INC) -Iport/host -MMD -MP -c $$< -o $$@
MT_LIB_$(1) := $$(patsubst %.c,$(BUILD)/$(1)/%.o,$(filter-out malloc/malloc.c,$(MT_C)))
$(BUILD)/$(1)/libmt.a: $$(MT_LIB_$(1))
	@rm -f $$@
	$$(SAY) "  AR $$@"
	$$(Q)$$(AR) rcs $$@ $$^
-include $$(MT_LIB_$(1):.o=.d)
$(patsubst %,$(BUILD)/$(1)/tests/host/%,$(filter test_malloc_%,$(TESTS_host))): private TEST_LIBS = $(BUILD)/$(1)/libmt.a $(BUILD)/$(1)/libmm-host.a -lcmocka -lpthread
$(patsubst %,$(BUILD)/$(1)/tests/host/%,$(filter test_malloc_%,$(TESTS_host))): private INC += -Imalloc
$(patsubst %,$(BUILD)/$(1)/tests/host/%,$(filter test_malloc_%,$(TESTS_host))): $(BUILD)/$(1)/libmt.a
$(BUILD)/$(1)/tests/host/test_malloc_string: private TEST_LIBS += $(MT_WRAP)
endef
$(foreach v,$(filter-out asan,$(VARIANTS)),$(eval $(call mt_rules,$(v))))

# In asan the tests run on the floors as the library has them.
MT_FLOORS := $(BUILD)/asan/mt
MT_FLOORS_OBJS := $(patsubst %.c,$(MT_FLOORS)/%.o,$(MT_SRC) $(MT_PORT) port/host/disk.c port/host/trace_file.c $(filter-out malloc/malloc.c,$(MT_C)))
$(MT_FLOORS)/src/%.o: private MT_HOSTED := -ffreestanding
$(MT_FLOORS)/%.o: %.c $(FLAGS_MK) tools/make/malloc.mk
	@mkdir -p $(@D)
	$(SAY) "  CC [asan/mt] $<"
	$(Q)$(CC) $(STD) $(or $(MT_HOSTED),-D_GNU_SOURCE) $(WARN) $(CFLAGS_asan) $(MT_DEFS) $(INC) -Iport/host -MMD -MP -c $< -o $@
$(MT_FLOORS)/libmt.a: $(MT_FLOORS_OBJS)
	@rm -f $@
	$(SAY) "  AR $@"
	$(Q)$(AR) rcs $@ $^
-include $(MT_FLOORS_OBJS:.o=.d)
MT_FLOORS_TESTS := $(patsubst %,$(BUILD)/asan/tests/host/%,$(filter test_malloc_%,$(TESTS_host)))
$(MT_FLOORS_TESTS): private TEST_MM = $(MT_FLOORS)/libmt.a
$(MT_FLOORS_TESTS): private TEST_LIBS = -lcmocka -lpthread
$(MT_FLOORS_TESTS): private INC += -Imalloc $(MT_DEFS)
$(MT_FLOORS_TESTS): $(MT_FLOORS)/libmt.a
$(BUILD)/asan/tests/host/test_malloc_string: private TEST_LIBS += $(MT_WRAP)

.PHONY: test-malloc
test-malloc: $(BUILD)/libmmkit-malloc.so ## real programs on the malloc library (minutes)
	$(Q)tools/deps test-malloc
	+$(Q)LONG=1 tests/malloc/programs.sh
