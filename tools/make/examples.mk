# SPDX-License-Identifier: MIT
# Example programs: each with a port of its own, linked with the floors that
# it embeds and with nothing else of the project.
#
# examples/frames: floors base and phys. What the program never calls (memory
# that comes and goes) is left out by the linker, with what it asks of a port.
EX_FRAMES := $(BUILD)/examples/frames
EX_FRAMES_SRC := $(wildcard src/base/*.c src/phys/*.c)
EX_FRAMES_OBJS := $(EX_FRAMES_SRC:src/%.c=$(EX_FRAMES).d/src/%.o) \
	$(patsubst examples/frames/%.c,$(EX_FRAMES).d/%.o,$(wildcard examples/frames/*.c))
EX_FRAMES_FLAGS := -ffunction-sections -fdata-sections $(STD) $(WARN) $(CFLAGS_release) $(INC) -Iexamples/frames

$(EX_FRAMES).d/src/%.o: src/%.c $(FLAGS_MK)
	@mkdir -p $(@D)
	$(SAY) "  CC [examples/frames] $<"
	$(Q)$(CC) -ffreestanding $(EX_FRAMES_FLAGS) -MMD -MP -c $< -o $@
$(EX_FRAMES).d/%.o: examples/frames/%.c $(FLAGS_MK)
	@mkdir -p $(@D)
	$(SAY) "  CC [examples/frames] $<"
	$(Q)$(CC) $(EX_FRAMES_FLAGS) -MMD -MP -c $< -o $@
$(EX_FRAMES): $(EX_FRAMES_OBJS)
	$(SAY) "  LD $@"
	$(Q)$(CC) -Wl,--gc-sections -o $@ $^
-include $(EX_FRAMES_OBJS:.o=.d)

.PHONY: examples
examples: $(EX_FRAMES) ## the programs of examples/, in build/examples

# examples/memblock: memblock and what of floor base it calls, no more.
EX_MEMBLOCK := $(BUILD)/examples/memblock
EX_MEMBLOCK_SRC := $(addprefix src/phys/,memblock.c memblock_query.c state.c) \
	$(addprefix src/base/,assert.c printk.c seqbuf.c string.c system.c)
EX_MEMBLOCK_OBJS := $(EX_MEMBLOCK_SRC:src/%.c=$(EX_FRAMES).d/src/%.o) \
	$(EX_MEMBLOCK).d/main.o

$(EX_MEMBLOCK).d/%.o: examples/memblock/%.c $(FLAGS_MK)
	@mkdir -p $(@D)
	$(SAY) "  CC [examples/memblock] $<"
	$(Q)$(CC) $(EX_FRAMES_FLAGS) -MMD -MP -c $< -o $@
$(EX_MEMBLOCK): $(EX_MEMBLOCK_OBJS)
	$(SAY) "  LD $@"
	$(Q)$(CC) -o $@ $^
-include $(EX_MEMBLOCK).d/main.d

examples: $(EX_MEMBLOCK)

# examples/arena: a program that has the arenas, and nothing of src/.
EX_ARENA := $(BUILD)/examples/arena
$(EX_ARENA): examples/arena/main.c $(BUILD)/libmmkit-arena.a $(FLAGS_MK)
	@mkdir -p $(@D)
	$(SAY) "  CC [examples/arena] $<"
	$(Q)$(CC) $(STD) $(WARN) $(CFLAGS_release) -Iinclude -MMD -MP -MF $@.d -o $@ $< $(BUILD)/libmmkit-arena.a
-include $(EX_ARENA).d

examples: $(EX_ARENA)

# examples/policy: replacement policies for `mmkit replay --policy FILE`, with
# the command's own view of src/.
EX_POLICY := $(patsubst examples/policy/%.c,$(BUILD)/examples/%.so,$(wildcard examples/policy/*.c))
$(BUILD)/examples/%.so: examples/policy/%.c $(FLAGS_MK)
	@mkdir -p $(@D)
	$(SAY) "  SO $@"
	$(Q)$(CC) $(STD) $(WARN) $(CFLAGS_release) $(INC) -Iport/sim -fPIC -shared -MMD -MP -MF $@.d -o $@ $<
-include $(EX_POLICY:=.d)

examples: $(EX_POLICY)

# examples/machine: the whole manager, in both worlds that are programs.
EX_MACHINE := $(addprefix $(BUILD)/examples/machine-,host sim)
$(BUILD)/examples/machine-sim: private EX_MACHINE_FLAGS := -DWORLD_SIM
$(BUILD)/examples/machine-%: examples/machine/main.c $(BUILD)/release/libmm-%.a $(FLAGS_MK)
	@mkdir -p $(@D)
	$(SAY) "  CC [examples/machine] $@"
	$(Q)$(CC) $(STD) $(WARN) $(CFLAGS_release) $(EX_MACHINE_FLAGS) $(INC) -Iport/$* -MMD -MP -MF $@.d -o $@ $< $(BUILD)/release/libmm-$*.a -lpthread
-include $(EX_MACHINE:=.d)

examples: $(EX_MACHINE)
