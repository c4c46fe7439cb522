// Drives the page in headless Chromium: node test.mjs CHROMIUM ADDRESS SHADERS PICTURES XOR-STEPS MNIST-STEPS
// What it saw goes to standard output, as JSON.
import { chromium } from 'playwright-core';
import fs from 'node:fs';
import path from 'node:path';

const [executablePath, address, shaders, pictures, xorSteps, mnistSteps] = process.argv.slice(2);
const args = ['--no-sandbox', '--no-first-run', '--disable-background-networking', '--disable-component-update',
  '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];
const browser = await chromium.launch({ executablePath, headless: true, args });
const seen = { errors: [] };
const note = (...words) => console.error(`driver: ${((performance.now()) / 1000).toFixed(1)} s`, ...words);

// A page of this size, narrow ones with a touch screen; `routes` answer in place of the server.
async function tab(size, routes = {}) {
  const page = await (await browser.newContext({ viewport: size, hasTouch: size.width < 500, acceptDownloads: true })).newPage();
  page.setDefaultTimeout(600_000);
  for (const [path, answer] of Object.entries(routes)) await page.route(path, answer);
  return page;
}

// The page as a person opens it: at once it begins to learn, which `learns` times.
async function open(size) {
  const page = await tab(size);
  page.on('pageerror', (error) => seen.errors.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && seen.errors.push(message.text()));
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(address) && !/^(blob|data):/.test(url)) seen.errors.push(`a request to ${url}`);
  });
  const began = performance.now();
  await page.goto(address);
  await page.waitForFunction(() => {
    const losses = globalThis.wgrad?.losses.points.map(([, loss]) => loss) ?? [];
    const text = document.getElementById('points-numbers').textContent;
    return losses.at(-1) < losses[0] / 2 && /loss [\d.]/.test(text);
  });
  page.learns = seconds(began);
  return page;
}

const seconds = (began) => +((performance.now() - began) / 1000).toFixed(2);
const ask = (page, ...command) => page.evaluate(async (command) => {
  const answer = await wgrad.ask(...command);
  return ArrayBuffer.isView(answer) ? [...answer] : answer;
}, command);
const train = (page, name, ...steps) => page.workers()[0].evaluate(([name, steps]) => losses[name](...steps), [name, steps]);
const text = (page, id) => page.textContent(`#${id}`);
const says = (page, id, pattern) => page.waitForFunction(([id, pattern]) => new RegExp(pattern).test(document.getElementById(id).textContent), [id, pattern]);
const plane = (page) => page.evaluate(() => document.getElementById('plane').toDataURL());
// Whether the plane comes to be this picture, or another one.
const becomes = (page, same, picture) => page.waitForFunction(([same, picture]) => (document.getElementById('plane').toDataURL() === picture) === same,
  [same, picture], { timeout: 60_000 }).then(() => true, () => false);
// Keeps a picture, and gives the shares of it that are blue and orange.
async function keep(page, name) {
  const picture = await page.screenshot({ path: path.join(pictures, name) });
  return page.evaluate(async (picture) => {
    const bitmap = await createImageBitmap(await (await fetch(picture)).blob());
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height), counts = [0, 0];
    for (let i = 0; i < data.length; i += 4) {
      if (data[i + 2] > data[i] + 60) counts[0]++;
      if (data[i] > data[i + 2] + 60) counts[1]++;
    }
    return counts.map((count) => count / (bitmap.width * bitmap.height));
  }, `data:image/png;base64,${picture.toString('base64')}`);
}

let page = await open({ width: 1100, height: 1100 });
seen.adapter = await text(page, 'adapter');
seen.learns = page.learns;
note(seen.adapter, 'learns after', seen.learns);
await page.click('#points-train');
seen.first_steps = [];
for (const name of ['points', 'digits']) {
  const began = performance.now();
  await train(page, name, 1, 1);
  seen.first_steps.push(seconds(began));
}
note('first steps', seen.first_steps);
seen.xor = await train(page, 'points', +xorSteps);
note('xor', seen.xor.at(-1));
seen.mnist = await train(page, 'digits', mnistSteps / 10, 10);
note('mnist', seen.mnist.at(-1));

// As a person does: a stroke of each colour on an empty plane; then both networks train, and a digit is drawn.
async function stroke(canvas, places) {
  const box = await (await page.$(canvas)).boundingBox();
  const at = ([x, y]) => [box.x + x * box.width, box.y + y * box.height];
  await page.mouse.move(...at(places[0]));
  await page.mouse.down();
  for (const place of places.slice(1)) await page.mouse.move(...at(place), { steps: 12 });
  await page.mouse.up();
}
await page.selectOption('#example', 'none');
for (const [button, x] of [['#class-0', 0.2], ['#class-1', 0.8]]) {
  await page.click(button);
  await stroke('#plane', [[x, 0.2], [x, 0.8]]);
}
const { points, classes } = await page.evaluate(() => wgrad.drawn());
seen.points = classes.map((c, i) => [points[2 * i], points[2 * i + 1], c]);
note('points drawn', classes.length);
await page.selectOption('#example', 'spirals');
await page.click('#points-train');
await page.click('#digits-train');
await says(page, 'digits-numbers', '9\\d\\.\\d % recognised');
// While both train: the page's own tasks above 50 ms, which a person may notice, and what passes between pictures.
await page.evaluate(() => {
  globalThis.watched = { tasks: [], frames: [] };
  new PerformanceObserver((list) => watched.tasks.push(...list.getEntries().map((task) => task.duration))).observe({ type: 'longtask' });
  let before;
  const frame = (now) => {
    if (before) watched.frames.push(now - before);
    before = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
});
await stroke('#pad', [[0.3, 0.25], [0.7, 0.25], [0.45, 0.8]]);
await page.waitForSelector('#bars .best');
await page.waitForTimeout(15_000);
const { tasks, frames } = await page.evaluate(() => watched);
frames.sort((a, b) => a - b);
seen.longest_task = Math.round(Math.max(0, ...tasks));
seen.frames = [0.5, 0.95].map((share) => Math.round(frames[Math.floor(share * frames.length)]));
note('longest task', seen.longest_task, 'ms of', tasks.length, '| ms between pictures, median and of 95 %', seen.frames, 'of', frames.length);
await page.click('#digits-train');
await page.click('#points-train');
await page.waitForTimeout(2_000);
const perSecond = async (id) => +((await text(page, id)).match(/([\d.,]+) steps per second/) ?? [0, 'NaN'])[1].replace(/,/g, '');
seen.rates = [await perSecond('points-numbers'), await perSecond('digits-numbers')];
seen.drawn = await page.textContent('#bars .best');
const curves = await page.evaluate(() => wgrad.losses);
seen.curves = ['points', 'digits'].map((name) => curves[name].map(([step]) => step));
const shown = async (name) => +(await text(page, `${name}-numbers`)).match(/^step ([\d,]+)/)[1].replace(/,/g, '');
seen.steps = [await shown('points'), await shown('digits')];
note(await text(page, 'points-numbers'), '|', await text(page, 'digits-numbers'), '| drawn', seen.drawn);
seen.colours = [await keep(page, 'page.png')];

// Weights in a file, and back into fresh ones; the page shows both, though nothing trains.
async function saved(name) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click(`#${name}-save`)]);
  const file = path.join(pictures, `${name}.safetensors`);
  await download.saveAs(file);
  return file;
}
const file = await saved('points');
const [before, regions] = [await ask(page, 'save', 'points'), await plane(page)];
await page.click('#points-reset');
seen.shows_new = (await becomes(page, false, regions)) && (await text(page, 'points-numbers')) === 'step 0' &&
  (await page.evaluate(() => !wgrad.losses.points.length));
const fresh = await ask(page, 'save', 'points');
await page.setInputFiles('#points-load', file);
seen.shows_loaded = await becomes(page, true, regions);
const after = await ask(page, 'save', 'points');
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
seen.weights = [same(before, after) && !same(before, fresh)];
// Those of digits: the share that is recognised falls, and comes back.
const trained = await ask(page, 'save', 'digits');
const digits = await saved('digits');
await page.click('#digits-reset');
await says(page, 'digits-numbers', '^step 0; .* [0-4]?\\d\\.\\d % recognised');
await page.setInputFiles('#digits-load', digits);
await says(page, 'digits-numbers', '^step 0; .* 9\\d\\.\\d % recognised');
seen.weights.push(same(trained, await ask(page, 'save', 'digits')));
// Without points nothing is left of the regions.
await page.selectOption('#example', 'none');
seen.empty = await page.evaluate(() => {
  const { width, height } = document.getElementById('plane');
  return document.getElementById('plane').getContext('2d').getImageData(0, 0, width, height).data.every((byte) => !byte);
});
seen.in_flight = await page.workers()[0].evaluate(() => mostInFlight());
note('weights', ...seen.weights, 'shown', seen.shows_new, seen.shows_loaded, seen.empty, 'in flight', seen.in_flight);
await page.context().close();

// A phone.
page = await open({ width: 390, height: 1500 });
const wide = await page.evaluate(() => document.documentElement.scrollWidth);
if (wide > 390) seen.errors.push(`the page is ${wide} wide on a phone of 390`);
await page.click('#points-train');
// A finger draws on the plane, and the page, which is higher than the screen now, stays where it is.
await page.setViewportSize({ width: 390, height: 700 });
await page.evaluate(() => document.getElementById('plane').scrollIntoView());
const scrolled = () => page.evaluate(() => [scrollY, document.documentElement.scrollHeight > innerHeight + scrollY]);
const [from, more] = await scrolled();
if (!more) seen.errors.push('the page has nothing below a low screen');
const finger = await page.context().newCDPSession(page);
const box = await (await page.$('#plane')).boundingBox(), some = (await page.evaluate(() => wgrad.drawn().classes)).length;
for (let i = 0; i < 8; i++) {
  const touchPoints = [{ x: box.x + box.width / 2, y: box.y + box.height * (0.2 + 0.08 * i) }];
  await finger.send('Input.dispatchTouchEvent', { type: i ? 'touchMove' : 'touchStart', touchPoints });
}
await finger.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] });
seen.touched = (await page.evaluate(() => wgrad.drawn().classes)).length - some;
if ((await scrolled())[0] !== from) seen.errors.push('a finger on the plane moves the page');
await page.setViewportSize({ width: 390, height: 1500 });
await page.evaluate(() => scrollTo(0, 0));
note('points by a finger', seen.touched);
seen.colours.push(await keep(page, 'page-phone.png'));
// Kernels that the browser refuses: the error has their names, and the button asks for the next try.
const noted = seen.errors.length;
await page.workers()[0].evaluate(() => (globalThis.broken = 'matmul'));
await page.click('#digits-train');
await page.waitForSelector('#error:visible');
seen.late = await text(page, 'error');
seen.stopped = await text(page, 'digits-train');
seen.errors.length = noted;
note('late:', seen.late.slice(0, 200), '| the button:', seen.stopped);

// What the page says if there is no WebGPU, and if a part of it is missing.
const ends = async (routes) => {
  const page = await tab({ width: 800, height: 800 }, routes);
  await page.goto(address);
  await page.waitForSelector('#error:visible');
  const words = [await text(page, 'adapter'), await text(page, 'error')];
  await page.context().close();
  return words;
};
seen.no_gpu = await ends({ '**/worker.js': async (route) => {
  const worker = await route.fetch();
  const without = "Object.defineProperty(Object.getPrototypeOf(navigator), 'gpu', { value: undefined });\n";
  await route.fulfill({ response: worker, body: without + (await worker.text()) });
} });
seen.no_program = await ends({ '**/*.wasm.lzma': (route) => route.fulfill({ status: 404, body: '' }) });
seen.cut_off = await ends({ '**/*.wasm.lzma': async (route) => {
  const whole = await route.fetch();
  await route.fulfill({ response: whole, body: (await whole.body()).subarray(0, 1e5) });
} });
note('without WebGPU:', ...seen.no_gpu, '| without its program:', ...seen.no_program, '| with a part of it:', ...seen.cut_off);

// Every kernel is read by the browser's compiler. Pipelines, which take most of the time, are made of the shortest kernel of each
// template and kind of device, as the library declares their bindings, on a device with the limits of every browser; those
// for a device with more workgroup memory on one with as much as the adapter has. A product with a long chain of functions behind it
// takes SwiftShader minutes, and then Chromium ends its GPU process.
const compile = async (kernels) => {
  const adapter = await navigator.gpu.requestAdapter();
  const requiredLimits = { maxComputeWorkgroupStorageSize: adapter.limits.maxComputeWorkgroupStorageSize };
  const another = async (wanted) => (await navigator.gpu.requestAdapter()).requestDevice(wanted);
  const [plain, grouped] = [await adapter.requestDevice(), await another({ requiredFeatures: ['subgroups'] })];
  const roomy = await another({ requiredLimits });
  const refused = [];
  for (const { name, code, binds, step, iteration, memory, pipeline } of kernels) {
    const subgroups = /\bsubgroup[A-Z]/.test(code);
    const device = subgroups ? grouped : memory > plain.limits.maxComputeWorkgroupStorageSize ? roomy : plain;
    device.pushErrorScope('validation');
    const module = device.createShaderModule({ code: (subgroups ? 'enable subgroups;\n' : '') + code });
    const said = (await module.getCompilationInfo()).messages.find((message) => message.type === 'error');
    let error = said && `${said.message}: ${code.split('\n')[said.lineNum - 1 - subgroups]?.trim()}`;
    if (pipeline && !error) {
      const entries = binds.map((access, binding) => ({ binding, visibility: 4, buffer: { type: access === 'Read' ? 'read-only-storage' : 'storage' } }));
      entries.push({ binding: 8, visibility: 4, buffer: {} });
      if (step) entries.push({ binding: 9, visibility: 4, buffer: { hasDynamicOffset: true } });
      if (iteration) entries.push({ binding: 10, visibility: 4, buffer: { hasDynamicOffset: true } });
      const layout = device.createPipelineLayout({ bindGroupLayouts: [device.createBindGroupLayout({ entries })] });
      await device.createComputePipelineAsync({ layout, compute: { module, entryPoint: 'main' } }).catch((e) => (error = e.message));
    }
    error ??= (await device.popErrorScope())?.message;
    if (error) refused.push({ name, error: error.slice(0, 600) });
  }
  for (const device of [plain, grouped, roomy]) device.destroy();
  return refused;
};
const names = fs.readdirSync(shaders).filter((name) => name.endsWith('.wgsl'));
const shortest = new Map();
const kernels = names.map((name) => {
  const code = fs.readFileSync(path.join(shaders, name), 'utf8');
  const [template, binds, blocks, memory] = fs.readFileSync(path.join(shaders, name.replace('.wgsl', '.txt')), 'utf8').split('\n');
  const [step, iteration] = blocks.split(' ').map((word) => word === 'true');
  const kernel = { name: `${template} (${name})`, code, binds: binds ? binds.split(',') : [], step, iteration, memory: Number(memory), pipeline: false };
  const kind = `${name.split('-')[0]} ${template}`;
  if (!(shortest.get(kind)?.code.length <= code.length)) shortest.set(kind, kernel);
  return kernel;
});
for (const kernel of shortest.values()) kernel.pipeline = true;
seen.kernels = kernels.length;
seen.pipelines = kernels.filter((kernel) => kernel.pipeline).length;
seen.refused = [];
for (let i = 0; i < kernels.length; i += 40) {
  seen.refused.push(...(await page.evaluate(compile, kernels.slice(i, i + 40))));
  if (i % 200 === 0) note('kernels', i);
}
// The control: a fault that shows when the text is read, and one that shows when the pipeline is made.
const [first] = shortest.values();
const wrong = ['fn 1', 'fn mian'].map((to) => ({ ...first, code: first.code.replace('fn main', to) }));
seen.control = (await page.evaluate(compile, wrong)).length === 2;
await browser.close();
console.log(JSON.stringify(seen));
