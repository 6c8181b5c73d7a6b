# SPDX-License-Identifier: MIT
# The null port: src/ linked with nothing but the symbols of port.h. A symbol
# that leaked in from a C library or from a port fails the link.
NULLPORT := $(BUILD)/null-port
NULLPORT_FLAGS := $(STD) -ffreestanding -fno-builtin $(WARN) -O2 \
	-fno-stack-protector -DMM_DEBUG=1 $(INC) -Itests/null-port
NULLPORT_OBJS := $(patsubst src/%.c,$(NULLPORT)/src/%.o,$(SRC_C))

$(NULLPORT)/src/%.o: src/%.c
	@mkdir -p $(@D)
	@$(CC) $(NULLPORT_FLAGS) -MMD -MP -c $< -o $@
$(NULLPORT)/null_port.o: tests/null-port/null_port.c
	@mkdir -p $(@D)
	@$(CC) $(NULLPORT_FLAGS) -fno-tree-loop-distribute-patterns \
		-MMD -MP -c $< -o $@

$(NULLPORT)/linked: $(NULLPORT_OBJS) $(NULLPORT)/null_port.o
	@echo "  LINK $@"
	@$(CC) -nostdlib -static -o $@ $^
-include $(NULLPORT_OBJS:.o=.d) $(NULLPORT)/null_port.d

.PHONY: null-port
null-port: $(NULLPORT)/linked
	@echo "null-port: src/ links with the port's symbols alone"
