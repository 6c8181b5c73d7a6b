-- Builds a table of about 12 MiB with two indexes in an in-memory database,
-- then goes over it again in several orders.
PRAGMA cache_size = -65536;
PRAGMA temp_store = memory;
CREATE TABLE seed(b BLOB);
INSERT INTO seed VALUES (CAST(replace(hex(zeroblob(4096)), '00',
	'the quick brown fox jumps over the lazy dog; ') AS BLOB));
CREATE TABLE item(id INTEGER PRIMARY KEY, kind INTEGER, name TEXT, body BLOB);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5400)
INSERT INTO item
	SELECT i, (i * 7919) % 97, 'item ' || ((i * 104729) % 100003),
		substr(b, 1 + (i * 37) % 90000, 1800 + (i * 61) % 1200)
	FROM n, seed;
CREATE INDEX item_kind ON item(kind, id);
CREATE INDEX item_name ON item(name);
SELECT count(*), sum(length(body)) FROM item;
SELECT kind, count(*), max(length(body)) FROM item GROUP BY kind LIMIT 5;
SELECT sum(length(body)) FROM item WHERE kind IN (3, 14, 15, 92, 65);
SELECT name, hex(substr(body, 700, 8)) FROM item ORDER BY name LIMIT 10 OFFSET 2500;
UPDATE item SET body = substr(body, 2) || 'z' WHERE kind < 12;
DELETE FROM item WHERE kind = 50;
INSERT INTO item(kind, name, body)
	SELECT 100, name || ' again', body FROM item WHERE kind = 60;
SELECT count(*), sum(length(body)) FROM item WHERE name LIKE 'item 9%';
SELECT count(DISTINCT substr(body, 100, 20)) FROM item;
