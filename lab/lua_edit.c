/* SPDX-License-Identifier: MIT */
/*
 * lua_edit.c - editing of lines at the prompt, with history and completion, by
 * libedit.
 *
 * History is kept in MMKIT_LAB_HISTORY, or in .mmkit_lab_history of the home
 * folder; empty: nowhere.
 */
#include "lua_lab.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include <editline/readline.h>

#define HISTORY_LINES 1000

static lua_State *lua;
static char history_path[PATH_MAX];

/* readline's: STATE is 0 for the first name. */
static char *next_name(const char *text, int state)
{
	static u32 i;

	if (!state)
		i = 0;
	return lab_complete(lua, text, i++);
}

static char **complete(const char *text, int start, int end)
{
	(void)start;
	(void)end;
	/* File names are not what is wanted, even if nothing else fits. */
	rl_attempted_completion_over = 1;
	return rl_completion_matches(text, next_name);
}

static void find_history(void)
{
	const char *path = getenv("MMKIT_LAB_HISTORY");
	const char *home = getenv("HOME");

	history_path[0] = '\0';
	if (path)
		snprintf(history_path, sizeof(history_path), "%s", path);
	else if (home && *home)
		snprintf(history_path, sizeof(history_path),
			 "%s/.mmkit_lab_history", home);
}

void lab_edit_begin(lua_State *L)
{
	lua = L;
	rl_readline_name = "mmkit";
	rl_attempted_completion_function = complete;
	rl_completer_word_break_characters = " \t\n\"'><=;|&{([,+-*/%^#~";
	rl_completion_append_character = '\0';
	using_history();
	stifle_history(HISTORY_LINES);
	find_history();
	if (*history_path)
		read_history(history_path);
}

char *lab_edit_line(const char *prompt)
{
	char *line = readline(prompt);

	if (line && *line)
		add_history(line);
	return line;
}

void lab_edit_end(void)
{
	if (*history_path)
		write_history(history_path);
	clear_history();
}
