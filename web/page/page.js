// The page: it draws, and asks the Worker for all that computes.
const $ = (id) => document.getElementById(id);
const worker = new Worker('worker.js', { type: 'module' });
const waiting = new Map();
let asked = 0;

// Asks the Worker, and gives its answer.
function ask(command, ...args) {
  return new Promise((resolve, reject) => {
    waiting.set(++asked, { resolve, reject });
    worker.postMessage({ id: asked, command, args });
  });
}

function fail(error) {
  $('error').hidden = false;
  $('error').textContent = String(error.message ?? error);
}

// The page cannot go on; an error of the library has a name of its kind.
function closed(error) {
  $('adapter').textContent = error.name === 'NoAdapter' ? 'No GPU for this page.' : 'This page did not start.';
  fail(error);
}

let opened = false;
worker.onerror = (event) => (opened ? fail : closed)(event.message || 'The Worker did not start.');
worker.onmessage = ({ data }) => {
  if (data.id) {
    const { resolve, reject } = waiting.get(data.id);
    waiting.delete(data.id);
    return data.error ? reject(Object.assign(new Error(data.error), { name: data.name })) : resolve(data.result);
  }
  if (data.error) {
    label(data.stopped, false);
    return fail(data.error);
  }
  if (data.points) showPoints(data.points);
  if (data.digits) showDigits(data.digits);
};

// What the button of a network does next.
const label = (name, on) => ($(`${name}-train`).textContent = on ? 'Pause' : 'Train');

// Losses of each network with their steps.
const losses = { points: [], digits: [] };

// Keeps the losses at the beginning of 200 to 400 equal parts of all steps, and the last one. After no step the weights are new.
function keep(name, now, more) {
  const all = now.steps ? [...losses[name], ...more] : [];
  const steps = 2 ** Math.max(0, Math.ceil(Math.log2(now.steps / 400)));
  const part = (i) => Math.floor(all[i][0] / steps);
  losses[name] = all.filter((_, i) => !i || i === all.length - 1 || part(i) !== part(i - 1));
  curve($(`${name}-curve`), losses[name]);
}

// A curve of losses over steps, with a logarithmic axis of losses.
function curve(canvas, losses) {
  const g = canvas.getContext('2d');
  const { width, height } = canvas;
  g.clearRect(0, 0, width, height);
  if (losses.length < 2) return;
  const logs = losses.map(([, loss]) => Math.log10(Math.max(loss, 1e-6)));
  const [last, now] = losses.at(-1);
  const low = Math.min(...logs), high = Math.max(...logs, low + 0.1);
  g.strokeStyle = '#2f6fdb';
  g.lineWidth = 3;
  g.beginPath();
  logs.forEach((value, i) => {
    const x = (losses[i][0] / last) * (width - 8) + 4;
    g.lineTo(x, height - 8 - ((value - low) / (high - low)) * (height - 16));
  });
  g.stroke();
  g.fillStyle = '#888';
  g.font = '20px system-ui, sans-serif';
  g.textAlign = 'right';
  g.fillText(`loss ${short(now)}`, width - 10, 26);
}

// Two classes.
const plane = $('plane').getContext('2d');
const grid = new OffscreenCanvas(1, 1).getContext('2d');
let points = [], classes = [], pen = 0, regions = null;

const colour = [[47, 111, 219], [224, 123, 26]];
function drawPlane() {
  const size = plane.canvas.width;
  plane.clearRect(0, 0, size, size);
  if (regions) {
    const side = Math.sqrt(regions.length);
    const image = new ImageData(side, side);
    regions.forEach((p, i) => {
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = colour[0][c] * (1 - p) + colour[1][c] * p;
      image.data[4 * i + 3] = 40 + 160 * Math.abs(2 * p - 1);
    });
    Object.assign(grid.canvas, { width: side, height: side });
    grid.putImageData(image, 0, 0);
    plane.drawImage(grid.canvas, 0, 0, size, size);
  }
  drawPoints();
}

function drawPoints() {
  const size = plane.canvas.width;
  classes.forEach((c, i) => {
    plane.beginPath();
    plane.arc((points[2 * i] + 1) * size / 2, (1 - points[2 * i + 1]) * size / 2, 9, 0, 7);
    plane.fillStyle = `rgb(${colour[c]})`;
    plane.fill();
    plane.lineWidth = 2.5;
    plane.strokeStyle = '#fff';
    plane.stroke();
  });
}

function sendPoints() {
  if (!classes.length) regions = null;
  drawPlane();
  worker.postMessage({ points: new Float32Array(points), classes: new Uint8Array(classes) });
}

function example(name) {
  points = [];
  classes = [];
  const add = (x, y, c) => { points.push(x, y); classes.push(c); };
  let seed = 1;
  const noise = () => (seed = (seed * 16807) % 2147483647) / 2147483647 - 0.5;
  for (let i = 0; i < 60; i++) {
    const c = i % 2, t = i / 60;
    if (name === 'xor') {
      const x = i & 2 ? 0.5 : -0.5, y = (i & 2 ? 0.5 : -0.5) * (c ? -1 : 1);
      add(x + noise() * 0.6, y + noise() * 0.6, c);
    } else if (name === 'rings') {
      const r = (c ? 0.35 : 0.8) + noise() * 0.15, a = t * 12.6;
      add(r * Math.cos(a), r * Math.sin(a), c);
    } else if (name === 'spirals') {
      const a = t * 9 + Math.PI * c, r = 0.1 + 0.8 * t;
      add(r * Math.cos(a), r * Math.sin(a), c);
    }
  }
  sendPoints();
}

function showPoints(now) {
  // Without points there are no classes to be shown.
  regions = classes.length ? now.regions : null;
  drawPlane();
  keep('points', now, now.losses.map((loss, i) => [now.steps - now.losses.length + 1 + i, loss]));
  $('points-numbers').textContent = numbers(now, now.losses.at(-1));
}

// Steps, loss and speed, as far as there are some.
function numbers(now, loss) {
  const parts = [`step ${now.steps.toLocaleString()}`];
  if (now.steps && loss !== undefined) parts.push(`loss ${short(loss)}`);
  if (now.steps && now.rate) parts.push(`${rate(now.rate)} steps per second`);
  return parts.join(', ');
}

const short = (value) => (value < 1e-3 ? value.toExponential(2) : value.toPrecision(3));
const rate = (value) => value.toLocaleString(undefined, { maximumFractionDigits: value < 10 ? 1 : 0 });

function pressed(c) {
  pen = c;
  $('class-0').setAttribute('aria-pressed', c === 0);
  $('class-1').setAttribute('aria-pressed', c === 1);
}

$('class-0').onclick = () => pressed(0);
$('class-1').onclick = () => pressed(1);
$('example').onchange = () => example($('example').value);
strokes($('plane'), (x, y) => {
  const n = classes.length, near = Math.hypot(2 * x - 1 - points[2 * n - 2], 1 - 2 * y - points[2 * n - 1]);
  if (near < 0.05 && classes[n - 1] === pen) return;
  points.push(2 * x - 1, 1 - 2 * y);
  classes.push(pen);
  sendPoints();
});

// Calls `at` with places from 0 to 1 while a pointer draws.
function strokes(canvas, at, begin = () => {}) {
  let down = false;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    at((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  };
  canvas.addEventListener('pointerdown', (event) => {
    // One finger, or the first button.
    if (!event.isPrimary || event.button) return;
    down = true;
    canvas.setPointerCapture(event.pointerId);
    begin();
    place(event);
  });
  canvas.addEventListener('pointermove', (event) => down && event.isPrimary && place(event));
  for (const end of ['pointerup', 'pointercancel']) canvas.addEventListener(end, () => (down = false));
}

// Digits.
const pad = $('pad').getContext('2d', { willReadFrequently: true });
let last = null;
const bars = Array.from({ length: 10 }, (_, digit) => {
  const item = document.createElement('li');
  item.innerHTML = `<span>${digit}</span><meter min="0" max="1" value="0"></meter>`;
  $('bars').append(item);
  return item;
});

function clearPad() {
  pad.clearRect(0, 0, 280, 280);
  bars.forEach((item) => { item.className = ''; item.lastChild.value = 0; });
}

strokes($('pad'), (x, y) => {
  pad.lineWidth = 22;
  pad.lineCap = pad.lineJoin = 'round';
  pad.strokeStyle = '#fff';
  pad.beginPath();
  pad.moveTo(...(last ?? [280 * x, 280 * y]));
  pad.lineTo(280 * x, 280 * y);
  pad.stroke();
  last = [280 * x, 280 * y];
  recognise();
}, () => (last = null));
$('pad-clear').onclick = clearPad;

// The pad as MNIST has its digits: in a box of 20 pixels, with the centre of mass in the middle of 28.
function image() {
  const { data } = pad.getImageData(0, 0, 280, 280);
  let [left, top, right, bottom, mass, mx, my] = [280, 280, 0, 0, 0, 0, 0];
  for (let i = 3; i < data.length; i += 4) {
    if (!data[i]) continue;
    const x = ((i - 3) / 4) % 280, y = Math.floor((i - 3) / 4 / 280);
    left = Math.min(left, x); right = Math.max(right, x);
    top = Math.min(top, y); bottom = Math.max(bottom, y);
    mass += data[i]; mx += x * data[i]; my += y * data[i];
  }
  if (!mass) return null;
  const scale = 20 / (Math.max(right - left, bottom - top) + 1);
  const small = new OffscreenCanvas(28, 28).getContext('2d');
  small.imageSmoothingQuality = 'high';
  small.drawImage(pad.canvas, 14 - (mx / mass) * scale, 14 - (my / mass) * scale, 280 * scale, 280 * scale);
  return small.getImageData(0, 0, 28, 28).data.filter((_, i) => i % 4 === 3);
}

let recognising = false, again = false;
async function recognise() {
  const now = image();
  if (!now || !opened) return;
  if (recognising) return void (again = true);
  recognising = true;
  try {
    const shares = await ask('recognise', new Uint8Array(now));
    const best = shares.indexOf(Math.max(...shares));
    bars.forEach((item, digit) => {
      item.className = digit === best ? 'best' : '';
      item.lastChild.value = shares[digit];
    });
  } catch (error) {
    fail(error);
  }
  recognising = false;
  if (again) { again = false; recognise(); }
}

function showDigits(now) {
  keep('digits', now, now.loss === undefined ? [] : [[now.steps, now.loss]]);
  $('digits-numbers').textContent = numbers(now, now.loss) +
    `; of 500 other digits ${(100 * now.test).toFixed(1)} % recognised`;
  if (!recognising) recognise();
}

// Lets a network train, or pause.
function run(name, on) {
  $('error').hidden = true;
  label(name, on);
  return ask('run', name, on);
}

// Both networks have the same buttons.
for (const name of ['points', 'digits']) {
  const on = (id, event, what) => $(`${name}-${id}`).addEventListener(event, (e) => Promise.resolve(what(e)).catch(fail));
  on('train', 'click', (event) => run(name, event.currentTarget.textContent === 'Train'));
  on('reset', 'click', () => ask('reset', name));
  on('save', 'click', async () => {
    const bytes = await ask('save', name);
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([bytes]));
    link.download = `${name}.safetensors`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
  on('load', 'change', async (event) => {
    const input = event.currentTarget;
    const bytes = new Uint8Array(await input.files[0].arrayBuffer());
    input.value = '';
    await ask('load', name, bytes);
    $('error').hidden = true;
  });
}

example('xor');
ask('open').then((adapter) => {
  opened = true;
  $('adapter').textContent = `Adapter: ${adapter}`;
  for (const name of ['points', 'digits']) {
    for (const id of ['train', 'reset', 'save', 'load']) $(`${name}-${id}`).disabled = false;
  }
  // Something is learned before anything is pressed.
  return run('points', true);
}).catch(closed);

// For tests of the page.
globalThis.wgrad = { ask, losses, drawn: () => ({ points, classes }) };
