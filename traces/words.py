# SPDX-License-Identifier: MIT
"""Counts words, pairs of words and lengths of lines in text files, and prints
the most common ones: a small script of the kind that people really run."""
import collections
import sys


def words(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        for line in f:
            for word in line.split():
                word = word.strip(".,;:()\"'`-").lower()
                if word:
                    yield word


def main(paths):
    single = collections.Counter()
    pairs = collections.Counter()
    where = collections.defaultdict(list)
    for path in paths:
        last = None
        for number, word in enumerate(words(path)):
            single[word] += 1
            where[word].append(number)
            if last:
                pairs[last, word] += 1
            last = word
    print(len(single), "words,", len(pairs), "pairs")
    for word, n in single.most_common(5):
        print(f"{n:6} {word} (first at {where[word][0]})")
    for (a, b), n in sorted(pairs.items(), key=lambda p: (-p[1], p[0]))[:5]:
        print(f"{n:6} {a} {b}")


if __name__ == "__main__":
    main(sys.argv[1:])
