/* SPDX-License-Identifier: MIT */
/* page.c - how the command's HTML pages look, and how they are written. */
#include "page.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char page_style[] =
	":root{color-scheme:light dark;--bg:#fbfbf9;--fg:#1d2127;--dim:#5b6470;"
	"--card:#fff;--edge:#dcdfe3;--grid:#e6e8eb;--warn:#a33b00;"
	"--s0:#0072b2;--s1:#d55e00;--s2:#00855f;--s3:#a3508a;"
	"--s4:#6b5b00;--s5:#4b4bc3;--s6:#7a3e1d;--s7:#59636e}\n"
	"@media(prefers-color-scheme:dark){:root{--bg:#14171b;--fg:#e6e8eb;"
	"--dim:#9aa4b0;--card:#1b1f25;--edge:#343a43;--grid:#2a3038;"
	"--warn:#ffa366;--s0:#56b4e9;--s1:#f0a030;--s2:#3fcf9f;--s3:#e59ac4;"
	"--s4:#d6c64a;--s5:#a9a9ff;--s6:#d9a27f;--s7:#b8c0c8}}\n"
	"*{box-sizing:border-box}\n"
	"body{margin:0 auto;max-width:60rem;padding:1.5rem 1rem 3rem;"
	"background:var(--bg);color:var(--fg);"
	"font:16px/1.5 system-ui,-apple-system,\"Segoe UI\",sans-serif}\n"
	"h1{font-size:1.7rem;line-height:1.2;margin:0 0 .5rem;"
	"overflow-wrap:anywhere}\n"
	"h2{font-size:1.3rem;margin:2.5rem 0 .5rem;padding-top:.6rem;"
	"border-top:1px solid var(--edge)}\n"
	"h3{font-size:1.05rem;margin:0}\n"
	"p{margin:.4rem 0}\n"
	"a{color:var(--s0)}\n"
	"code{font:.85em/1.5 ui-monospace,Menlo,Consolas,monospace;"
	"overflow-wrap:anywhere}\n"
	"pre{margin:.8rem 0;padding:.6rem .8rem;background:var(--card);"
	"border:1px solid var(--edge);border-radius:6px;white-space:pre-wrap}\n"
	"nav{margin:.6rem 0}nav a{margin-right:1rem}\n"
	".tiles{display:grid;gap:.6rem;margin:.8rem 0;padding:0;"
	"grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr))}\n"
	".tiles div{background:var(--card);border:1px solid var(--edge);"
	"border-radius:6px;padding:.5rem .8rem}\n"
	".tiles dt{color:var(--dim);font-size:.85rem}\n"
	".tiles dd{margin:0;font-size:1.35rem;"
	"font-variant-numeric:tabular-nums}\n"
	".notes{padding-left:1.2rem}.notes li{margin:.3rem 0}\n"
	".notes .bad{color:var(--warn);font-weight:600}\n"
	"figure{margin:1rem 0;padding:.8rem 1rem;background:var(--card);"
	"border:1px solid var(--edge);border-radius:6px}\n"
	"figcaption p{color:var(--dim);font-size:.9rem;margin:.1rem 0 .4rem}\n"
	".legend{display:flex;flex-wrap:wrap;gap:.1rem 1.2rem;margin:0;"
	"padding:0;list-style:none;font-size:.9rem}\n"
	".legend svg{width:34px;height:10px;margin-right:.4rem}\n"
	".yname,.xname{color:var(--dim);font-size:.85rem}\n"
	".xname{text-align:right}\n"
	"figure>svg{display:block;width:100%;height:auto}\n"
	"svg text{fill:var(--dim);font:13px system-ui,sans-serif;"
	"font-variant-numeric:tabular-nums}\n"
	".grid{stroke:var(--grid);fill:none}.axis{stroke:var(--dim);"
	"fill:none}\n"
	".line{fill:none;stroke-width:2;stroke-linejoin:round}\n"
	".line.s0{stroke:var(--s0)}\n"
	".line.s1{stroke:var(--s1);stroke-dasharray:8 4}\n"
	".line.s2{stroke:var(--s2);stroke-dasharray:2 3}\n"
	".line.s3{stroke:var(--s3);stroke-dasharray:10 3 2 3}\n"
	".line.s4{stroke:var(--s4);stroke-dasharray:14 4}\n"
	".line.s5{stroke:var(--s5);stroke-dasharray:5 3}\n"
	".line.s6{stroke:var(--s6);stroke-dasharray:8 3 2 3 2 3}\n"
	".line.s7{stroke:var(--s7);stroke-dasharray:2 6}\n"
	".dot.s0{fill:var(--s0)}.dot.s1{fill:var(--s1)}"
	".dot.s2{fill:var(--s2)}.dot.s3{fill:var(--s3)}"
	".dot.s4{fill:var(--s4)}.dot.s5{fill:var(--s5)}"
	".dot.s6{fill:var(--s6)}.dot.s7{fill:var(--s7)}\n"
	".col{fill:transparent}.col:hover{fill:var(--dim);fill-opacity:.13}\n"
	".wide{overflow-x:auto}\n"
	"table{border-collapse:collapse;font-variant-numeric:tabular-nums;"
	"font-size:.9rem}\n"
	"th,td{padding:.15rem .8rem;text-align:right;white-space:nowrap;"
	"border-bottom:1px solid var(--grid)}\n"
	"th[scope=row]{text-align:left;font-weight:400;padding-left:0}\n"
	"th[scope=rowgroup]{text-align:left;padding:.7rem 0 .15rem;"
	"color:var(--dim);font-size:.85rem}\n"
	"thead th{border-bottom:2px solid var(--edge)}\n"
	"summary{cursor:pointer;color:var(--dim);font-size:.9rem}\n"
	".none,footer{color:var(--dim);font-size:.9rem}\n"
	"@media(max-width:36rem){svg text{font-size:19px}"
	".line{stroke-width:3}body{padding-top:1rem}figure{padding:.6rem}}\n"
	"@media print{:root{--bg:#fff;--fg:#000;--dim:#444;--card:#fff;"
	"--edge:#bbb;--grid:#ddd;--s0:#0072b2;--s1:#d55e00;--s2:#00855f;"
	"--s3:#a3508a;--s4:#6b5b00;--s5:#4b4bc3;--s6:#7a3e1d;"
	"--s7:#59636e}body{max-width:none;font-size:11pt;padding:0}"
	"figure,.tiles,tr{break-inside:avoid}"
	"h2,h3{break-after:avoid}nav{display:none}}\n";

static int write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Close FD; the first failure's errno stays. */
static int close_after(int fd, int ret)
{
	int err = errno;

	if (close(fd) && !ret)
		return -1;
	errno = err;
	return ret;
}

/* A pipe, a terminal, /dev/null: nothing to rename. */
static int write_direct(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	return close_after(fd, write_all(fd, text, len));
}

static int write_beside(const char *path, const char *text, size_t len,
			mode_t mode)
{
	size_t size = strlen(path) + sizeof(".XXXXXX");
	char *tmp = malloc(size);
	int fd, ret = -1, err;

	if (!tmp)
		return -1;
	snprintf(tmp, size, "%s.XXXXXX", path);
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd >= 0) {
		ret = write_all(fd, text, len);
		if (!ret)
			ret = fchmod(fd, mode);
		ret = close_after(fd, ret);
		if (!ret)
			ret = rename(tmp, path);
		err = errno;
		if (ret)
			unlink(tmp);
		errno = err;
	}
	err = errno;
	free(tmp);
	errno = err;
	return ret;
}

/* Links are followed, so that the file they lead to is what changes. */
int page_write(const char *path, const char *text, size_t len)
{
	char *real = realpath(path, NULL);
	struct stat st;
	mode_t mask = umask(0);
	int ret, err;

	umask(mask);
	if (!real)
		return errno == ENOENT
			       ? write_beside(path, text, len, 0666 & ~mask)
			       : -1;
	if (stat(real, &st))
		ret = -1;
	else if (S_ISREG(st.st_mode))
		ret = write_beside(real, text, len, st.st_mode & 0777);
	else
		ret = write_direct(real, text, len);
	err = errno;
	free(real);
	errno = err;
	return ret;
}
