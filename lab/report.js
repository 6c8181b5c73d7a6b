/* SPDX-License-Identifier: MIT */
/*
 * report.js - what moves on the command's pages: tabs, the choice of a run,
 * light and dark, charts that are pointed at, and the slider over the frames.
 *
 * The page is whole without it: everything stands below each other and the
 * charts are SVG. A chart's numbers are JSON beside its SVG; where the
 * charting library (Chart.js) was built in, it draws them when they first come
 * into sight. Printing shows the SVG again, light and all tabs.
 */
(function () {
'use strict';
var root = document.documentElement;
var all = function (sel, el) {
	return Array.prototype.slice.call((el || document).querySelectorAll(sel));
};
var make = function (tag, attrs, text) {
	var e = document.createElement(tag);
	Object.keys(attrs || {}).forEach(function (k) { e.setAttribute(k, attrs[k]); });
	if (text !== undefined)
		e.textContent = text;
	return e;
};
var color = function (name) {
	return getComputedStyle(root).getPropertyValue(name).trim();
};
var dashes = [[], [8, 4], [2, 3], [10, 3, 2, 3], [14, 4], [5, 3],
	[8, 3, 2, 3, 2, 3], [2, 6]];

/* ---- numbers, as lab/chart.c writes them */

function number(v, bytes) {
	var units = bytes ? [' B', ' KiB', ' MiB', ' GiB', ' TiB', ' PiB', ' EiB']
		: ['', 'k', 'M', 'G', 'T'];
	var base = bytes ? 1024 : 1000, u = 0;

	if (v === null || isNaN(v))
		return '-';
	while (Math.abs(v) >= base * 0.99995 && u < units.length - 1) {
		v /= base;
		u++;
	}
	return String(parseFloat(v.toPrecision(4))) + units[u];
}

/* Numbers of many digits in groups of three. */
function exact(v, bytes) {
	if (bytes || v === null || isNaN(v) || v % 1)
		return number(v, bytes);
	return String(v).replace(/\B(?=(\d{3})+$)/g, ',');
}

function step(range, steps, bytes) {
	var least = range / steps, s;

	if (bytes)
		return Math.pow(2, Math.ceil(Math.log2(least)));
	s = Math.pow(10, Math.floor(Math.log10(least)));
	return [1, 2, 5, 10].map(function (k) { return k * s; })
		.find(function (v) { return v >= least; }) || s * 10;
}

/* ---- charts */

var charts = [];	/* {figure, data, chart, hidden} */
var zooms = {};		/* run and axis -> [from, to] */

function zoomKey(c) {
	var run = c.figure.closest('[data-run]');

	return (run ? run.getAttribute('data-run') : '') + '/' + c.data.x.name;
}

function xOf(c, v) {
	return c.data.x.log ? Math.log2(v) : v;
}

function dataset(c, s, i) {
	var d = c.data, main = color('--s' + i % 8);

	return {
		label: s.name, borderColor: main, hidden: !!c.hidden[i],
		backgroundColor: main + (d.y.stacked ? '4d' : '24'),
		borderDash: dashes[i % 8], borderWidth: d.y.stacked ? 1.5 : 2,
		pointRadius: d.markers ? 4 : 0, pointHitRadius: 8,
		pointHoverRadius: 4, pointBackgroundColor: main,
		/* The first lies on top. */
		order: d.y.stacked ? 0 : i,
		fill: d.y.stacked ? (i ? '-1' : 'origin') :
			(d.band && i === d.band ? '-1' : false),
		data: s.values.map(function (v, k) {
			return {x: xOf(c, d.points[k]), y: v === null ? NaN : v};
		})
	};
}

function yScale(c) {
	var d = c.data, bytes = d.y.bytes, top = 0, s;

	d.points.forEach(function (x, k) {
		var sum = 0;

		d.series.forEach(function (one, i) {
			var v = c.hidden[i] ? 0 : one.values[k] || 0;

			sum = d.y.stacked ? sum + v : Math.max(sum, v);
		});
		top = Math.max(top, sum);
	});
	if (d.y.cut && top > d.y.cut)
		top = d.y.cut;
	s = step(top || 1, 5, bytes);
	return {
		min: 0, max: Math.ceil((top || 1) / s - 1e-9) * s,
		stacked: d.y.stacked, border: {color: color('--edge')},
		grid: {color: color('--grid')},
		ticks: {stepSize: s, color: color('--dim'),
			callback: function (v) { return number(v, bytes); }},
		title: {display: true, text: d.y.name, color: color('--dim')}
	};
}

function xScale(c) {
	var d = c.data, zoom = zooms[zoomKey(c)];
	var first = xOf(c, d.points[0]), last = xOf(c, d.points[d.points.length - 1]);

	/* A first look a moment after the start: the axis begins at 0. */
	if (!d.x.log && first > 0 && first < last / 50)
		first = 0;
	var scale = {
		type: 'linear', min: zoom ? zoom[0] : first,
		max: zoom ? zoom[1] : Math.max(last, first + 1e-9),
		grid: {display: false}, border: {color: color('--edge')},
		ticks: {color: color('--dim'), maxRotation: 0, autoSkipPadding: 14,
			callback: function (v) {
				return number(d.x.log ? Math.pow(2, v) : v, d.x.bytes);
			}},
		title: {display: true, text: d.x.name, color: color('--dim')}
	};

	if (d.x.log)
		scale.afterBuildTicks = function (axis) {
			axis.ticks = d.points.map(function (p) {
				return {value: Math.log2(p)};
			});
		};
	return scale;
}

function tooltip(c) {
	var d = c.data;

	return {
		backgroundColor: color('--tip'), titleColor: color('--tipfg'),
		bodyColor: color('--tipfg'), padding: 8,
		callbacks: {
			title: function (items) {
				return items.length ? d.x.name + ': ' +
					exact(d.points[items[0].dataIndex], d.x.bytes) : '';
			},
			label: function (item) {
				return item.dataset.label + ': ' + exact(
					d.series[item.datasetIndex].values[item.dataIndex],
					d.y.bytes);
			}
		}
	};
}

function draw(c) {
	if (c.chart)
		c.chart.destroy();
	c.chart = new window.Chart(c.canvas, {
		type: 'line',
		data: {datasets: c.data.series.map(function (s, i) {
			return dataset(c, s, i);
		})},
		options: {
			animation: false, parsing: false, normalized: true,
			responsive: true, maintainAspectRatio: false,
			interaction: {mode: 'index', intersect: false, axis: 'x'},
			plugins: {legend: {display: false}, tooltip: tooltip(c)},
			scales: {x: xScale(c), y: yScale(c)}
		}
	});
}

/* The values under the pointer, and for who cannot point, by arrow keys. */
function show(c, at) {
	var d = c.data, active = [];

	c.at = Math.max(0, Math.min(d.points.length - 1, at));
	d.series.forEach(function (s, i) {
		if (!c.hidden[i])
			active.push({datasetIndex: i, index: c.at});
	});
	c.chart.setActiveElements(active);
	c.chart.tooltip.setActiveElements(active, {x: 0, y: 0});
	c.chart.update('none');
	c.said.textContent = d.x.name + ' ' + exact(d.points[c.at], d.x.bytes) +
		': ' + d.series.map(function (s) {
			return s.name + ' ' + exact(s.values[c.at], d.y.bytes);
		}).join(', ');
}

function keys(c, ev) {
	var big = Math.max(1, Math.round(c.data.points.length / 20));
	var by = {ArrowLeft: -1, ArrowRight: 1, PageUp: -big, PageDown: big}[ev.key];

	if (ev.key === 'Home')
		show(c, 0);
	else if (ev.key === 'End')
		show(c, c.data.points.length - 1);
	else if (ev.key === 'Escape')
		zoomTo(c, null);
	else if (by)
		show(c, c.at === undefined ? 0 : c.at + by);
	else
		return;
	ev.preventDefault();
}

/* A part of the axis, in all charts of the run that have it. */
function zoomTo(c, range) {
	var key = zoomKey(c);

	zooms[key] = range;
	charts.forEach(function (o) {
		if (zoomKey(o) !== key)
			return;
		o.whole.hidden = !range;
		if (o.chart)
			draw(o);
	});
}

function dragging(c, plot) {
	var from = null, mark = make('div', {'class': 'drag', hidden: ''});
	var place = function (ev) {
		var box = c.canvas.getBoundingClientRect(), area = c.chart.chartArea;

		return Math.max(area.left, Math.min(area.right, ev.clientX - box.left));
	};

	plot.appendChild(mark);
	c.canvas.addEventListener('mousedown', function (ev) {
		from = place(ev);
		ev.preventDefault();
		c.canvas.focus();
	});
	window.addEventListener('mousemove', function (ev) {
		if (from === null)
			return;
		mark.hidden = false;
		mark.style.left = Math.min(from, place(ev)) + 'px';
		mark.style.width = Math.abs(from - place(ev)) + 'px';
	});
	window.addEventListener('mouseup', function (ev) {
		var a, b;

		if (from === null)
			return;
		a = Math.min(from, place(ev));
		b = Math.max(from, place(ev));
		from = null;
		mark.hidden = true;
		if (b - a > 8)
			zoomTo(c, [c.chart.scales.x.getValueForPixel(a),
				c.chart.scales.x.getValueForPixel(b)]);
	});
	c.canvas.addEventListener('dblclick', function () { zoomTo(c, null); });
}

/* A curve's name becomes the button that hides it. */
function legend(c) {
	all('.legend li', c.figure).forEach(function (li, i) {
		var b = make('button', {type: 'button', 'aria-pressed': 'true'});

		while (li.firstChild)
			b.appendChild(li.firstChild);
		li.appendChild(b);
		b.addEventListener('click', function () {
			c.hidden[i] = !c.hidden[i];
			b.setAttribute('aria-pressed', String(!c.hidden[i]));
			draw(c);
		});
	});
}

function chart(figure) {
	var text = figure.querySelector('script');
	var plot = make('div', {'class': 'plot'});
	var c = {figure: figure, hidden: {}};

	if (!text)
		return;
	c.data = JSON.parse(text.textContent);
	c.canvas = make('canvas', {tabindex: 0, role: 'img',
		'aria-label': figure.querySelector('h3').textContent +
		'. Arrow keys tell the values; the table below has them all.'});
	plot.appendChild(c.canvas);
	c.said = make('p', {'class': 'said', 'aria-live': 'polite'});
	c.whole = make('button', {type: 'button', hidden: ''}, 'Show the whole run');
	c.whole.addEventListener('click', function () { zoomTo(c, null); });
	figure.insertBefore(plot, figure.querySelector('svg[role]'));
	figure.insertBefore(c.said, figure.querySelector('details'));
	figure.insertBefore(c.whole, c.said);
	c.canvas.addEventListener('keydown', function (ev) { keys(c, ev); });
	legend(c);
	dragging(c, plot);
	figure.classList.add('drawn');
	charts.push(c);
	figure.chartOfReport = c;
}

function visible(el) {
	return el.getClientRects().length > 0;
}

/* What has come into sight, or all again after a change of colours. */
function refresh(again) {
	charts.forEach(function (c) {
		if (visible(c.figure) && (again || !c.chart))
			draw(c);
	});
	maps.forEach(function (m) {
		if (visible(m.figure))
			paint(m);
	});
}

/* ---- the frames */

var maps = [];

function letters(packed) {
	return packed.replace(/(\d+)(\D)/g, function (all_, n, ch) {
		return ch.repeat(Number(n));
	});
}

function paint(m) {
	var cells = letters(m.data.shots[m.at].cells), ctx = m.canvas.getContext('2d');
	var width = m.canvas.clientWidth || 600, per = width < 500 ? 32 : 64;
	var size = width / per, rows = Math.ceil(cells.length / per);
	var ratio = window.devicePixelRatio || 1, fill = {};

	m.per = per;
	m.size = size;
	m.canvas.style.height = rows * size + 'px';
	m.canvas.width = Math.round(width * ratio);
	m.canvas.height = Math.round(rows * size * ratio);
	ctx.scale(ratio, ratio);
	ctx.textAlign = 'center';
	ctx.textBaseline = 'middle';
	ctx.font = Math.round(size * 0.8) + 'px ui-monospace,monospace';
	m.data.uses.forEach(function (u, i) { fill[u.letter] = color('--u' + i); });
	for (var i = 0; i < cells.length; i++) {
		var x = i % per * size, y = Math.floor(i / per) * size;

		if (!fill[cells[i]])
			continue;
		ctx.fillStyle = fill[cells[i]];
		ctx.fillRect(x, y, size - 0.6, size - 0.6);
		if (m.letters.checked && cells[i] !== '.') {
			ctx.fillStyle = dark(fill[cells[i]]) ? '#fff' : '#000';
			ctx.fillText(cells[i], x + size / 2, y + size / 2);
		}
	}
	m.cells = cells;
}

function dark(hex) {
	var v = parseInt(hex.length === 4 ? hex.replace(/#(.)(.)(.)/, '$1$1$2$2$3$3')
		: hex.slice(1), 16);

	return (v >> 16) * 3 + (v >> 8 & 255) * 6 + (v & 255) < 1280;
}

function count(m) {
	var n = {};

	m.cells.split('').forEach(function (ch) { n[ch] = (n[ch] || 0) + 1; });
	all('.uses output', m.figure).forEach(function (o) {
		var there = m.cells.length - (n['-'] || 0);
		var part = (n[o.getAttribute('data-letter')] || 0) / (there || 1);

		o.textContent = (100 * part).toFixed(part && part < 0.1 ? 1 : 0) + ' %';
	});
}

function moment(m, at) {
	var shot = m.data.shots[at];

	m.at = at;
	m.slider.value = at;
	m.slider.setAttribute('aria-valuetext', m.data.x + ' ' + number(shot.x, false));
	m.output.textContent = m.data.x + ' ' + number(shot.x, false) +
		(shot.ms === undefined ? '' : ' (' + number(shot.ms, false) + ' ms)');
	paint(m);
	count(m);
}

function pointed(m, ev) {
	var box = m.canvas.getBoundingClientRect();
	var col = Math.floor((ev.clientX - box.left) / m.size);
	var i = Math.floor((ev.clientY - box.top) / m.size) * m.per + col;
	var use = m.data.uses.find(function (u) { return u.letter === m.cells[i]; });
	var frames = Math.pow(2, m.data.order);

	m.said.textContent = use && col < m.per ? (frames > 1 ? 'frames ' : 'frame ') +
		i * frames + (frames > 1 ? ' to ' + ((i + 1) * frames - 1) : '') +
		', at 0x' + (i * frames * 4096).toString(16) + ': ' + use.name : '';
}

/* Where the least is free, there is the most to see. */
function fullest(shots) {
	var free = shots.map(function (s) {
		return letters(s.cells).replace(/[^.]/g, '').length;
	});

	return free.indexOf(Math.min.apply(null, free));
}

function playing(m, play) {
	var timer = null;

	play.addEventListener('click', function () {
		if (timer) {
			clearInterval(timer);
			timer = null;
			play.textContent = 'Play';
			return;
		}
		if (m.at === m.data.shots.length - 1)
			moment(m, 0);
		play.textContent = 'Stop';
		timer = setInterval(function () {
			if (m.at < m.data.shots.length - 1)
				moment(m, m.at + 1);
			else
				play.click();
		}, 300);
	});
}

function frames(figure) {
	var m = {figure: figure, at: 0}, bar = make('div', {'class': 'moment'});
	var play = make('button', {type: 'button'}, 'Play');
	var label = make('label', {}, ' letters');

	m.data = JSON.parse(figure.querySelector('script').textContent);
	m.slider = make('input', {type: 'range', min: 0, step: 1,
		max: m.data.shots.length - 1, 'aria-label': 'moment of the run'});
	m.output = make('output', {});
	m.letters = make('input', {type: 'checkbox'});
	label.insertBefore(m.letters, label.firstChild);
	m.canvas = make('canvas', {'class': 'ram', role: 'img', 'aria-label':
		'What each frame of memory is used for; the shares stand in the legend.'});
	m.said = make('p', {'class': 'said'});
	[play, m.slider, m.output, label].forEach(function (e) { bar.appendChild(e); });
	figure.insertBefore(bar, figure.querySelector('.still'));
	figure.insertBefore(m.canvas, figure.querySelector('.still'));
	figure.insertBefore(m.said, figure.querySelector('details'));
	all('.uses li', figure).forEach(function (li) {
		li.appendChild(make('output', {'data-letter': li.getAttribute('data-letter')}));
	});
	figure.classList.add('drawn');
	m.slider.addEventListener('input', function () { moment(m, Number(m.slider.value)); });
	m.letters.addEventListener('change', function () { paint(m); });
	m.canvas.addEventListener('mousemove', function (ev) { pointed(m, ev); });
	playing(m, play);
	maps.push(m);
	moment(m, fullest(m.data.shots));
}

/* ---- tabs, runs, colours */

var tabs = all('.tabs a');

function select(tab, focus) {
	tabs.forEach(function (t) {
		var on = t === tab, panel = document.querySelector(t.getAttribute('href'));

		t.setAttribute('aria-selected', String(on));
		t.tabIndex = on ? 0 : -1;
		panel.classList.toggle('off', !on);
	});
	if (focus)
		tab.focus();
	tab.scrollIntoView({block: 'nearest', inline: 'nearest'});
	refresh();
}

function tabKeys(ev) {
	var i = tabs.indexOf(ev.currentTarget), to = {
		ArrowRight: i + 1, ArrowLeft: i - 1 + tabs.length, Home: 0,
		End: tabs.length - 1}[ev.key];

	if (ev.key === ' ')
		to = i;
	if (to === undefined)
		return;
	ev.preventDefault();
	select(tabs[to % tabs.length], true);
}

function startTabs() {
	var nav = document.querySelector('.tabs');

	if (!nav)
		return;
	nav.setAttribute('role', 'tablist');
	tabs.forEach(function (t) {
		var panel = document.querySelector(t.getAttribute('href'));

		t.setAttribute('role', 'tab');
		t.setAttribute('aria-controls', panel.id);
		panel.setAttribute('role', 'tabpanel');
		panel.setAttribute('aria-labelledby', t.id);
		t.addEventListener('keydown', tabKeys);
		t.addEventListener('click', function (ev) {
			ev.preventDefault();
			history.replaceState(null, '', t.getAttribute('href'));
			select(t);
		});
	});
	select(tabs.find(function (t) {
		return t.getAttribute('href') === location.hash;
	}) || tabs[0]);
}

function choose(nr) {
	all('[data-run]').forEach(function (e) {
		e.classList.toggle('off', e.getAttribute('data-run') !== nr);
	});
	refresh();
}

function startRuns(tools) {
	var names = JSON.parse(document.body.getAttribute('data-runs') || '[]');
	var label = make('label', {}, 'Run: '), list = make('select', {});

	if (names.length < 2)
		return;
	names.forEach(function (n, i) {
		list.appendChild(make('option', {value: i + 1}, n));
	});
	list.addEventListener('change', function () { choose(list.value); });
	label.appendChild(list);
	tools.appendChild(label);
	choose('1');
}

function startColors(tools) {
	var order = ['as the system', 'light', 'dark'], at = 0;
	var b = make('button', {type: 'button'});
	var set = function () {
		b.textContent = 'Colours: ' + order[at];
		if (at)
			root.setAttribute('data-theme', order[at]);
		else
			root.removeAttribute('data-theme');
		refresh(true);
	};

	b.addEventListener('click', function () {
		at = (at + 1) % 3;
		set();
	});
	tools.appendChild(b);
	set();
	if (window.matchMedia)
		matchMedia('(prefers-color-scheme: dark)').addEventListener('change',
			function () { refresh(true); });
}

/* On paper nothing is folded up. */
function startPrinting() {
	var opened = [];

	window.addEventListener('beforeprint', function () {
		opened = all('details:not([open])');
		opened.forEach(function (d) { d.open = true; });
	});
	window.addEventListener('afterprint', function () {
		opened.forEach(function (d) { d.open = false; });
	});
}

root.classList.add('js');
var tools = document.querySelector('.tools');
if (window.Chart)
	all('figure.chart').forEach(chart);
all('figure.frames').forEach(frames);
if (tools) {
	startRuns(tools);
	startColors(tools);
}
startTabs();
startPrinting();
window.addEventListener('resize', function () {
	maps.forEach(function (m) {
		if (visible(m.figure))
			paint(m);
	});
});
})();
