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

async function open(size) {
  const context = await browser.newContext({ viewport: size, acceptDownloads: true });
  const page = await context.newPage();
  page.setDefaultTimeout(600_000);
  page.on('pageerror', (error) => seen.errors.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && seen.errors.push(message.text()));
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(address) && !/^(blob|data):/.test(url)) seen.errors.push(`a request to ${url}`);
  });
  await page.goto(address);
  await page.waitForSelector('#points-train:enabled');
  return page;
}

const ask = (page, ...command) => page.evaluate(async (command) => {
  const answer = await wgrad.ask(...command);
  return ArrayBuffer.isView(answer) ? [...answer] : answer;
}, command);
const text = (page, id) => page.textContent(`#${id}`);

let page = await open({ width: 1100, height: 1100 });
seen.adapter = await text(page, 'adapter');
note(seen.adapter);
let began = performance.now();
await ask(page, 'xor', 1);
seen.first_step = +((performance.now() - began) / 1000).toFixed(2);
note('first step', seen.first_step);
seen.xor = await ask(page, 'xor', +xorSteps);
note('xor', seen.xor.at(-1));
began = performance.now();
seen.mnist = await ask(page, 'mnist', +mnistSteps);
seen.mnist_seconds = +((performance.now() - began) / 1000).toFixed(1);
note('mnist', seen.mnist.at(-1), seen.mnist_seconds);

// As a person does: both networks train, points are drawn, and a digit.
await page.selectOption('#example', 'spirals');
await page.click('#points-train');
await page.click('#digits-train');
const settled = (id, pattern) => page.waitForFunction(([id, pattern]) => new RegExp(pattern).test(document.getElementById(id).textContent), [id, pattern]);
await settled('digits-numbers', 'recognised');
const box = await (await page.$('#pad')).boundingBox();
const at = (x, y) => [box.x + x * box.width, box.y + y * box.height];
for (const stroke of [[[0.3, 0.25], [0.7, 0.25], [0.45, 0.8]]]) {
  await page.mouse.move(...at(...stroke[0]));
  await page.mouse.down();
  for (const place of stroke.slice(1)) await page.mouse.move(...at(...place), { steps: 12 });
  await page.mouse.up();
}
await page.waitForSelector('#bars .best');
await page.waitForTimeout(15_000);
await page.click('#digits-train');
await page.click('#points-train');
await page.waitForTimeout(2_000);
const perSecond = async (id) => +((await text(page, id)).match(/([\d.,]+) steps per second/) ?? [0, 'NaN'])[1].replace(/,/g, '');
seen.rates = [await perSecond('points-numbers'), await perSecond('digits-numbers')];
seen.drawn = await page.textContent('#bars .best');
note(await text(page, 'points-numbers'), '|', await text(page, 'digits-numbers'), '| drawn', seen.drawn);
await page.screenshot({ path: path.join(pictures, 'page.png') });

// Weights in a file, and back into fresh ones.
const [download] = await Promise.all([page.waitForEvent('download'), page.click('#points-save')]);
const file = path.join(pictures, 'points.safetensors');
await download.saveAs(file);
const before = await ask(page, 'save', 'points');
await page.click('#points-reset');
await page.waitForTimeout(200);
const fresh = await ask(page, 'save', 'points');
await page.setInputFiles('#points-load', file);
await page.waitForTimeout(500);
const after = await ask(page, 'save', 'points');
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
seen.weights = +(same(before, after) && !same(before, fresh));
seen.in_flight = await page.workers()[0].evaluate(() => mostInFlight());
note('weights', seen.weights, 'in flight', seen.in_flight);
await page.context().close();

// A phone.
page = await open({ width: 390, height: 1500 });
const wide = await page.evaluate(() => document.documentElement.scrollWidth);
if (wide > 390) seen.errors.push(`the page is ${wide} wide on a phone of 390`);
await page.screenshot({ path: path.join(pictures, 'page-phone.png') });
// A kernel that the browser refuses.
await page.workers()[0].evaluate(() => (globalThis.broken = 'matmul'));
const noted = seen.errors.length;
seen.late = await ask(page, 'xor', 1).then(() => 'no error', (error) => error.message);
seen.errors.length = noted;
note('late:', seen.late.slice(0, 200));

// Every kernel is read by the browser's compiler. Pipelines, which take most of the time, are made of the first kernel
// of each template and of every sixteenth, as the library declares their bindings, on a device with the limits of every
// browser.
const compile = async (kernels) => {
  const adapter = await navigator.gpu.requestAdapter();
  const [plain, grouped] = [await adapter.requestDevice(), await (await navigator.gpu.requestAdapter()).requestDevice({ requiredFeatures: ['subgroups'] })];
  const refused = [];
  for (const { name, code, binds, step, iteration, pipeline } of kernels) {
    const subgroups = /\bsubgroup[A-Z]/.test(code);
    const device = subgroups ? grouped : plain;
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
  plain.destroy();
  grouped.destroy();
  return refused;
};
const names = fs.readdirSync(shaders).filter((name) => name.endsWith('.wgsl'));
const templates = new Set();
const kernels = names.map((name, i) => {
  const code = fs.readFileSync(path.join(shaders, name), 'utf8');
  const [template, binds, blocks] = fs.readFileSync(path.join(shaders, name.replace('.wgsl', '.txt')), 'utf8').split('\n');
  const [step, iteration] = blocks.split(' ').map((word) => word === 'true');
  const pipeline = !templates.has(template) || i % 16 === 0;
  templates.add(template);
  return { name: `${template} (${name})`, code, binds: binds ? binds.split(',') : [], step, iteration, pipeline };
});
seen.kernels = kernels.length;
seen.pipelines = kernels.filter((kernel) => kernel.pipeline).length;
seen.refused = [];
for (let i = 0; i < kernels.length; i += 40) {
  seen.refused.push(...(await page.evaluate(compile, kernels.slice(i, i + 40))));
  if (i % 200 === 0) note('kernels', i);
}
// The control: a fault that shows when the text is read, and one that shows when the pipeline is made.
const wrong = ['fn 1', 'fn mian'].map((to) => ({ ...kernels[0], code: kernels[0].code.replace('fn main', to) }));
seen.control = (await page.evaluate(compile, wrong)).length === 2;
await browser.close();
console.log(JSON.stringify(seen));
