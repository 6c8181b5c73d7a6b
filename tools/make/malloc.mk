# SPDX-License-Identifier: MIT
# libmmkit-malloc.so: the host world's floors up to kmem behind malloc's names.
# Everything is position independent and hidden but what malloc.c exports.
MT := $(BUILD)/malloc
MT_FLAGS := $(CFLAGS_release) -fPIC -fvisibility=hidden \
	-ftls-model=initial-exec -ffunction-sections -fdata-sections \
	-fcf-protection=none -fno-plt -fno-builtin-malloc -fno-builtin-calloc
MT_SRC := $(wildcard src/base/*.c src/arch/*.c src/phys/*.c src/kmem/*.c) \
	src/report/tables_show.c
MT_PORT := $(filter-out port/host/disk.c,$(wildcard port/host/*.c))
MT_C := $(wildcard malloc/*.c)
MT_OBJS := $(patsubst %.c,$(MT)/%.o,$(MT_SRC) $(MT_PORT) $(MT_C))

$(MT)/src/%.o: src/%.c $(FLAGS_MK) tools/make/malloc.mk
	@mkdir -p $(@D)
	$(SAY) "  CC [malloc] $<"
	$(Q)$(CC) $(STD) -ffreestanding $(WARN) $(MT_FLAGS) $(INC) -Iport/host -MMD -MP -c $< -o $@
$(MT)/%.o: %.c $(FLAGS_MK) tools/make/malloc.mk
	@mkdir -p $(@D)
	$(SAY) "  CC [malloc] $<"
	$(Q)$(CC) $(STD) -D_GNU_SOURCE $(WARN) $(MT_FLAGS) $(INC) -Iport/host -MMD -MP -c $< -o $@
$(BUILD)/libmmkit-malloc.so: $(MT_OBJS)
	$(SAY) "  LD $@"
	$(Q)$(CC) -shared -Wl,--gc-sections,-z,now,-z,defs,-O1 -o $@ $^ -lpthread
-include $(MT_OBJS:.o=.d)

all: $(BUILD)/libmmkit-malloc.so
