// Charts from the JSON beside them, in the page's own colours. The library (1.1 MB) is fetched only where a chart is.
let library = null;
const drawn = new Map(); // area → chart

function load(src) {
  library ??= new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = src;
    script.onload = () => resolve(window.echarts);
    script.onerror = reject;
    document.head.append(script);
  });
  return library;
}

function tones() {
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(name).trim();
  return {
    text: get('--desk-text-soft'), line: get('--desk-line'), surface: get('--desk-surface'),
    active: get('--desk-chart-1'), plain: get('--desk-chart-2'), second: get('--desk-chart-3'),
    good: get('--desk-good'), danger: get('--desk-danger'), waiting: get('--desk-waiting-mark'), ended: get('--desk-chart-2'),
  };
}

// A heat map mixes its colours and must read them, which it cannot where they are written as light-dark(…).
function solid(colour) {
  const probe = document.createElement('span');
  probe.style.color = colour;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const number = new Intl.NumberFormat('zh-CN');
const yuan = new Intl.NumberFormat('zh-CN', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
function written(value, unit) {
  if (value === null || value === undefined || value === '-') return '—';
  if (unit === 'money') return `${value < 0 ? '-' : ''}¥${yuan.format(Math.abs(value))}`;
  if (unit === 'percent') return `${number.format(Math.round(value * 1000) / 10)}%`;
  return number.format(value);
}
function short(value, unit) {
  if (unit === 'percent') return `${Math.round(value * 100)}%`;
  const mark = unit === 'money' ? '¥' : '';
  const size = Math.abs(value);
  const text = size >= 10000 ? `${number.format(value / 10000)}万` : number.format(value);
  return text.startsWith('-') ? `-${mark}${text.slice(1)}` : mark + text;
}

function option(spec, colour) {
  const { unit } = spec;
  const axis = {
    axisLine: { lineStyle: { color: colour.line } }, axisTick: { show: false },
    axisLabel: { color: colour.text, fontSize: 12 }, splitLine: { lineStyle: { color: colour.line } },
  };
  const base = {
    // Nothing moves without cause; rich text because a tooltip in HTML would need inline styles, which the CSP forbids.
    animation: false,
    textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
    grid: { left: 4, right: 12, top: spec.series?.length > 1 ? 32 : 12, bottom: 4, containLabel: true },
    tooltip: {
      trigger: spec.kind === 'heat' ? 'item' : 'axis', renderMode: 'richText', confine: true, axisPointer: { type: 'line' },
      backgroundColor: colour.surface, borderColor: colour.line, textStyle: { color: colour.text, fontSize: 12 },
    },
  };
  if (spec.kind === 'heat') {
    // Where there is nothing to measure the cell stays empty, which is not the same as nothing.
    const cells = spec.rows.flatMap((row, y) => row.data.flatMap((value, x) => (value === null ? [] : [[x, y, Number(value)]])));
    return {
      ...base,
      xAxis: { type: 'category', data: spec.labels, ...axis }, yAxis: { type: 'category', data: spec.rows.map((row) => row.name), inverse: true, ...axis },
      visualMap: { show: false, min: 0, max: Math.max(1, ...cells.map((cell) => cell[2])), inRange: { color: [solid(colour.surface), solid(colour.active)] } },
      tooltip: { ...base.tooltip, formatter: ({ value }) => `${spec.rows[value[1]].name} ${spec.labels[value[0]]}  ${written(value[2], unit)}` },
      series: [{ type: 'heatmap', data: cells, itemStyle: { borderWidth: 2, borderColor: colour.surface } }],
    };
  }
  const order = ['active', 'plain', 'second'];
  return {
    ...base,
    legend: { show: spec.series.length > 1, left: 0, top: 0, itemWidth: 12, itemHeight: 8, textStyle: { color: colour.text, fontSize: 12 } },
    // Few words are all written where they have the room; of many days every second or third is enough.
    xAxis: { type: 'category', data: spec.labels, ...axis, splitLine: { show: false }, axisLabel: { ...axis.axisLabel, ...(spec.labels.length <= 8 ? { interval: 0, hideOverlap: true } : {}) } },
    // There is no half of a family.
    yAxis: { type: 'value', ...(unit === 'percent' ? { max: 1, interval: 0.25 } : unit === 'count' ? { minInterval: 1 } : {}), ...axis, axisLine: { show: false }, splitNumber: 4, axisLabel: { ...axis.axisLabel, formatter: (value) => short(value, unit) } },
    tooltip: { ...base.tooltip, valueFormatter: (value) => written(value, unit) },
    series: spec.series.map((series, index) => ({
      name: series.name,
      type: spec.kind === 'line' ? 'line' : 'bar',
      stack: spec.kind === 'stack' ? 'all' : undefined,
      data: series.data.map((value) => (value === null ? '-' : Number(value))),
      color: colour[series.tone] ?? colour[order[index % order.length]],
      barMaxWidth: 28, lineStyle: { width: 2 }, symbol: 'circle', symbolSize: 5, showSymbol: series.data.length < 32,
    })),
  };
}

// The same as a table: read aloud instead of the picture, and shown where it cannot be drawn.
function tabulate(figure, spec) {
  if (figure.querySelector('.chart-figures')) return;
  const box = document.createElement('div');
  box.className = 'chart-figures';
  const table = box.appendChild(document.createElement('table'));
  table.setAttribute('aria-label', figure.querySelector('figcaption strong').textContent);
  const put = (row, tag, text, scope) => {
    const cell = row.appendChild(document.createElement(tag));
    cell.textContent = text;
    if (scope) cell.scope = scope;
  };
  const head = table.createTHead().insertRow();
  put(head, 'td', '');
  for (const label of spec.labels) put(head, 'th', label, 'col');
  const body = table.createTBody();
  for (const { name, data } of spec.rows ?? spec.series) {
    const row = body.insertRow();
    put(row, 'th', name, 'row');
    for (const value of data) put(row, 'td', written(value === null ? null : Number(value), spec.unit));
  }
  figure.append(box);
}

async function draw(figure) {
  const area = figure.querySelector('.chart-area');
  const spec = JSON.parse(document.getElementById(figure.dataset.chart).textContent);
  tabulate(figure, spec);
  const echarts = await load(figure.dataset.chartLib);
  drawn.get(area)?.dispose();
  const chart = echarts.init(area, null, { renderer: 'svg' });
  chart.setOption(option(spec, tones()));
  drawn.set(area, chart);
  sizes.observe(area);
}

const sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => drawn.get(target)?.resize()));

function drawAll(root) {
  root.querySelectorAll?.('[data-chart]').forEach((figure) => {
    if (drawn.has(figure.querySelector('.chart-area'))) return;
    draw(figure).catch(() => figure.classList.add('is-missing'));
  });
}
document.addEventListener('htmx:load', (event) => drawAll(event.detail.elt));
document.addEventListener('htmx:beforeCleanupElement', ({ target }) => {
  const area = target.classList?.contains('chart-area') && target;
  if (!area) return;
  drawn.get(area)?.dispose();
  drawn.delete(area);
});
document.addEventListener('desk:theme', () => drawn.forEach((_, area) => draw(area.closest('[data-chart]'))));
drawAll(document);
