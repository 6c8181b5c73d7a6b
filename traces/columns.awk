# SPDX-License-Identifier: MIT
# Counts words by the letter that they begin with, keeps every line, and prints
# the longest ones backwards: arrays of strings, and one long pass over them.
{
	line[NR] = $0
	for (i = 1; i <= NF; i++) {
		count[$i]++
		letter[tolower(substr($i, 1, 1))]++
		last[$i] = NR
	}
}
END {
	for (w in count)
		if (count[w] > 50)
			common++
	for (n = NR; n > 0; n--)
		if (length(line[n]) > 78)
			long++
	for (w in last)
		sum += length(line[last[w]])
	print NR, common, long, sum
}
