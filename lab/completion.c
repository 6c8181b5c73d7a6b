/* SPDX-License-Identifier: MIT */
/*
 * completion.c - completion for bash, zsh and fish, from the tables that the
 * verbs parse by: it cannot say what the command does not take.
 *
 * 1. Where the options come from. A verb's table is its own, and known to
 *    nobody until the verb runs. So each verb is run, in a process of its own,
 *    with args_show_table(): where it would parse, it writes its table and
 *    ends.
 *
 * 2. What a value may be. Its name in the table tells: words with a bar between
 *    them are the words; FILE, PATH and TRACE are files, DIR is a folder.
 *    Policies and architectures are asked of the manager.
 *
 * 3. The scripts need nothing but their shell. A value may be behind "=", which
 *    bash takes for a word of its own, and may be a list: what follows the last
 *    comma is completed.
 */
#include "completion.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arch/paging.h"
#include "args.h"
#include "err.h"
#include "reclaim/reclaim.h"

enum value { VALUE_NONE, VALUE_ANY, VALUE_FILE, VALUE_DIR, VALUE_WORDS };

struct opt {
	char *line; /* the others point into it */
	char *name, *letter, *arg, *doc;
	bool optional; /* its value */
	enum value value;
	char words[512]; /* VALUE_WORDS: a blank between */
};

struct verb_opts {
	const struct verb *verb;
	struct opt *v;
	size_t nr;
	char words[128]; /* subcommands, a blank between */
};

/* ---- asking a verb
 * --------------------------------------------------------------- */

_Noreturn static void tell_table(const struct verb *v, int fd)
{
	char *argv[] = {(char *)v->name, NULL};
	FILE *f = fdopen(fd, "w");

	if (!f)
		err_die("--completion: %s", strerror(errno));
	err_set_verb(v->name);
	args_show_table(f);
	v->run(1, argv);
	err_die("--completion: it did not look at its options");
}

static FILE *ask(const struct verb *v, pid_t *pid)
{
	int fd[2];
	FILE *f;

	fflush(stdout);
	if (pipe(fd))
		err_die("--completion: %s", strerror(errno));
	*pid = fork();
	if (*pid < 0)
		err_die("--completion: %s", strerror(errno));
	if (!*pid) {
		close(fd[0]);
		tell_table(v, fd[1]);
	}
	close(fd[1]);
	f = fdopen(fd[0], "r");
	if (!f)
		err_die("--completion: %s", strerror(errno));
	return f;
}

static void add_word(char *words, size_t size, const char *word, size_t len)
{
	size_t at = strlen(words);

	if (at + len + 2 > size)
		return;
	if (at)
		words[at++] = ' ';
	memcpy(words + at, word, len);
	words[at + len] = 0;
}

static void add_policies(struct opt *o)
{
	const struct lru_ops *ops;

	for (u32 i = 0; (ops = reclaim_policy(i)); i++)
		add_word(o->words, sizeof(o->words), ops->name,
			 strlen(ops->name));
}

static void add_archs(struct opt *o)
{
	const struct paging_format *f;

	for (u32 i = 0; (f = paging_format_nth(i)); i++)
		add_word(o->words, sizeof(o->words), f->name, strlen(f->name));
}

/* "real|anon", "on|off[,...]": what stands before a bracket, if all of it is
 * words. */
static void add_choices(struct opt *o)
{
	size_t end = strcspn(o->arg, "[,");
	const char *s = o->arg;

	for (size_t i = 0; i < end; i++)
		if (isupper((u8)s[i]) || (s[i] != '|' && !isalnum((u8)s[i])))
			return;
	if (!memchr(s, '|', end))
		return;
	while (s < o->arg + end) {
		size_t len = strcspn(s, "|[,");

		add_word(o->words, sizeof(o->words), s, len);
		s += len + 1;
	}
}

static bool begins(const char *s, const char *word)
{
	return !strncmp(s, word, strlen(word));
}

static enum value value_of(struct opt *o)
{
	if (!*o->arg)
		return VALUE_NONE;
	if (!strcmp(o->name, "policy"))
		add_policies(o);
	else if (!strcmp(o->name, "arch"))
		add_archs(o);
	else
		add_choices(o);
	if (o->words[0])
		return VALUE_WORDS;
	if (begins(o->arg, "DIR"))
		return VALUE_DIR;
	if (begins(o->arg, "FILE") || begins(o->arg, "PATH") ||
	    begins(o->arg, "HOSTPATH"))
		/* --show's are the machine's. */
		return strcmp(o->name, "show") ? VALUE_FILE : VALUE_ANY;
	return VALUE_ANY;
}

/* Up to the next tab, which becomes an end. */
static char *field(char **at)
{
	char *s = *at, *tab = strchr(s, '\t');

	if (tab) {
		*tab = 0;
		*at = tab + 1;
	} else {
		*at = s + strlen(s);
	}
	return s;
}

/* "info FILE": words before the first in capitals. */
static void add_subcommand(struct verb_opts *vo, const char *args)
{
	size_t len = strcspn(args, " ");

	for (size_t i = 0; i < len; i++)
		if (!islower((u8)args[i]))
			return;
	if (len)
		add_word(vo->words, sizeof(vo->words), args, len);
}

static void add_option(struct verb_opts *vo, char *line)
{
	struct opt o = {.line = line};

	o.name = field(&line);
	if (!*o.name) {
		add_subcommand(vo, line);
		free(o.line);
		return;
	}
	o.letter = field(&line);
	o.arg = field(&line);
	o.optional = *field(&line) == '1';
	o.doc = line;
	o.value = value_of(&o);
	vo->v = realloc(vo->v, (vo->nr + 1) * sizeof(*vo->v));
	if (!vo->v)
		err_die("--completion: no memory");
	vo->v[vo->nr++] = o;
}

static void read_verb(struct verb_opts *vo, const struct verb *v)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	int status;
	pid_t pid;
	FILE *f = ask(v, &pid);

	*vo = (struct verb_opts){.verb = v};
	while ((n = getline(&line, &size, f)) > 0) {
		line[strcspn(line, "\n")] = 0;
		add_option(vo, line);
		line = NULL;
		size = 0;
	}
	free(line);
	fclose(f);
	if (waitpid(pid, &status, 0) < 0 || status || !vo->nr)
		err_die("--completion: %s does not tell its options", v->name);
}

static void free_verb(struct verb_opts *vo)
{
	for (size_t i = 0; i < vo->nr; i++)
		free(vo->v[i].line);
	free(vo->v);
}

/* ---- the table
 * ------------------------------------------------------------------- */

static void put_table(FILE *f, const struct verb_opts *vo)
{
	for (size_t i = 0; i < vo->nr; i++)
		fprintf(f, "%s\t%s\t%s\t%s\t%s\n", vo->verb->name,
			vo->v[i].name, vo->v[i].letter, vo->v[i].arg,
			vo->v[i].words);
}

/* S in single quotes; ESCAPE: characters that get a backslash. */
static void put_quoted(FILE *f, const char *s, const char *escape,
		       const char *quote)
{
	for (; *s; s++) {
		if (*s == '\'') {
			fputs(quote, f);
			continue;
		}
		if (strchr(escape, *s))
			fputc('\\', f);
		fputc(*s, f);
	}
}

/* ---- bash
 * ------------------------------------------------------------------------ */

static void bash_verb(FILE *f, const struct verb_opts *vo)
{
	fprintf(f, "\t%s)\n\t\topts='--help --usage", vo->verb->name);
	for (size_t i = 0; i < vo->nr; i++)
		fprintf(f, " --%s", vo->v[i].name);
	fprintf(f, "'\n\t\tsubs='%s'\n\t\tcase $prev in\n", vo->words);
	for (size_t i = 0; i < vo->nr; i++) {
		const struct opt *o = &vo->v[i];

		/* One that may do without is followed by no value of its own.
		 */
		if (o->value == VALUE_NONE)
			continue;
		if (o->optional && o->value != VALUE_WORDS)
			continue;
		fprintf(f, "\t\t--%s", o->name);
		if (*o->letter && !o->optional)
			fprintf(f, " | -%s", o->letter);
		if (o->value == VALUE_WORDS)
			fprintf(f, ") kind=words words='%s' ;;\n", o->words);
		else
			fprintf(f, ") kind=%s ;;\n",
				o->value == VALUE_FILE	? "file"
				: o->value == VALUE_DIR ? "dir"
							: "any");
	}
	fputs("\t\tesac\n\t\t;;\n", f);
}

static const char bash_head[] =
	"# bash completion for mmkit; written by `mmkit --completion bash`\n"
	"_mmkit()\n{\n"
	"\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
	"\tlocal opts= subs= kind= words= head=\n"
	"\tCOMPREPLY=()\n"
	"\t# \"--opt=value\" comes as three words\n"
	"\tif [ \"$cur\" = = ]; then\n"
	"\t\tcur=\n"
	"\telif [ \"$prev\" = = ] && [ \"$COMP_CWORD\" -gt 2 ]; then\n"
	"\t\tprev=${COMP_WORDS[COMP_CWORD-2]}\n"
	"\tfi\n"
	"\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n"
	"\t\tCOMPREPLY=($(compgen -W \"$verbs --help --version\" -- \"$cur\"))\n"
	"\t\treturn\n"
	"\tfi\n"
	"\tcase ${COMP_WORDS[1]} in\n";

static const char bash_tail[] =
	"\tesac\n"
	"\tcase $kind in\n"
	"\twords)\n"
	"\t\t[ \"${cur%,*}\" = \"$cur\" ] || head=${cur%,*},\n"
	"\t\tCOMPREPLY=($(compgen -P \"$head\" -W \"$words\" -- \"${cur##*,}\"))\n"
	"\t\t;;\n"
	"\tfile) compopt -o filenames 2>/dev/null\n"
	"\t\tCOMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
	"\tdir) compopt -o filenames 2>/dev/null\n"
	"\t\tCOMPREPLY=($(compgen -d -- \"$cur\")) ;;\n"
	"\tany) ;;\n"
	"\t*)\n"
	"\t\tcase $cur in\n"
	"\t\t-*) COMPREPLY=($(compgen -W \"$opts\" -- \"$cur\")) ;;\n"
	"\t\t*)\n"
	"\t\t\tif [ -n \"$subs\" ] && [ \"$COMP_CWORD\" -eq 2 ]; then\n"
	"\t\t\t\tCOMPREPLY=($(compgen -W \"$subs\" -- \"$cur\"))\n"
	"\t\t\telse\n"
	"\t\t\t\tcompopt -o filenames 2>/dev/null\n"
	"\t\t\t\tCOMPREPLY=($(compgen -f -- \"$cur\"))\n"
	"\t\t\tfi ;;\n"
	"\t\tesac ;;\n"
	"\tesac\n"
	"}\n"
	"complete -F _mmkit mmkit\n";

static void put_bash(FILE *f, const struct verb_opts *vo, size_t nr)
{
	const char *at = strstr(bash_head, "\tCOMPREPLY=()");

	fwrite(bash_head, 1, (size_t)(at - bash_head), f);
	fputs("\tlocal verbs='", f);
	for (size_t i = 0; i < nr; i++)
		fprintf(f, "%s%s", i ? " " : "", vo[i].verb->name);
	fputs("'\n", f);
	fputs(at, f);
	for (size_t i = 0; i < nr; i++)
		bash_verb(f, &vo[i]);
	fputs(bash_tail, f);
}

/* ---- zsh
 * ------------------------------------------------------------------------- */

#define ZSH_ESCAPE "[]:\\"
#define ZSH_QUOTE  "'\\''"

static void zsh_value(FILE *f, const struct opt *o)
{
	if (o->value == VALUE_NONE)
		return;
	fputs(o->optional ? "::" : ":", f);
	put_quoted(f, o->arg, ZSH_ESCAPE, ZSH_QUOTE);
	if (o->value == VALUE_WORDS)
		fprintf(f, ":_values -s , value %s", o->words);
	else if (o->value == VALUE_FILE)
		fputs(":_files", f);
	else if (o->value == VALUE_DIR)
		fputs(":_files -/", f);
	else
		fputs(": ", f);
}

static void zsh_verb(FILE *f, const struct verb_opts *vo)
{
	fprintf(f, "\t%s)\n\t\t_arguments", vo->verb->name);
	for (size_t i = 0; i < vo->nr; i++) {
		const struct opt *o = &vo->v[i];

		fprintf(f, " \\\n\t\t\t'*--%s%s[", o->name,
			o->value == VALUE_NONE ? ""
			: o->optional	       ? "=-"
					       : "=");
		put_quoted(f, o->doc, ZSH_ESCAPE, ZSH_QUOTE);
		fputc(']', f);
		zsh_value(f, o);
		fputc('\'', f);
	}
	if (vo->words[0])
		fprintf(f, " \\\n\t\t\t'1:command:(%s)'", vo->words);
	fputs(" \\\n\t\t\t'*:file:_files'\n\t\t;;\n", f);
}

static void put_zsh(FILE *f, const struct verb_opts *vo, size_t nr)
{
	fputs("#compdef mmkit\n"
	      "# written by `mmkit --completion zsh`\n"
	      "_mmkit()\n{\n"
	      "\tlocal -a verbs\n\tverbs=(\n",
	      f);
	for (size_t i = 0; i < nr; i++) {
		fprintf(f, "\t\t'%s:", vo[i].verb->name);
		put_quoted(f, vo[i].verb->help, ZSH_ESCAPE, ZSH_QUOTE);
		fputs("'\n", f);
	}
	fputs("\t)\n"
	      "\tif (( CURRENT == 2 )); then\n"
	      "\t\t_describe verb verbs\n"
	      "\t\treturn\n\tfi\n"
	      "\tshift words\n"
	      "\t(( CURRENT-- ))\n"
	      "\tcase $words[1] in\n",
	      f);
	for (size_t i = 0; i < nr; i++)
		zsh_verb(f, &vo[i]);
	fputs("\tesac\n}\n_mmkit \"$@\"\n", f);
}

/* ---- fish
 * ------------------------------------------------------------------------ */

static void fish_option(FILE *f, const struct verb *v, const struct opt *o)
{
	fprintf(f,
		"complete -c mmkit -n '__fish_seen_subcommand_from %s' -l %s",
		v->name, o->name);
	if (*o->letter)
		fprintf(f, " -s %s", o->letter);
	if (o->value == VALUE_FILE)
		fputs(" -r -F", f);
	else if (o->value == VALUE_DIR)
		fputs(" -x -a '(__fish_complete_directories)'", f);
	else if (o->value == VALUE_WORDS)
		fprintf(f, " -x -a '%s'", o->words);
	else if (o->value == VALUE_ANY)
		fputs(o->optional ? "" : " -x", f);
	fputs(" -d '", f);
	put_quoted(f, o->doc, "\\", "\\'");
	fputs("'\n", f);
}

static void put_fish(FILE *f, const struct verb_opts *vo, size_t nr)
{
	fputs("# written by `mmkit --completion fish`\n", f);
	for (size_t i = 0; i < nr; i++) {
		fprintf(f,
			"complete -c mmkit -f -n __fish_use_subcommand -a %s "
			"-d '",
			vo[i].verb->name);
		put_quoted(f, vo[i].verb->help, "\\", "\\'");
		fputs("'\n", f);
		if (vo[i].words[0])
			fprintf(f,
				"complete -c mmkit -n "
				"'__fish_seen_subcommand_from %s' -a '%s'\n",
				vo[i].verb->name, vo[i].words);
		for (size_t k = 0; k < vo[i].nr; k++)
			fish_option(f, vo[i].verb, &vo[i].v[k]);
	}
}

/* ---- all verbs
 * ------------------------------------------------------------------- */

static void put_tables(FILE *f, const struct verb_opts *vo, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		put_table(f, &vo[i]);
}

bool completion_write(FILE *f, const char *shell, const struct verb *verbs,
		      size_t nr)
{
	static const struct {
		const char *name;
		void (*put)(FILE *f, const struct verb_opts *vo, size_t nr);
	} shells[] = {{"bash", put_bash},
		      {"zsh", put_zsh},
		      {"fish", put_fish},
		      {"table", put_tables}};
	struct verb_opts *vo;
	size_t n = 0, s = 0;

	while (s < ARRAY_SIZE(shells) && strcmp(shells[s].name, shell))
		s++;
	if (s == ARRAY_SIZE(shells))
		return false;
	vo = calloc(nr, sizeof(*vo));
	if (!vo)
		err_die("--completion: no memory");
	for (size_t i = 0; i < nr; i++)
		if (verbs[i].run)
			read_verb(&vo[n++], &verbs[i]);
	shells[s].put(f, vo, n);
	for (size_t i = 0; i < n; i++)
		free_verb(&vo[i]);
	free(vo);
	return true;
}
