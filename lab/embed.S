/* SPDX-License-Identifier: MIT */
/*
 * embed.S - the parts of the command's pages that are no C, each ended by a
 * NUL: the sheet of styles, the script, and the charting library where there
 * was one when this was built (else it is empty).
 */
	.section .rodata
	.globl page_style, page_script, page_library
page_style:
	.incbin "lab/report.css"
	.byte 0
page_script:
	.incbin "lab/report.js"
	.byte 0
page_library:
#ifdef CHART_JS
	.incbin CHART_JS
#endif
	.byte 0
	.section .note.GNU-stack,"",@progbits
