/* SPDX-License-Identifier: MIT */
/*
 * pci.h - functions on the PCI bus: finding them, their registers, their
 * interrupts by message. Private to port/metal. Theory: pci.c.
 */
#ifndef METAL_PCI_H
#define METAL_PCI_H

#include <mmkit/types.h>

/* A function: bus in bits 15..8, device in 7..3, function in 2..0. */
#define PCI_ID	      0x00u /* vendor, device */
#define PCI_COMMAND   0x04u
#define PCI_STATUS    0x06u
#define PCI_CLASS     0x08u
#define PCI_HEADER    0x0eu
#define PCI_BAR0      0x10u
#define PCI_SECONDARY 0x19u
#define PCI_CAPS      0x34u
#define PCI_IRQ_LINE  0x3cu
#define PCI_IRQ_PIN   0x3du

#define PCI_COMMAND_MEM	    2u
#define PCI_COMMAND_MASTER  4u
#define PCI_COMMAND_NO_INTX 0x400u

#define PCI_CAP_VENDOR 0x09u
#define PCI_CAP_MSIX   0x11u

u8 pci_get8(u16 fn, u32 reg);
u16 pci_get16(u16 fn, u32 reg);
u32 pci_get32(u16 fn, u32 reg);
void pci_set16(u16 fn, u32 reg, u16 v);
void pci_set32(u16 fn, u32 reg, u32 v);

/* pci_there: does this machine have the bus? */
bool pci_there(void);
/* pci_scan: FOUND(fn, id) for each function on all buses that can be reached;
 * ID is as in PCI_ID. Their number. */
u32 pci_scan(void (*found)(u16 fn, u32 id));
/* pci_next_cap: the next capability KIND behind AT (0: the first); 0: none. */
u32 pci_next_cap(u16 fn, u8 kind, u32 at);
/* pci_bar: where memory region BAR lies; 0: none, or I/O ports. */
phys_addr_t pci_bar(u16 fn, u32 bar);
/* pci_enable: the device may use memory and be used by it. */
void pci_enable(u16 fn);

/*
 * pci_msix: all messages of FN that are used call one handler: VECTOR is put
 * into entry 0 of its table, and messages are turned on. The table, or NULL:
 * FN cannot.
 */
volatile u8 *pci_msix(u16 fn, u32 vector);

#endif
