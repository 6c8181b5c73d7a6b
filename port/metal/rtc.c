/* SPDX-License-Identifier: MIT */
/*
 * rtc.c - the battery clock (MC146818) tells the date at boot.
 *
 * Its registers are read one by one while it may be counting on, so they are
 * read until two readings in a row are equal. They hold decimal or binary
 * digits, and 12 or 24 hours, as register B says.
 */
#include "acpi.h"
#include "base/string.h"
#include "clock.h"
#include "io.h"

#define CMOS_INDEX 0x70
#define CMOS_DATA  0x71
#define REG_B	   0x0b
#define B_24_HOURS 2
#define B_BINARY   4
#define HOUR_PM	   0x80

/* Seconds, minutes, hours, day, month, year; century if there is one. */
struct rtc_time {
	u8 sec, min, hour, day, month, year, century;
};

static u8 cmos_read(u8 reg)
{
	x86_outb(CMOS_INDEX, reg);
	return x86_inb(CMOS_DATA);
}

static struct rtc_time read_once(void)
{
	u8 century = acpi.century;

	return (struct rtc_time){
		.sec = cmos_read(0),
		.min = cmos_read(2),
		.hour = cmos_read(4),
		.day = cmos_read(7),
		.month = cmos_read(8),
		.year = cmos_read(9),
		.century = century ? cmos_read(century & 0x7f) : 0,
	};
}

static u32 digits(u8 v, u8 b)
{
	return b & B_BINARY ? v : (v >> 4) * 10u + (v & 15);
}

static u32 hours(u8 v, u8 b)
{
	u32 h = digits(v & (u8)~HOUR_PM, b);

	if (b & B_24_HOURS)
		return digits(v, b);
	return h % 12 + (v & HOUR_PM ? 12 : 0);
}

u64 rtc_days(u32 year, u32 month, u32 day)
{
	/* Years begin in March here, so that leap days come last. */
	u64 y = month <= 2 ? year - 1 : year;
	u64 m = month <= 2 ? month + 9 : month - 3;

	return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day -
	       1 - 719468;
}

u64 rtc_read(void)
{
	struct rtc_time t, again = read_once();
	u8 b = cmos_read(REG_B);
	u32 year, month, day, tries = 0;

	if (acpi.no_rtc)
		return 0;
	do {
		t = again;
		again = read_once();
	} while (mm_memcmp(&t, &again, sizeof(t)) && ++tries < 1000);
	year = digits(t.year, b);
	month = digits(t.month, b);
	day = digits(t.day, b);
	if (t.century && digits(t.century, b) >= 19)
		year += digits(t.century, b) * 100;
	else
		year += year < 70 ? 2000 : 1900;
	if (t.month == 0xff || month < 1 || month > 12 || day < 1 || day > 31)
		return 0;
	return ((rtc_days(year, month, day) * 24 + hours(t.hour, b)) * 60 +
		digits(t.min, b)) *
		       60 +
	       digits(t.sec, b);
}
